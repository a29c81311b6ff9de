"""The export formats: one row each, imported when used."""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    # The command line lists the formats: importing them must stay light.
    from unifmir.export.base import Exporter

FORMATS: "Registry[Exporter]" = Registry(
    "format",
    [
        ("safetensors", "unifmir.export.safetensors:SAFETENSORS"),
        ("onnx", "unifmir.export.onnx:ONNX"),
        ("openvino", "unifmir.export.openvino:OPENVINO_FORMAT"),
        ("tensorrt", "unifmir.export.tensorrt.exporter:TENSORRT"),
        ("torchscript", "unifmir.export.torchscript:TORCHSCRIPT"),
        ("aotinductor", "unifmir.export.aotinductor:AOTINDUCTOR"),
        ("bioimageio", "unifmir.export.bioimageio.exporter:BIOIMAGEIO"),
    ],
)
