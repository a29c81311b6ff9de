"""The graph of an ONNX file, held against what unifmir's exports use before a runtime sees it.

Operators of ONNX compute with tensors and nothing else, but graphs inside operators (`If`, `Loop`,
`Scan`) run for as long as they like, functions and other domains are code of whoever registered
them, and weights outside the file are read from any path that the file names.
"""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from unifmir.errors import ExportError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

FIJI_OPSET, FIJI_IR = 17, 8
"""Newest opset and IR that Fiji's ONNX Runtime (1.13 in JDLL) reads; the first opset with one
LayerNormalization node, whose decomposed form overflows in fp16."""
OPSETS = range(FIJI_OPSET, 21)
"""Opsets the tracing exporter writes. 20 has one Gelu node."""
DOMAINS = ("", "ai.onnx")
OPERATORS = frozenset(
    (
        "Abs",
        "Add",
        "And",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "Cos",
        "DepthToSpace",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Gelu",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsInf",
        "IsNaN",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pad",
        "Pow",
        "Range",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Shape",
        "Sigmoid",
        "Sin",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Tile",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    )
)
"""Operators that exported networks may use, in the domain of ONNX itself."""
TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT64", "INT32", "INT8", "UINT8", "BOOL")
"""Types of weights and of constants, by their names in ONNX."""
MAX_NODES = 100_000
"""Limit of a graph."""
WEIGHTS = 4096
"""Numbers of a tensor that computing with it again and again makes slow."""
MAX_USES = 16
"""Times that such weights may be computed with, on average; those of our exports are once or, where
a network is run twice, twice."""
MAX_RANK = 8
"""Axes of a tensor; light fields have six on the way."""
MAX_SIZE = 2**31 - 1
"""Size of an axis, and number of elements where a graph declares them."""


def require_plain_graph(name: str, content: bytes) -> None:
    """Refuse the content of an ONNX file that does anything but compute with its own tensors.

    Raises
    ------
    ExportError
        It does, its input or output is no single float32 tensor, or it is no ONNX file.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ExportError(f"{name}: not an ONNX model ({error})") from error
    for problem in _problems(model):
        raise ExportError(f"{name} is refused, and nothing of it was run: {problem}")


def _problems(model: "ModelProto") -> Iterator[str]:
    """Sentences on what no export of unifmir has."""
    graph = model.graph
    if strange := sorted({one.domain for one in model.opset_import} - set(DOMAINS)):
        yield f"it needs operators of {strange[0][:80]!r}, expected those of ONNX alone"
    if len(model.functions) or len(model.training_info):
        yield "it holds functions or training of its own"
    if len(graph.node) > MAX_NODES:
        yield f"it has {len(graph.node)} nodes, at most {MAX_NODES} are expected"
    yield from _of_uses(graph)
    if len(graph.sparse_initializer):
        yield "it holds sparse weights"
    for node in graph.node:
        yield from _of_node(node)
    for tensor in graph.initializer:
        yield from _of_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from _of_shape(value)
    yield from _of_ends(graph)


def _of_node(node: "NodeProto") -> Iterator[str]:
    """Sentences on an operator, and on the values and graphs in its attributes."""
    if node.domain not in DOMAINS or node.op_type not in OPERATORS:
        name = f"{node.domain}.{node.op_type}".strip(".")
        yield f"it has an operator {name[:80]!r}, which no network of unifmir needs"
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs or attribute.HasField("ref_attr_name"):
            yield f"its operator {node.op_type} holds a graph of its own"
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            yield f"its operator {node.op_type} holds sparse values"
        if attribute.HasField("t"):
            yield from _of_tensor(attribute.t)
        for tensor in attribute.tensors:
            yield from _of_tensor(tensor)


def _of_uses(graph: "GraphProto") -> Iterator[str]:
    """A sentence where few weights make hours of products.

    The time that a file may take is reckoned with weights multiplied about once for each pixel.
    """
    sizes = {tensor.name: prod(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            sizes[node.output[0]] = max((prod(one.t.dims) for one in node.attribute), default=0)
    sizes = {name: size for name, size in sizes.items() if size >= WEIGHTS}
    used = sum(sizes.get(name, 0) for node in graph.node for name in node.input)
    held = sum(sizes.values())
    if used > MAX_USES * held:
        yield (
            f"it computes {used / held:.0f} times with each of its weights, at most {MAX_USES} "
            "times are expected"
        )


def _of_tensor(tensor: "TensorProto") -> Iterator[str]:
    """Sentences on values that lie outside the file, or are not as many as declared."""
    from onnx import TensorProto, helper

    name = tensor.name[:80]
    if tensor.data_location or len(tensor.external_data) or tensor.HasField("segment"):
        yield f"the values of {name!r} lie outside the file"
        return
    sizes, kind = list(tensor.dims), tensor.data_type
    known = kind in TensorProto.DataType.values() and TensorProto.DataType.Name(kind) in TYPES
    if not known or len(sizes) > MAX_RANK or min(sizes, default=1) < 0:
        yield f"{name!r} has a type or a size that no tensor has"
        return
    if tensor.HasField("raw_data"):
        wanted = prod(sizes) * helper.tensor_dtype_to_np_dtype(kind).itemsize
        found, what = len(tensor.raw_data), "bytes"
    else:
        wanted, what = prod(sizes), "values"
        found = len(getattr(tensor, helper.tensor_dtype_to_field(kind)))
    if found != wanted:
        yield f"{name!r} declares {wanted} {what} and holds {found}"


def _of_shape(value: "ValueInfoProto") -> Iterator[str]:
    """Sentences on a declared shape that no image has."""
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
    if len(sizes) > MAX_RANK or min(sizes, default=0) < 0 or prod(filter(None, sizes)) > MAX_SIZE:
        yield f"{value.name[:80]!r} declares a shape that no image has"


def _of_ends(graph: "GraphProto") -> Iterator[str]:
    """Sentences on an input and an output that are not one each, of float32."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        yield f"it has {len(inputs)} inputs and {len(graph.output)} outputs, expected one each"
        return
    for what, value in (("input", inputs[0]), ("output", graph.output[0])):
        if not _is_float32(value):
            yield f"its {what} is not an image of float32"


def _is_float32(value: "ValueInfoProto") -> bool:
    from onnx import TensorProto

    kind = value.type
    return kind.HasField("tensor_type") and kind.tensor_type.elem_type == TensorProto.FLOAT
