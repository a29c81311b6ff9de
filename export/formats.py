"""The export formats: one row each, imported when used."""

from unifmir.export.base import Exporter
from unifmir.registry import Registry

FORMATS: Registry[Exporter] = Registry(
    "format",
    [
        ("safetensors", "unifmir.export.safetensors:SAFETENSORS"),
        ("onnx", "unifmir.export.onnx:ONNX"),
        ("torchscript", "unifmir.export.torchscript:TORCHSCRIPT"),
        ("bioimageio", "unifmir.export.bioimageio.exporter:BIOIMAGEIO"),
    ],
)
