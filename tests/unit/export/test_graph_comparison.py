"""Graphs from elsewhere against the export of their parent: no room for a condition of any kind."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import unifmir
from tests.helpers.graph_conditions import CONDITIONS, Change, one_height
from unifmir.checkpoint.saving import save
from unifmir.compare import Tolerance
from unifmir.export.formats import FORMATS
from unifmir.export.formats.graph_comparison import unequal_numbers
from unifmir.export.formats.onnx import parent_graph
from unifmir.export.formats.onnx_structure import onnx_differences
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.onnx_graph import require_plain_graph
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision

pytestmark = pytest.mark.slow  # exports, each made twice
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


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "task",
    # The first two passes of one network, the other a U-Net before it; those of sr are above.
    [
        *("isotropic", "volume"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("denoise", "projection")),
    ],
)
@pytest.mark.parametrize(
    "interface",
    ["image", *(pytest.param(name, marks=pytest.mark.long) for name in ("network", "raw"))],
)
def test_no_export_of_a_task_differs_from_its_parents(task, interface, tiny_single, tmp_path):
    save(tiny_single(task), tmp_path / "parent.safetensors")
    network = unifmir.load(tmp_path / "parent.safetensors")
    made = unifmir.export(network, tmp_path / "out", formats=("onnx",), interface=interface)
    for artifact in made:
        exporter = FORMATS[artifact.format]
        lineage = exporter.lineage(artifact.path)
        assert list(exporter.structure_differences(artifact.path, network, lineage)) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_low_precision_differs_from_its_parent(precision, parent, tmp_path, monkeypatch):
    if precision == "bf16":  # these random weights are another picture in it: the graph counts here
        loose = Tolerance("loose", "for a preview", psnr_db=30.0)
        planned = partial(plan_precision, tolerance=loose)
        monkeypatch.setattr("unifmir.export.pipeline.plan_precision", planned)
        monkeypatch.setattr("unifmir.compare.LOW_PRECISION", loose)
    made = unifmir.export(parent, tmp_path, formats=("onnx",), precision=precision)
    assert made
    for artifact in made:
        exporter = FORMATS[artifact.format]
        lineage = exporter.lineage(artifact.path)
        assert list(exporter.structure_differences(artifact.path, parent, lineage)) == []


def test_a_signalling_nan_in_a_damaged_file_is_a_difference_and_no_warning():
    damaged = np.array([0x7F800001, 0x3F800000], np.uint32).view(np.float32)
    assert unequal_numbers(damaged, np.ones(2, np.float32), 1e-5).tolist() == [True, False]
