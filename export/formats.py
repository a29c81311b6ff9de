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
        ("torchscript", "unifmir.export.torchscript:TORCHSCRIPT"),
        ("bioimageio", "unifmir.export.bioimageio.exporter:BIOIMAGEIO"),
    ],
)
