"""OpenVINO graphs from elsewhere, held against the one that is exported from their parent.

Both are read as XML: OpenVINO itself sees nothing of a file that was not written here.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import numpy as np

from unifmir.export.formats.graph_comparison import ComparedGraph, Operation, differences
from unifmir.export.runtimes.openvino import read_archive
from unifmir.precision.element_types import Precision

_NARROW, _FLOATS = ("f16", "bf16"), ("f16", "bf16", "f32", "f64")
_TYPES = ("element_type", "destination_type", "output_type")
_NUMBERS = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "i32": np.int32,
    "i64": np.int64,
    "boolean": np.bool_,
    "u8": np.uint8,
}


class OpenVinoGraph(ComparedGraph):
    """A graph of OpenVINO; values go by the layer's id and the number of its output.

    Raises
    ------
    ValueError, KeyError
        It is malformed.
    """

    def __init__(self, graph: ET.Element, weights: bytes) -> None:
        self._weights = weights
        self._layers = {layer.attrib["id"]: layer for layer in graph.iter("layer")}
        self._read: dict[str, list[tuple[str, int]]] = {name: [] for name in self._layers}
        edges = [edge.attrib for edge in graph.iter("edge")]
        for edge in sorted(edges, key=lambda e: int(e["to-port"])):
            source = self._layers[edge["from-layer"]]
            ports = [port.attrib["id"] for port in source.findall("output/port")]
            value = (edge["from-layer"], ports.index(edge["from-port"]))
            self._read[edge["to-layer"]].append(value)
        (result,) = (name for name, one in self._layers.items() if one.get("type") == "Result")
        (self.result,) = self._read[result]
        apart = ("Const", "Parameter", "Result")
        counted = [one for one in self._layers.values() if one.get("type") not in apart]
        self.size = len([one for one in counted if not self._is_convert(one)])
        constants = [one for one in self._layers.values() if one.get("type") == "Const"]
        self.stored = {_settings(one).get("element_type", "") for one in constants}
        """Types of its constants."""

    def operation(self, value: Hashable) -> Operation:
        """Find the layer that makes the value of an id and a number."""
        name, index = cast(tuple[str, int], value)  # as `_read` holds them
        for _ in self._layers:
            if not self._is_convert(self._layers[name]):
                break
            name, index = self._read[name][0]
        layer = self._layers[name]
        kind, label = layer.get("type", ""), layer.get("name", name)
        if kind == "Const":
            return Operation(label, "constant", constant=self._values(layer))
        if kind == "Parameter":
            return Operation(label, "image")
        settings = _settings(layer)
        for key in _TYPES:
            if settings.get(key) in _FLOATS:
                settings[key] = "float"
        described = f"{kind} {layer.get('version')}({sorted(settings.items())!r})"
        return Operation(
            label, described + (f" result {index}" if index else ""), tuple(self._read[name])
        )

    def _is_convert(self, layer: ET.Element) -> bool:
        """Whether a layer changes the type of floats alone."""
        if layer.get("type") != "Convert":
            return False
        name, index = self._read[layer.attrib["id"]][0]
        ports = self._layers[name].findall("output/port")
        given = ports[index].get("precision", "").lower().replace("fp", "f")
        return given in _FLOATS and _settings(layer).get("destination_type") in _FLOATS

    def _values(self, layer: ET.Element) -> np.ndarray:
        settings = _settings(layer)
        shape = [int(length) for length in settings["shape"].split(",") if length.strip()]
        start, size = int(settings["offset"]), int(settings["size"])
        kind = settings["element_type"]
        raw = self._weights[start : start + size]
        values: np.ndarray = np.frombuffer(raw, _NUMBERS[kind]).reshape(shape)
        return values.astype(np.float32) if kind in _FLOATS else values


def openvino_differences(found: Path, made: Path, precision: Precision) -> Iterator[str]:
    """Sentences on where a graph computes otherwise than the exporter's.

    Parameters
    ----------
    found, made : Path
        Archive of the file, and of the exporter in fp32 with the parent's weights.
    precision : Precision
        That the file says it has.

    Raises
    ------
    ExportError
        The file is no archive of ours.
    """
    # Marked bf16, weights stay as they are: what computes them rounds.
    stored = "fp32" if precision.stored == "bf16" else precision.stored
    graph, expected = read_archive(found), OpenVinoGraph(*read_archive(made))
    try:
        compared = OpenVinoGraph(*graph)
        if compared.stored & set(_NARROW) != ({"f16"} if stored == "fp16" else set()):
            yield f"it does not hold its weights in {stored}"
            return
        yield from differences(compared, expected, stored)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        yield f"its graph cannot be read ({type(error).__name__}: {str(error)[:120]})"


def _settings(layer: ET.Element) -> dict[str, str]:
    data = layer.find("data")
    return {} if data is None else dict(data.attrib)
