"""What a graph is made by leaves no trace in it: the traced image's size, the simplifier's work."""

import zipfile

import onnx
import pytest

from tests.compat.packages import network
from unifmir.errors import ExportError
from unifmir.export.base import ExportJob
from unifmir.export.cases import example, traced_example
from unifmir.export.credit import Credit
from unifmir.export.formats import onnx as onnx_format
from unifmir.export.formats.onnx import DEFAULT_OPSET, serialized_graph
from unifmir.export.formats.torchscript import TORCHSCRIPT
from unifmir.export.lineage import lineage_of
from unifmir.model import Provenance, image_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.tasks import TASKS

RECORD = "/traced_inputs.pkl"
"""Where torch writes the shape of the traced image, for people: no program reads it."""


def job_of(model, image):
    """What the pipeline asks for."""
    lineage = lineage_of(model.config, "image", Precision("fp32"), Provenance("p", "0" * 64))
    recipe = PrecisionRecipe("fp32")
    return ExportJob(model, image_interface(model), image, lineage, recipe, DEFAULT_OPSET, Credit())


@pytest.mark.slow  # two traces of each
@pytest.mark.parametrize("task", TASKS)
def test_graphs_of_a_small_and_of_a_larger_image_are_the_same_bytes(task, tmp_path):
    model = network(task)
    images = (example(model.config, "image"), traced_example(model.config, "image"))
    assert images[0].numel() > images[1].numel()
    graphs, scripts = [], []
    for image in images:
        job = job_of(model, image)
        graphs.append(serialized_graph(job))
        TORCHSCRIPT.write(job, tmp_path / "traced.torchscript.pt")
        with zipfile.ZipFile(tmp_path / "traced.torchscript.pt") as archive:
            names = [name for name in archive.namelist() if not name.endswith(RECORD)]
            scripts.append({name: archive.read(name) for name in names})
    assert graphs[0] == graphs[1]
    assert scripts[0] == scripts[1]


@pytest.mark.slow  # two traces of each
@pytest.mark.parametrize("task", TASKS)
def test_kernels_that_the_simplifier_does_not_see_are_those_it_would_have_left(task, monkeypatch):
    model = network(task)
    traced = traced_example(model.config, "image")
    found = []
    for size in (1 << 30, 0):
        monkeypatch.setattr(onnx_format, "LARGE_KERNEL_BYTES", size)
        graph = onnx.load_from_string(serialized_graph(job_of(model, traced))).graph
        weights = {one.name: one.SerializeToString() for one in graph.initializer}
        assert len(weights) == len(graph.initializer)
        nodes = [one.SerializeToString(deterministic=True) for one in graph.node]
        found.append((nodes, weights, [one.name for one in graph.input]))
    assert found[0] == found[1]
    assert found[1][2] == ["image"]
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    assert kernels <= found[1][1].keys()


def test_a_simplifier_that_loses_weights_is_told():
    kernel = onnx.TensorProto(name="kernel", data_type=onnx.TensorProto.FLOAT, dims=[1])
    with pytest.raises(ExportError, match="lost weights"):
        onnx_format._put_back(onnx.GraphProto(), [kernel])
