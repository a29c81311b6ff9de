"""The image that a graph is traced with leaves no trace of its size in it."""

import zipfile

import pytest

from tests.compat.packages import network
from unifmir.export.base import ExportJob
from unifmir.export.cases import example, traced_example
from unifmir.export.credit import Credit
from unifmir.export.formats.onnx import DEFAULT_OPSET, serialized_graph
from unifmir.export.formats.torchscript import TORCHSCRIPT
from unifmir.export.lineage import lineage_of
from unifmir.model import Provenance, image_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.tasks import TASKS

RECORD = "/traced_inputs.pkl"
"""Where torch writes the shape of the traced image, for people: no program reads it."""


@pytest.mark.slow  # two traces of each
@pytest.mark.parametrize("task", TASKS)
def test_graphs_of_a_small_and_of_a_larger_image_are_the_same_bytes(task, tmp_path):
    model = network(task)
    module = image_interface(model)
    lineage = lineage_of(model.config, "image", Precision("fp32"), Provenance("p", "0" * 64))
    recipe = PrecisionRecipe("fp32")
    images = (example(model.config, "image"), traced_example(model.config, "image"))
    assert images[0].numel() > images[1].numel()
    graphs, scripts = [], []
    for image in images:
        job = ExportJob(model, module, image, lineage, recipe, DEFAULT_OPSET, Credit())
        graphs.append(serialized_graph(job))
        TORCHSCRIPT.write(job, tmp_path / "traced.torchscript.pt")
        with zipfile.ZipFile(tmp_path / "traced.torchscript.pt") as archive:
            names = [name for name in archive.namelist() if not name.endswith(RECORD)]
            scripts.append({name: archive.read(name) for name in names})
    assert graphs[0] == graphs[1]
    assert scripts[0] == scripts[1]
