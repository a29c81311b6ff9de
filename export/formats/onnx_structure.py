"""ONNX graphs from elsewhere, held against the one that the exporter writes for their parent."""

from collections.abc import Hashable, Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from unifmir.export.formats.graph_comparison import ComparedGraph, Operation, differences
from unifmir.precision.element_types import Precision

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_WIDE = TensorProto.FLOAT
_NARROW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


class OnnxGraph(ComparedGraph):
    """A graph of ONNX; values go by their names."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.result = graph.output[0].name
        self._image = graph.input[0].name
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        _require_order(graph)
        self._makers = {
            name: (node, index) for node in graph.node for index, name in enumerate(node.output)
        }
        self._types = _element_types(model)
        apart = {node.output[0] for node in graph.node if self._is_cast(node)}
        self.stored = {self._types[name] for name in self._constants} & set(_FLOATS)
        """Float types of its weights."""
        self.computed = {
            self._types.get(name, 0)
            for node in graph.node
            for name in node.output
            if name not in apart and node.op_type != "Constant"
        } & set(_FLOATS)
        """Float types of its operators' results."""
        counted = [n for n in graph.node if n.op_type != "Constant" and not self._is_cast(n)]
        self.size = len(counted)

    def operation(self, value: Hashable) -> Operation:
        """Find the operator that makes the value of a name."""
        name = str(value)
        while name in self._makers and self._is_cast(self._makers[name][0]):
            name = self._makers[name][0].input[0]
        if name in self._constants:
            return Operation(name, "constant", constant=_values(self._constants[name]))
        if name not in self._makers:
            return Operation(name, "image" if name == self._image else "nothing")
        node, index = self._makers[name]
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            return Operation(name, "constant", constant=_values_of(attribute))
        settings = ", ".join(sorted(_text(attribute) for attribute in node.attribute))
        kind = f"{node.op_type}({settings})" + (f" result {index}" if index else "")
        return Operation(node.output[0], kind, tuple(node.input))

    def _is_cast(self, node: NodeProto) -> bool:
        """Whether a node changes the type of floats alone."""
        if node.op_type != "Cast":
            return False
        return node.attribute[0].i in _FLOATS and self._types.get(node.input[0]) in _FLOATS


def onnx_differences(found: ModelProto, made: ModelProto, precision: Precision) -> Iterator[str]:
    """Sentences on where a graph computes otherwise than the exporter's.

    Parameters
    ----------
    found : ModelProto
        Of the file; its operators are of the list that runtimes allow.
    made : ModelProto
        Of the exporter, in fp32, with the parent's weights.
    precision : Precision
        That the file says it has.
    """
    graph: GraphProto = found.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        yield f"it has {len(graph.input)} inputs and {len(graph.output)} outputs"
        return
    try:
        compared = OnnxGraph(found)
    except Exception as error:  # noqa: BLE001 - those of inference share no base but this
        yield f"its graph cannot be read ({str(error)[:120]})"
        return
    for what, kinds, said in (
        ("hold its weights", compared.stored, precision.stored),
        ("compute", compared.computed, precision.computed),
    ):
        # Islands are fp32 in any precision, so that type says nothing.
        if kinds - {_WIDE} != ({_NARROW[said]} if said in _NARROW else set()):
            yield f"it does not {what} in {said}"
            return
    yield from differences(compared, OnnxGraph(made), precision.stored)


def _require_order(graph: GraphProto) -> None:
    """ValueError where a value is made twice, or read before it is made: walks would not end."""
    known = {"", graph.input[0].name, *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if not known.issuperset(node.input) or (known & set(node.output)) - {""}:
            raise ValueError(f"{node.output[0][:80]!r} is not made once, from what is made before")
        known.update(node.output)


def _element_types(model: ModelProto) -> dict[str, int]:
    """Element types of what is inferred; of constants as they are."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:  # only types are wanted
        if len(tensor.raw_data) > 4096:
            tensor.ClearField("raw_data")
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return types | {v.name: v.type.tensor_type.elem_type for v in inferred.input}


def _values(tensor: TensorProto) -> np.ndarray:
    """Numbers of a tensor; those of a narrow float type as float32."""
    values = numpy_helper.to_array(tensor)
    return values.astype(np.float32) if tensor.data_type in _FLOATS else values


def _values_of(attribute: AttributeProto) -> np.ndarray:
    value = onnx.helper.get_attribute_value(attribute)
    return _values(value) if isinstance(value, TensorProto) else np.asarray(value)


def _text(attribute: AttributeProto) -> str:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        value = _values(value).tolist()
    # The type of floats follows from the precision.
    if attribute.name in ("to", "dtype") and value in _FLOATS:
        value = _WIDE
    return f"{attribute.name}={value}"
