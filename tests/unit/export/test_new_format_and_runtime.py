"""A format and a runtime are one file and one row each: export, verify and restore take them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unifmir
from tests import toys
from tests.toys.runtime import TOY_RUNTIME, ToyRuntime
from unifmir.errors import ExportError
from unifmir.export.base import Artifact
from unifmir.export.runtimes.base import HostSession, Image
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    with toys.registered():
        yield


def exported(network: Network, folder: Path) -> Artifact:
    (artifact,) = unifmir.export(network, folder, formats=("toy-format",))
    return artifact


def changed_sessions(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """The toy runtime's sessions, whose results `run` changes."""
    opened = ToyRuntime.open

    def open_changed(self: ToyRuntime, source: Any, **options: Any) -> HostSession:
        session = opened(self, source, **options)
        assert isinstance(session, HostSession)
        return replace(session, compute=lambda image: run(session.compute(image)))

    monkeypatch.setattr(ToyRuntime, "open", open_changed)


@pytest.mark.slow
def test_a_new_format_is_exported_verified_and_restored_by_its_runtime(
    tiny_single, tmp_path, monkeypatch
):
    monkeypatch.setattr(TOY_RUNTIME, "body_maps", 5, raising=False)
    network = tiny_single("sr")
    artifact = exported(network, tmp_path)
    assert artifact.path.name == "unifmir-sr.toy.npz"
    assert artifact.report.passed
    assert unifmir.verify(artifact.path).passed
    predictor = predictor_for(ModelChoice(artifact.path, device="cpu", threads=1))
    assert (predictor.ran["runtime"], predictor.body_maps) == ("toy-runtime", 5)
    x = np.random.default_rng(0).random((1, 1, 16, 24), dtype=np.float32)
    with torch.inference_mode():
        expected = image_interface(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(predictor.run(x), expected)


@pytest.mark.slow
def test_what_is_verified_is_the_runtime_that_restores(tiny_single, tmp_path, monkeypatch):
    changed_sessions(monkeypatch, lambda restored: restored * np.float32(1.01))
    with pytest.raises(ExportError, match="not the same picture"):
        exported(tiny_single("sr"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_row_says_how_its_library_tells_that_memory_is_short(
    tiny_single, tmp_path, monkeypatch
):
    def full(_restored: Image) -> Image:
        raise ExportError("the toy box is full")

    artifact = exported(tiny_single("sr"), tmp_path)
    changed_sessions(monkeypatch, full)
    x = np.zeros((1, 1, 16, 24), np.float32)
    choice = ModelChoice(artifact.path, device="cpu", threads=1)
    with pytest.raises(ExportError, match="toy box"):
        predictor_for(choice).run(x)
    monkeypatch.setattr(TOY_RUNTIME, "out_of_memory", ("box is full",), raising=False)
    with pytest.raises(MemoryError, match="1x1x16x24"):
        predictor_for(choice).run(x)
