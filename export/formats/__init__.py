"""The export formats: one row each, imported when used."""

from typing import TYPE_CHECKING, Any

from unifmir.registry import Registry

if TYPE_CHECKING:
    # The command line lists the formats: importing them must stay light.
    from unifmir.export.base import Exporter

FORMATS: "Registry[Exporter]" = Registry(
    "format",
    [
        ("safetensors", "unifmir.export.formats.safetensors:SAFETENSORS"),
        ("onnx", "unifmir.export.formats.onnx:ONNX"),
        ("openvino", "unifmir.export.formats.openvino:OPENVINO_FORMAT"),
        ("tensorrt", "unifmir.export.formats.tensorrt.engine_format:TENSORRT"),
        ("torchscript", "unifmir.export.formats.torchscript:TORCHSCRIPT"),
        ("aotinductor", "unifmir.export.formats.aotinductor:AOTINDUCTOR"),
        ("bioimageio", "unifmir.export.formats.bioimageio.package_format:BIOIMAGEIO"),
    ],
)

OPTIONS: Registry[type[Any]] = Registry(
    "format with options of its own",
    [("tensorrt", "unifmir.export.formats.tensorrt.options:EngineOptions")],
)
"""Dataclass of what may be asked of a format alone; `flag` and `help` in each field's metadata make
it an option of `unifmir export`. Named here, so that `--help` need not import the format."""
