"""A format and a runtime are one file and one row each: export, verify and restore take them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import unifmir
from tests.helpers import new_format_and_runtime as toys
from unifmir.errors import ExportError
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.model import image_interface
from unifmir.zoo.restore.predictors import ModelChoice, predictor_for


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    with (
        FORMATS.extended("toy-format", f"{toys.HERE}:TOY_FORMAT"),
        RUNTIMES.extended("toy-runtime", f"{toys.HERE}:TOY_RUNTIME"),
    ):
        yield


def test_a_new_format_is_exported_verified_and_restored_by_its_runtime(tiny_single, tmp_path):
    network = tiny_single("sr")
    (artifact,) = unifmir.export(network, tmp_path, formats=("toy-format",))
    assert artifact.path.name == "unifmir-sr.toy"
    assert artifact.details == {"toy": True}
    assert artifact.report.passed
    assert unifmir.verify(artifact.path).passed
    predictor = predictor_for(ModelChoice(artifact.path, device="cpu", threads=1))
    assert (predictor.ran["runtime"], predictor.body_maps) == ("toy-runtime", 5)
    x = np.random.default_rng(0).random((1, 1, 16, 24), dtype=np.float32)
    with torch.inference_mode():
        expected = image_interface(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(predictor.run(x), expected)


def test_verification_runs_the_runtime_that_restores(tiny_single, tmp_path, monkeypatch):
    monkeypatch.setattr(toys.TOY_RUNTIME, "gain", 1.01)
    with pytest.raises(ExportError, match="not the same picture"):
        unifmir.export(tiny_single("sr"), tmp_path, formats=("toy-format",))
    assert not list(tmp_path.iterdir())


def test_the_runtime_says_how_it_tells_that_memory_is_short(tiny_single, tmp_path):
    (artifact,) = unifmir.export(tiny_single("sr"), tmp_path, formats=("toy-format",))
    predictor = predictor_for(ModelChoice(artifact.path, device="cpu", threads=1))
    with pytest.raises(MemoryError, match="1x1x1001x1001"):
        predictor.run(np.zeros((1, 1, 1001, 1001), np.float32))
