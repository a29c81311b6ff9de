"""The export formats: one row each, imported when used."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.errors import ExportError
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


def format_of(path: Path) -> str:
    """The format whose suffix a file has; the longest wins."""
    suffixes = {name: FORMATS[name].suffix for name in FORMATS}
    matching = [name for name, suffix in suffixes.items() if path.name.endswith(suffix)]
    if not matching:
        raise ExportError(
            f"{path.name}: expected a name that ends in one of {', '.join(suffixes.values())}"
        )
    return max(matching, key=lambda name: len(suffixes[name]))
