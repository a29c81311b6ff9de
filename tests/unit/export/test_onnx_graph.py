"""Graphs of ONNX files: those of our exports pass, others are refused before anything runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.helpers import array_types  # noqa: F401 - what is imported after it is checked
from unifmir.errors import ExportError
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.onnx_graph import OPERATORS, require_plain_graph

Change = Callable[[ModelProto], None]


def plain() -> ModelProto:
    """A network of one addition."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "y", "x"])
        for name in ("image", "restored")
    ]
    weight = numpy_helper.from_array(np.ones(1, np.float32), "weight")
    node = helper.make_node("Add", ["image", "weight"], ["restored"])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def branch(model: ModelProto) -> None:
    one = helper.make_graph([helper.make_node("Identity", ["image"], ["a"])], "one", [], [])
    node = helper.make_node("If", ["c"], ["b"], then_branch=one, else_branch=one)
    model.graph.node.append(node)


def hidden_graph(model: ModelProto) -> None:
    one = helper.make_graph([helper.make_node("Identity", ["image"], ["a"])], "one", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", one))


def outside(model: ModelProto) -> None:
    (weight,) = model.graph.initializer
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/passwd")


def outside_of_attribute(model: ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(1, np.float32), "value")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def function(model: ModelProto) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [node], opsets))


def domain(model: ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def opset(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil\x1b[2J", 1))


def operator(name: str) -> Change:
    def change(model: ModelProto) -> None:
        model.graph.node[0].op_type = name

    return change


def too_few_bytes(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40]


def negative_size(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1]


def too_few_values(model: ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.CopyFrom(helper.make_tensor(weight.name, TensorProto.FLOAT, [1], [1.0]))
    weight.dims[:] = [1 << 40]


def many_axes(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1] * 9


def text_weight(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


def huge_image(model: ModelProto) -> None:
    size = model.graph.input[0].type.tensor_type.shape.dim[2]
    size.dim_value = 1 << 40


def unknown_type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(4)


def second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def no_output(model: ModelProto) -> None:
    del model.graph.output[:]


def text_image(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def sequence(model: ModelProto) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1]))
    model.graph.output[0].type.CopyFrom(kind)


def again_and_again(model: ModelProto) -> None:
    square = numpy_helper.from_array(np.ones((64, 64), np.float32), "square")
    model.graph.initializer.append(square)
    model.graph.node.extend(
        helper.make_node("MatMul", ["image", "square"], [f"product{index}"]) for index in range(17)
    )


HOSTILE = {
    again_and_again: "17 times with each of its weights, at most 16",
    branch: "'If'",
    hidden_graph: "graph of its own",
    outside: "outside the file",
    outside_of_attribute: "outside the file",
    function: "functions",
    domain: "com.microsoft",
    opset: r"'evil\\x1b\[2J'",
    operator("Loop"): "'Loop'",
    operator("Scan"): "'Scan'",
    operator("RandomNormal"): "'RandomNormal'",
    operator("StringNormalizer"): "'StringNormalizer'",
    operator("x" * 1000): "'xxx",
    too_few_bytes: "declares 4398046511104 bytes and holds 4",
    negative_size: "no tensor has",
    unknown_type: "no tensor has",
    too_few_values: "declares 1099511627776 values and holds 1",
    many_axes: "no tensor has",
    text_weight: "no tensor has",
    huge_image: "no image has",
    sparse: "sparse",
    second_input: "2 inputs",
    no_output: "0 outputs",
    text_image: "input is not an image of float32",
    sequence: "output is not an image of float32",
}


@pytest.mark.parametrize(("change", "problem"), HOSTILE.items())
def test_what_no_export_has_is_refused(change: Change, problem: str, tmp_path: Path):
    model = plain()
    path = tmp_path / "given.onnx"
    path.write_bytes(model.SerializeToString())
    require_plain_graph(path.name, path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    for refuse in (
        lambda p: require_plain_graph(p.name, p.read_bytes()),
        lambda p: RUNTIMES["onnxruntime"].open(p, device="cpu", threads=1),
    ):
        with pytest.raises(ExportError, match=problem) as raised:
            refuse(path)
        assert len(str(raised.value)) < 300
        assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\x08", b"no graph at all", b"\xff" * 100])
def test_what_is_no_graph_is_refused(content, tmp_path):
    path = tmp_path / "given.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"given\.onnx"):
        require_plain_graph(path.name, path.read_bytes())


def test_the_list_is_of_operators_of_onnx_without_control_and_chance():
    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert known >= OPERATORS
    doubtful = ("If", "Loop", "Scan", "Random", "Sequence", "Optional", "String", "Image", "Train")
    assert not [name for name in OPERATORS if name.startswith(doubtful)]
