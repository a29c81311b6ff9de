"""Counting on ONNX graphs, operator by operator."""

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from unifmir.benchmarks.studies.oracles.closed_form_items import AnalyticCount, conv, product
from unifmir.benchmarks.studies.oracles.count_agreement import compare_counts
from unifmir.benchmarks.studies.oracles.onnx_macs import count_onnx
from unifmir.errors import ExportError


def graph(*nodes: NodeProto, rank: int, weights: dict[str, tuple[int, ...]]) -> ModelProto:
    """A model from `x`, of free sizes, to `y`."""
    free = [f"d{axis}" for axis in range(rank)]
    return helper.make_model(
        helper.make_graph(
            list(nodes),
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.zeros(shape, np.float32), name)
                for name, shape in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    ("node", "weight", "shape", "macs", "kind"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], group=2), (6, 2, 3, 3), (1, 4, 5, 5), 972, 0),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            (4, 6, 3, 3),
            (1, 4, 5, 5),
            25 * 4 * 6 * 9,
            0,
        ),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (4, 7), (2, 3, 4), 2 * 3 * 4 * 7, 1),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), (7, 4), (3, 4), 84, 1),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), (3, 7), (3, 4), 84, 1),
        (
            helper.make_node("Einsum", ["x", "x"], ["y"], equation="bij,bkj->bik"),
            (1,),
            (2, 3, 4),
            2 * 3 * 3 * 4,
            2,
        ),
        (helper.make_node("MatMul", ["x", "x"], ["y"]), (1,), (2, 4, 4), 128, 2),
    ],
)
def test_each_operator(node, weight, shape, macs, kind):
    count = count_onnx(graph(node, rank=len(shape), weights={"w": weight}), shape)
    assert count.macs == macs
    assert count.flops == 2 * macs
    assert list(count.by_kind().values()) == [macs if index == kind else 0 for index in range(3)]
    assert count.by_operator() == {node.op_type: macs}
    assert count.unknown == ()
    assert count.shapes_from == "inference"


def test_weights_that_are_cast_or_transposed_are_weights():
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    count = count_onnx(graph(*nodes, rank=2, weights={"w": (7, 4)}), (3, 4))
    assert count.by_kind() == {"conv": 0, "linear": 84, "product": 0}


def test_shapes_that_inference_cannot_tell_are_asked_of_the_runtime():
    nodes = [
        helper.make_node("NonZero", ["x"], ["at"]),
        helper.make_node("Cast", ["at"], ["found"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["x", "found"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "turned"], ["y"]),
    ]
    nodes.insert(3, helper.make_node("Transpose", ["all"], ["turned"], perm=[1, 0]))
    count = count_onnx(graph(*nodes, rank=2, weights={}), (2, 5))
    # Nothing of zeros is not zero, so nothing is found.
    assert count.shapes_from == "runtime"
    assert count.macs == 2 * 5 * 2
    assert [row.operator for row in count.unknown] == ["NonZero"]


def test_a_fourier_transform_is_named_and_estimated():
    node = helper.make_node("DFT", ["x"], ["y"], axis=1)
    count = count_onnx(graph(node, rank=3, weights={}), (2, 16, 1))
    assert count.macs == 0
    (row,) = count.unknown
    assert (row.operator, row.nodes, row.estimated_flops) == ("DFT", 1, 2 * 2.5 * 16 * 4)
    assert count.to_dict()["unknown"][0]["operator"] == "DFT"


def test_operators_of_other_domains_are_named():
    model = graph(
        helper.make_node("MatMul", ["x", "x"], ["y"], domain="com.microsoft"), rank=2, weights={}
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert [row.operator for row in count_onnx(model, (3, 3)).unknown] == ["com.microsoft:MatMul"]


def test_a_shape_that_the_graph_does_not_take_is_refused():
    model = graph(helper.make_node("Relu", ["x"], ["y"]), rank=2, weights={})
    with pytest.raises(ExportError, match="this shape is"):
        count_onnx(model, (1, 2, 3))


def test_a_disagreement_is_itemised():
    right = AnalyticCount((conv("a", 100, 9, 8, 8), product("b", 5000)))
    without = AnalyticCount((conv("a", 100, 9, 8, 8),))
    found = compare_counts({"one": right, "other": without})
    assert not found.agrees
    (difference,) = found.differences
    assert (difference.kind, difference.macs) == ("product", {"one": 5000, "other": 0})
    assert "disagree" in found.sentence()
    assert "product: one 5e-06, other 0" in found.sentence()
    assert compare_counts({"one": right, "two": right}).sentence().startswith("identical")
    assert compare_counts({"one": without, "two": right}, within=0.1).agrees
    assert found.to_dict()["agrees"] is False
