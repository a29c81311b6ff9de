"""Multiply-accumulates of an exported graph: what a runtime will do, not what torch did.

The third, independent count beside the dispatcher's and the closed forms (`unifmir.cost`):
simplifying, fusing or a wrong padding in the graph shows here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log2, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from unifmir.cost.mac_kinds import FLOPS_PER_MAC, Kind, by_kind, sums
from unifmir.errors import ExportError

Shapes = Mapping[str, tuple[int, ...]]
Values = dict[str, tuple[int, ...]]

# Without multiply-accumulates: elementwise, reductions, indexing, shapes, constants.
_FREE_NAMES = """
Abs Add And AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Cos
DepthToSpace Div Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu
GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity
InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log Max MaxPool Min Mod Mul
Neg Not Or Pad Pow Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Shape Sigmoid Sign
Sin Size Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Unsqueeze
Where Xor
"""
_FREE = frozenset(_FREE_NAMES.split())


@dataclass(frozen=True, slots=True)
class OnnxRow:
    """Nodes of one operator and kind."""

    operator: str
    kind: Kind
    nodes: int
    macs: int


@dataclass(frozen=True, slots=True)
class OnnxUncounted:
    """Nodes that no formula is for."""

    operator: str
    """Operator's name, with its domain where that is not ONNX's own."""
    nodes: int
    estimated_flops: int = 0
    """Estimate for Fourier transforms, never in a total: 5 N log2 N, half that for real data."""


@dataclass(frozen=True, slots=True)
class OnnxCount:
    """Multiply-accumulates of a graph at one input shape."""

    rows: tuple[OnnxRow, ...]
    unknown: tuple[OnnxUncounted, ...]
    """Nodes whose cost is missing from the total."""
    shapes_from: Literal["inference", "runtime"]
    """`runtime`: where shape inference gave up, ONNX Runtime was asked."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates, attention products included."""
        return sum(row.macs for row in self.rows)

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return FLOPS_PER_MAC * self.macs

    def by_kind(self) -> dict[str, int]:
        """MACs of `conv`, `linear` and `product`, all three named."""
        return by_kind((row.kind, row.macs) for row in self.rows)

    def by_operator(self) -> dict[str, int]:
        """MACs of each ONNX operator."""
        return sums((row.operator, row.macs) for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the count."""
        return {**asdict(self), "macs": self.macs, "by_kind": self.by_kind()}


def count_onnx(model: ModelProto | Path, shape: Sequence[int]) -> OnnxCount:
    """Count the multiply-accumulates of an ONNX graph for an input shape.

    Parameters
    ----------
    model : ModelProto or Path
        One input.
    shape : sequence of int
        Of the input, batch included. Where shape inference does not reach a product, the graph is
        run on zeros of this shape: choose a small one for graphs that compute their own shapes.

    Raises
    ------
    ExportError
        More than one input, or a shape that the graph does not take.
    """
    loaded = onnx.load(model) if isinstance(model, Path) else model
    fixed = _fixed(loaded, tuple(shape))
    shapes = _inferred(fixed)
    needed = _needed(fixed)
    missing = [name for name in needed if name not in shapes]
    if missing:
        shapes = shapes | _run_for_shapes(fixed, missing, tuple(shape))
    constants = _constants(fixed)
    rows: dict[tuple[str, Kind], tuple[int, int]] = {}
    unknown: dict[str, tuple[int, int]] = {}
    for node in fixed.graph.node:
        if _counter(node) is not None:
            key = (node.op_type, _kind(node, constants))
            nodes, macs = rows.get(key, (0, 0))
            rows[key] = (nodes + 1, macs + _COUNTERS[node.op_type](node, shapes))
        elif node.op_type not in _FREE or node.domain not in ("", "ai.onnx"):
            name = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
            nodes, flops = unknown.get(name, (0, 0))
            unknown[name] = (nodes + 1, flops + _dft_flops(node, shapes))
    return OnnxCount(
        tuple(OnnxRow(*key, *figures) for key, figures in rows.items()),
        tuple(OnnxUncounted(name, *figures) for name, figures in unknown.items()),
        "runtime" if missing else "inference",
    )


def _conv(node: NodeProto, shapes: Shapes) -> int:
    # The second axis of the weights is the input channels of one group.
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _conv_transpose(node: NodeProto, shapes: Shapes) -> int:
    # Each value of the input meets the weights of its channel: (channels, outputs, *kernel).
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    """One product of all named axes, as one loop nest does it; no ellipsis."""
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        sizes.update(zip(term, shapes[name], strict=True))
    return prod(sizes.values()) * (len(terms) - 1)


_COUNTERS: dict[str, Callable[[NodeProto, Shapes], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _counter(node: NodeProto) -> Callable[[NodeProto, Shapes], int] | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Einsum" and any(b"." in a.s for a in node.attribute):
        return None
    return _COUNTERS.get(node.op_type)


def _kind(node: NodeProto, constants: set[str]) -> Kind:
    if node.op_type in ("Conv", "ConvTranspose"):
        return "conv"
    return "linear" if constants.intersection(node.input[:2]) else "product"


def _dft_flops(node: NodeProto, shapes: Shapes) -> int:
    shape = shapes.get(node.input[0]) if node.op_type == "DFT" else None
    if shape is None:
        return 0
    # Opset 17: the axis is an attribute, and the last axis holds real and imaginary part.
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    factor = 2.5 if shape[-1] == 1 else 5.0
    return round(factor * prod(shape[:-1]) * log2(shape[axis]))


def _fixed(model: ModelProto, shape: tuple[int, ...]) -> ModelProto:
    """A copy with the input's shape set, and nothing said of other shapes."""
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initial]
    if len(inputs) != 1:
        raise ExportError(f"expected a graph with one input, this one has {len(inputs)}")
    dimensions = inputs[0].type.tensor_type.shape.dim
    if len(dimensions) != len(shape) or any(
        d.HasField("dim_value") and d.dim_value != size
        for d, size in zip(dimensions, shape, strict=True)
    ):
        wanted = [d.dim_value or d.dim_param for d in dimensions]
        raise ExportError(f"the graph takes {wanted}; this shape is {list(shape)}")
    fixed = ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    for value in fixed.graph.input:
        if value.name == inputs[0].name:
            for dimension, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                dimension.dim_value = size
    return fixed


def _inferred(model: ModelProto) -> Values:
    """Shapes of the tensors that shape inference knows fully."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return shapes


def _needed(model: ModelProto) -> list[str]:
    """Tensors whose shapes the formulas read."""
    names: dict[str, None] = {}
    for node in model.graph.node:
        if _counter(node) is not None:
            ends = (*node.input[:2], node.output[0])
            names.update(dict.fromkeys(ends if node.op_type != "Einsum" else node.input))
        elif node.op_type == "DFT":
            names[node.input[0]] = None
    return list(names)


def _run_for_shapes(model: ModelProto, names: list[str], shape: tuple[int, ...]) -> Values:
    """Run the graph, and have it give the shapes of tensors instead of its result."""
    import onnxruntime

    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    outputs = [f"shape of {name}" for name in names]
    for name, output in zip(names, outputs, strict=True):
        probe.graph.node.append(helper.make_node("Shape", [name], [output]))
        probe.graph.output.append(helper.make_tensor_value_info(output, TensorProto.INT64, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # As it is written: fused nodes have no tensors between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = session.get_inputs()[0]
    dtype = np.float16 if given.type == "tensor(float16)" else np.float32
    values = session.run(outputs, {given.name: np.zeros(shape, dtype)})
    return {
        name: tuple(int(size) for size in value) for name, value in zip(names, values, strict=True)
    }


def _constants(model: ModelProto) -> set[str]:
    """Names of tensors that do not depend on the input: weights, also cast or transposed."""
    found = {tensor.name for tensor in model.graph.initializer}
    # ONNX demands that nodes come after those they read.
    for node in model.graph.node:
        if all(name in found for name in node.input if name):
            found.update(node.output)
    return found
