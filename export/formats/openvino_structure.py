"""OpenVINO graphs from elsewhere, held against the one that is exported from their parent."""

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from unifmir.export.formats.graph_comparison import ComparedGraph, Operation, differences
from unifmir.precision.element_types import Precision

_RESULT = "Result"
_FLOATS = ("f16", "bf16", "f32", "f64")


class OpenVinoGraph(ComparedGraph):
    """A graph of OpenVINO; values go by the name of their node and the number of its output."""

    def __init__(self, model: Any) -> None:
        nodes = model.get_ordered_ops()
        self._nodes = {node.get_name(): node for node in nodes}
        (result,) = (node for node in nodes if node.get_type_name() == _RESULT)
        self.result = _read(result)[0]
        constants = [node for node in nodes if node.get_type_name() == "Constant"]
        kinds = {node.get_output_element_type(0).get_type_name() for node in constants}
        self.stored = kinds & set(_FLOATS)
        """Float types of its weights."""
        apart = ("Constant", "Parameter", _RESULT)
        counted = [n for n in nodes if n.get_type_name() not in apart and not _is_convert(n)]
        self.size = len(counted)

    def operation(self, value: Hashable) -> Operation:
        """What makes the value of a name and a number."""
        name, index = value  # type: ignore[misc]  # as `_read` makes them
        node = self._nodes[name]
        while _is_convert(node):
            name, index = _read(node)[0]
            node = self._nodes[name]
        kind, label = node.get_type_name(), node.get_friendly_name()
        if kind == "Constant":
            return Operation(label, "constant", constant=_numbers(node))
        if kind == "Parameter":
            return Operation(label, "image")
        settings = dict(node.get_attributes().items())
        for key in ("element_type", "destination_type", "output_type"):
            if settings.get(key) in _FLOATS:
                settings[key] = "float"
        described = f"{kind}({sorted(settings.items())!r})" + (f" result {index}" if index else "")
        return Operation(label, described, tuple(_read(node)))


def openvino_differences(found: Any, made: Any, precision: Precision) -> Iterator[str]:
    """Sentences on where a graph computes otherwise than the exporter's.

    Parameters
    ----------
    found, made : openvino.Model
        Of the file, and of the exporter in fp32 with the parent's weights.
    precision : Precision
        That the file says it has.
    """
    # Marked bf16, weights stay as they are: what computes them rounds.
    stored = "fp32" if precision.stored == "bf16" else precision.stored
    compared = OpenVinoGraph(found)
    if compared.stored - {"f32"} != ({"f16"} if stored == "fp16" else set()):
        yield f"it does not hold its weights in {stored}"
        return
    yield from differences(compared, OpenVinoGraph(made), stored)


def _read(node: Any) -> list[tuple[str, int]]:
    """The values that a node reads."""
    values = [node.input_value(index) for index in range(node.get_input_size())]
    return [(value.get_node().get_name(), value.get_index()) for value in values]


def _is_convert(node: Any) -> bool:
    """Whether a node changes the type of floats alone."""
    return node.get_type_name() == "Convert" and (
        node.get_input_element_type(0).is_real() and node.get_output_element_type(0).is_real()
    )


def _numbers(node: Any) -> np.ndarray:
    values: np.ndarray = node.get_data()
    return values.astype(np.float32) if values.dtype.kind == "f" else values
