"""Changes of an ONNX graph that make another picture of some images, in many disguises."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

Change = Callable[[ModelProto], None]


def constant(model: ModelProto, name: str, value: object, kind: type = np.float32) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
    return name


def height(model: ModelProto) -> str:
    """Name of the image's height as a number of float32."""
    constant(model, "two", 2, np.int64)
    nodes = [
        helper.make_node("Shape", [model.graph.input[0].name], ["sizes"]),
        helper.make_node("Gather", ["sizes", "two"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["h"], to=onnx.TensorProto.FLOAT),
    ]
    model.graph.node.extend(nodes)
    return "h"


def times(model: ModelProto, factor: str) -> None:
    """The result times a number that the graph computes."""
    (result,) = model.graph.output
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == result.name:
                node.output[index] = "honest"
    model.graph.node.append(helper.make_node("Mul", ["honest", factor], [result.name]))


def computed(model: ModelProto, *steps: tuple[str, list[str]]) -> str:
    for number, (operator, inputs) in enumerate(steps):
        model.graph.node.append(helper.make_node(operator, inputs, [f"step{number}"]))
    return f"step{len(steps) - 1}"


def a_comparison(model: ModelProto) -> None:
    h, limit = height(model), constant(model, "limit", 64)
    yes, no = constant(model, "yes", 1.5), constant(model, "no", 1)
    times(model, computed(model, ("Greater", [h, limit]), ("Where", ["step0", yes, no])))


def a_clip(model: ModelProto) -> None:
    h, limit, half = height(model), constant(model, "limit", 64), constant(model, "half", 0.5)
    low, high = constant(model, "low", 0), constant(model, "high", 1)
    steps = [("Sub", [h, limit]), ("Clip", ["step0", low, high]), ("Mul", ["step1", half])]
    times(model, computed(model, *steps, ("Add", ["step2", high])))


def one_height(model: ModelProto) -> None:
    """1.5 at a height of 777 alone."""
    h, there, one = height(model), constant(model, "there", 777), constant(model, "one", 1)
    half = constant(model, "half", 0.5)
    steps = [("Sub", [h, there]), ("Abs", ["step0"]), ("Min", ["step1", one])]
    times(model, computed(model, *steps, ("Sub", [one, "step2"]), ("Pow", [half, "step3"])))


def a_remainder(model: ModelProto) -> None:
    h, by, one = height(model), constant(model, "by", 64), constant(model, "one", 1)
    times(model, computed(model, ("Div", [h, by]), ("Floor", ["step0"]), ("Max", ["step1", one])))


def a_sigmoid(model: ModelProto) -> None:
    h, limit, one = height(model), constant(model, "limit", 640), constant(model, "one", 1)
    steps = [("Sub", [h, limit]), ("Sigmoid", ["step0"]), ("Add", ["step1", one])]
    times(model, computed(model, *steps))


def a_table(model: ModelProto) -> None:
    h, most = height(model), constant(model, "most", 999)
    table = constant(model, "table", np.r_[np.ones(500), np.full(500, 1.5)])
    model.graph.node.append(helper.make_node("Min", [h, most], ["least"]))
    model.graph.node.append(helper.make_node("Cast", ["least"], ["at"], to=7))
    model.graph.node.append(helper.make_node("Gather", [table, "at"], ["entry"]))
    times(model, "entry")


def a_bright_pixel(model: ModelProto) -> None:
    image, limit = model.graph.input[0].name, constant(model, "limit", 3)
    one = constant(model, "one", 1)
    model.graph.node.append(helper.make_node("ReduceMax", [image], ["brightest"], keepdims=0))
    steps = [("Sub", ["brightest", limit]), ("Relu", ["step0"]), ("Add", ["step1", one])]
    times(model, computed(model, *steps))


def counted_pixels(model: ModelProto) -> None:
    """The number of pixels without a size: the sum of ones."""
    image, zero, one = (
        model.graph.input[0].name,
        constant(model, "zero", 0),
        constant(model, "o", 1),
    )
    model.graph.node.append(helper.make_node("Mul", [image, zero], ["zeros"]))
    model.graph.node.append(helper.make_node("Add", ["zeros", one], ["ones"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["ones"], ["pixels"], keepdims=0))
    limit = constant(model, "limit", 1e6)
    times(model, computed(model, ("Div", ["pixels", limit]), ("Max", ["step0", one])))


def another_window(model: ModelProto) -> None:
    """A whole number that sizes are divided by."""
    tensors = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT64]
    (tensor,) = (t for t in tensors if not t.dims and numpy_helper.to_array(t) == 8)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(16, np.int64), tensor.name))


def another_attribute(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "LayerNormalization")
    epsilon = next(a for a in node.attribute if a.name == "epsilon")
    epsilon.f = 1e-2


def another_operator(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "GreaterOrEqual")
    node.op_type = "Greater"


def exchanged_inputs(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Sub")
    node.input[0], node.input[1] = node.input[1], node.input[0]


def work_for_nothing(model: ModelProto) -> None:
    image = model.graph.input[0].name
    model.graph.node.append(helper.make_node("MatMul", [image, image], ["nothing"]))


def one_weight(model: ModelProto) -> None:
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[values.size // 2] *= 1.00001
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def exchanged_layers(model: ModelProto) -> None:
    first, second = [t for t in model.graph.initializer if t.name.endswith("norm1.weight")][:2]
    first.raw_data, second.raw_data = second.raw_data, first.raw_data


CONDITIONS: tuple[Change, ...] = (
    a_comparison,
    a_clip,
    one_height,
    a_remainder,
    a_sigmoid,
    a_table,
    a_bright_pixel,
    counted_pixels,
    another_window,
    another_attribute,
    another_operator,
    exchanged_inputs,
    work_for_nothing,
    one_weight,
    exchanged_layers,
)
