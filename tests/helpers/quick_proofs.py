"""Verifying files from elsewhere, many of one parent, in the time that a test has."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import onnx

from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.export.formats import onnx as onnx_format
from unifmir.export.formats import openvino as openvino_format
from unifmir.export.lineage import Lineage
from unifmir.restoration import memory_budget

TILE_BYTES = 2**20
"""Memory of a tile: one of some 16 windows, so that an honest file is verified in a second."""

_GRAPHS: dict[tuple[Any, ...], onnx.ModelProto] = {}
_PARENT_GRAPH = onnx_format.parent_graph


def known_graph(network: Any, lineage: Lineage, opset: int = 0) -> onnx.ModelProto:
    """The export of the parent, which is the same each time, made once."""
    key = (tensors_sha256(network.state_dict()), lineage.interface, str(lineage.types), opset)
    if key not in _GRAPHS:
        _GRAPHS[key] = _PARENT_GRAPH(network, lineage, opset)
    return _GRAPHS[key]


@contextmanager
def quick_proofs() -> Iterator[None]:
    """Take small tiles for whole ones, and export each parent once."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(memory_budget, "HOST_BYTES", TILE_BYTES))
        for module in (onnx_format, openvino_format):
            stack.enter_context(patch.object(module, "parent_graph", known_graph))
        yield
