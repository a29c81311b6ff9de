"""Graphs that are well formed, and take all there is or give another picture."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.helpers.hostile import Case, Room
from tests.helpers.hostile_artifacts import exported, placed

Change = Callable[[ModelProto, Room], object]
FORMAT = "onnx"


@cache
def template() -> bytes:
    return exported(FORMAT)


def changed(name: str, change: Change) -> Case:
    """A case of a graph that is altered."""

    def write(room: Room):
        model = onnx.load_from_string(template())
        change(model, room)
        return placed(room, FORMAT, model.SerializeToString())

    return Case(name, write)


def last(model: ModelProto):
    return next(node for node in model.graph.node if node.output[0] == model.graph.output[0].name)


def followed(*nodes: onnx.NodeProto, **constants: np.ndarray) -> Change:
    """A change that has operators between what the network gives, `real`, and the output."""

    def change(model: ModelProto, _: Room) -> None:
        node = last(model)
        name = node.output[0]
        node.output[0] = "real"
        for key, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(value, key))
        model.graph.node.extend(nodes)
        model.graph.node[-1].output[0] = name

    return change


def node(kind: str, *inputs: str, out: str = "end", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [out], **attributes)


def _numbers(*values: float) -> np.ndarray:
    kind = np.float32 if any(isinstance(value, float) for value in values) else np.int64
    return np.array(values, kind)


def bombs() -> Iterator[Case]:
    """What takes memory or time without end, and then adds nothing."""
    ends = (
        node("ReduceMax", "bomb", out="most", keepdims=0),
        node("Mul", "most", "zero", out="nothing"),
        node("Add", "real", "nothing"),
    )
    zero = {"zero": np.zeros((), np.float32)}
    big = {"sizes": _numbers(1, 300, 30_000, 30_000)}
    first = node("Slice", "real", "from", "to", out="pixel")
    cut = {"from": np.zeros(4, np.int64), "to": np.ones(4, np.int64)}
    column, row = {"column": _numbers(-1, 1)}, {"row": _numbers(1, -1)}
    outer = (
        node("Reshape", "real", "column", out="c"),
        node("Reshape", "real", "row", out="r"),
        node("MatMul", "c", "r", out="square"),
    )
    made: dict[str, tuple[tuple[onnx.NodeProto, ...], dict[str, np.ndarray]]] = {
        "Expand": ((first, node("Expand", "pixel", "sizes", out="bomb")), {**big, **cut}),
        "ConstantOfShape": ((node("ConstantOfShape", "sizes", out="bomb"),), big),
        "Tile": ((node("Tile", "real", "times", out="bomb"),), {"times": _numbers(9, 9, 900, 900)}),
        "Pad": (
            (node("Pad", "real", "pads", out="bomb"),),
            {"pads": _numbers(0, 0, 0, 0, 0, 0, 200_000, 200_000)},
        ),
        "Resize": (
            (node("Resize", "real", "", "scales", out="bomb", mode="nearest"),),
            {"scales": _numbers(1.0, 1.0, 5e3, 5e3)},
        ),
        "MatMul": ((*outer, node("MatMul", "square", "square", out="bomb")), {**column, **row}),
        "Concat": (
            (*outer, node("Concat", *["square"] * 4000, out="bomb", axis=0)),
            {**column, **row},
        ),
    }
    for name, (nodes, constants) in made.items():
        yield changed(f"a bomb of {name}", followed(*nodes, *ends, **constants, **zero))
    kilo = {"large": np.zeros((700, 700), np.float32)}
    start = node("Add", "large", "most_", out="p0")
    steps = [node("MatMul", f"p{i}", "large", out=f"p{i + 1}") for i in range(9000)]
    yield changed(
        "hours of products",
        followed(
            node("ReduceMax", "real", out="most_", keepdims=0),
            start,
            *steps,
            node("Identity", "p9000", out="bomb"),
            *ends,
            **kilo,
            **zero,
        ),
    )
    yield changed("200000 operators", _many)


def _many(model: ModelProto, _: Room) -> None:
    for _index in range(200_000):
        model.graph.node.add(op_type="Identity", input=["image"])


def other_pictures() -> Iterator[Case]:
    one = {"a": _numbers(1.0)}
    yield changed("half as bright again", followed(node("Mul", "real", "a"), a=_numbers(1.5)))
    yield changed("one per mille brighter", followed(node("Mul", "real", "a"), a=_numbers(1.001)))
    yield changed("nothing", followed(node("Sub", "real", "real")))
    yield changed("not a number", followed(node("Div", "real", "a"), a=_numbers(0.0)))
    yield changed("infinite", followed(node("Exp", "real", out="x"), node("Exp", "x")))
    yield changed("turned", followed(node("Transpose", "real", perm=[0, 1, 3, 2])))
    yield changed("without an axis", followed(node("Squeeze", "real", "ax"), ax=_numbers(1)))
    yield changed("a number", followed(node("ReduceMax", "real", keepdims=0)))
    yield changed("whole numbers", followed(node("Cast", "real", to=TensorProto.INT64)))
    yield changed("booleans", followed(node("Greater", "real", "a"), **one))
    yield changed("numbers of 8 bytes", followed(node("Cast", "real", to=TensorProto.DOUBLE)))
    part = {"from": _numbers(0), "to": _numbers(-1), "along": _numbers(3)}
    yield changed("a column less", followed(node("Slice", "real", "from", "to", "along"), **part))
    yield changed("no pixels", followed(node("Slice", "real", "from", "from", "along"), **part))
    bright = followed(
        node("ReduceMax", "image", out="m", keepdims=0),
        node("Greater", "m", "a", out="g"),
        node("Cast", "g", out="f", to=TensorProto.FLOAT),
        node("Sub", "real", "f"),
        a=_numbers(0.999)[0],
    )
    yield changed("darker where a pixel is bright", bright)
    yield changed("other weights", _perturbed)


def _perturbed(model: ModelProto, _: Room) -> None:
    largest = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(largest) * np.float32(1.01)
    largest.raw_data = values.tobytes()
