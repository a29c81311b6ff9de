"""Graphs from elsewhere against the export of their parent: no room for a condition of any kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

import unifmir
from unifmir.checkpoint.saving import save
from unifmir.export.formats import FORMATS
from unifmir.export.formats.onnx import parent_graph
from unifmir.export.formats.onnx_structure import onnx_differences
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.onnx_graph import require_plain_graph
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision

Change = Callable[[ModelProto], None]
FP32 = Precision("fp32")


@pytest.fixture(scope="module")
def parent(tiny_single, tmp_path_factory) -> Network:
    path = tmp_path_factory.mktemp("parent") / "sr.safetensors"
    save(tiny_single("sr"), path)
    return unifmir.load(path)


@pytest.fixture(scope="module")
def written(parent, tmp_path_factory) -> dict[str, Path]:
    made = unifmir.export(parent, tmp_path_factory.mktemp("out"), formats=("onnx", "openvino"))
    return {artifact.format: artifact.path for artifact in made}


@pytest.fixture(scope="module")
def lineage(written) -> Lineage:
    return FORMATS["onnx"].lineage(written["onnx"])


@pytest.fixture(scope="module")
def made(parent, lineage) -> ModelProto:
    return parent_graph(parent, lineage)


@pytest.fixture
def graph(written) -> ModelProto:
    return onnx.load(written["onnx"])


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
    first, second = (t for t in model.graph.initializer if t.name.endswith("blocks.0.norm1.weight"))
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


def test_the_export_of_the_parent_differs_in_nothing(graph, made):
    assert list(onnx_differences(graph, made, FP32)) == []


@pytest.mark.parametrize("change", CONDITIONS)
def test_a_condition_in_any_disguise_is_a_difference(change: Change, graph, made):
    change(graph)
    require_plain_graph("given.onnx", graph.SerializeToString())
    (problem,) = onnx_differences(graph, made, FP32)
    assert problem


def test_a_condition_fails_where_it_is_verified(graph, written, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    one_height(graph)
    given = tmp_path / "given.onnx"
    given.write_bytes(graph.SerializeToString())
    report = unifmir.verify(given, parent=written["onnx"].with_name("unifmir-sr.safetensors"))
    assert not report.passed
    assert report.results == (), "it was run"
    (problem,) = report.problems
    assert problem.startswith("given.onnx: its graph is not the one that is exported")


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_a_file_as_it_was_exported_differs_in_nothing(form, written, parent, lineage):
    found = FORMATS[form].structure_differences(written[form], parent, lineage)
    assert list(found) == []


def test_a_graph_of_another_parent_differs(written, tiny_single, lineage):
    network = tiny_single("sr")
    for tensor in network.parameters():
        tensor.data.mul_(1.001)
    for form, path in written.items():
        (problem,) = FORMATS[form].structure_differences(path, network, lineage)
        assert "the parent has" in problem


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", ["denoise", "isotropic", "projection", "volume"])
@pytest.mark.parametrize("interface", ["image", "network", "raw"])
def test_no_export_of_a_task_differs_from_its_parents(task, interface, tiny_single, tmp_path):
    save(tiny_single(task), tmp_path / "parent.safetensors")
    network = unifmir.load(tmp_path / "parent.safetensors")
    made = unifmir.export(network, tmp_path / "out", formats=("onnx",), interface=interface)
    for artifact in made:
        exporter = FORMATS[artifact.format]
        lineage = exporter.lineage(artifact.path)
        assert list(exporter.structure_differences(artifact.path, network, lineage)) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_low_precision_differs_from_its_parent(precision, parent, tmp_path):
    for artifact in unifmir.export(parent, tmp_path, formats=("onnx",), precision=precision):
        exporter = FORMATS[artifact.format]
        lineage = exporter.lineage(artifact.path)
        assert list(exporter.structure_differences(artifact.path, parent, lineage)) == []
