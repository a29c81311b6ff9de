"""Restoring with a graph from elsewhere: its tiles are held against the parent beside it."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
import torch
from onnx import helper, numpy_helper

import unifmir
from tests.helpers.restoration_cases import picture
from tests.helpers.rounding import Rounds
from unifmir.checkpoint.saving import save
from unifmir.compare import FP32
from unifmir.errors import ExportError
from unifmir.export.lineage import lineage_of
from unifmir.model import image_interface, in_interface
from unifmir.precision.element_types import Precision
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore import parent_check
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.parent_check import ParentCheck
from unifmir.zoo.restore.predictors import predictor_for

TILES = Options(tile=48, halo=8)


@pytest.fixture(scope="module")
def written(tiny_single, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    network = tiny_single("sr")
    save(network, folder / "parent.safetensors")
    (artifact,) = unifmir.export(network, folder, formats=("onnx",))
    return artifact.path


@pytest.fixture
def elsewhere(written, monkeypatch, tmp_path) -> Path:
    """The file and its parent, as if another installation had made them."""
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    for name in (written.name, "unifmir-sr.safetensors"):
        shutil.copy(written.with_name(name), tmp_path)
    copied: Path = tmp_path / written.name
    return copied


def higher_than(graph: Path, rows: int) -> None:
    """Let the file give half of the picture where an image has more rows."""
    model = onnx.load(graph)
    (result,) = model.graph.output
    last = next(node for node in model.graph.node if result.name in node.output)
    last.output[list(last.output).index(result.name)] = "honest"
    numbers = {"two": np.int64(2), "most": np.int64(rows), "half": np.float32(0.5)}
    numbers["one"] = np.float32(1)
    for name, value in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for operator, inputs, output in (
        ("Shape", [model.graph.input[0].name], "sizes"),
        ("Gather", ["sizes", "two"], "rows"),
        ("Greater", ["rows", "most"], "more"),
        ("Where", ["more", "half", "one"], "factor"),
        ("Mul", ["honest", "factor"], result.name),
    ):
        model.graph.node.append(helper.make_node(operator, inputs, [output]))
    graph.write_bytes(model.SerializeToString())


@pytest.mark.slow
def test_a_file_of_its_parent_restores(elsewhere, written, monkeypatch):
    image = picture((70, 60))
    restored = unifmir.restore(image, elsewhere, options=TILES)
    monkeypatch.undo()
    expected = unifmir.restore(image, written, options=TILES)
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.slow
def test_another_picture_at_the_size_of_a_tile_is_refused(elsewhere, tmp_path):
    higher_than(elsewhere, 40)
    small = unifmir.restore(picture((40, 40)), elsewhere)
    assert small.shape == (80, 80)
    with pytest.raises(
        ExportError, match=r"48x\d+ it gives another picture than its parent"
    ) as told:
        unifmir.restore(picture((70, 60)), elsewhere, options=TILES)
    assert str(tmp_path / "unifmir-sr.safetensors") in str(told.value)


def test_nothing_is_written_of_another_picture(elsewhere, tmp_path):
    from typer.testing import CliRunner

    from unifmir.cli.main import app

    higher_than(elsewhere, 40)
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, picture((70, 60)))
    before = sorted(tmp_path.rglob("*"))
    refused = CliRunner().invoke(app, ["restore", str(image), "--artifact", str(elsewhere)])
    assert refused.exit_code == 2, refused.output
    assert "another picture than its parent" in refused.stderr
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


def test_without_the_parent_it_is_said_that_nothing_was_compared(elsewhere, caplog):
    elsewhere.with_name("unifmir-sr.safetensors").unlink()
    unifmir.restore(picture((40, 40)), elsewhere)
    assert "does not lie beside it" in caplog.text


def test_files_that_were_written_here_are_not_compared(written, monkeypatch):
    def compare(*_: object) -> None:
        raise AssertionError("a file that was written here was compared")

    monkeypatch.setattr("unifmir.zoo.restore.parent_check.with_parent_check", compare)
    unifmir.restore(picture((40, 40)), written)


def test_a_dark_corner_is_not_enough(elsewhere, caplog):
    """Tiles of no contrast are looked at, and the first with contrast decides."""
    image = np.full((40, 200), 100, np.float32)
    image[:, 150:] = picture((40, 50))
    restored = unifmir.restore(image, elsewhere, options=TILES)
    assert np.isfinite(restored).all()
    assert "parent" not in caplog.text


def test_a_difference_counts_against_the_contrast_that_is_kept(tiny_single, tmp_path):
    """Results of `sr` are limited to [0, 1]: what lies beyond makes no difference smaller."""
    network = tiny_single("sr")
    parent = tmp_path / "parent.safetensors"
    lineage = lineage_of(network.config, "image", Precision("fp32"), save(network, parent))
    image = picture((24, 32)).astype(np.float32)[None, None] / 2000
    with torch.inference_mode():
        honest = image_interface(network)(torch.from_numpy(image)).numpy()
    given, kept = honest.std(), honest.clip(0, 1).std()
    assert 0.1 < kept < given / 1.5
    bar, difference = FP32.max_abs_over_std, np.zeros_like(honest)
    assert bar is not None
    check = ParentCheck(predictor_for(ModelChoice(device="cpu"), network), parent, parent, lineage)
    for share, allowed in ((0.9 * kept, True), (0.9 * given, False)):
        difference[..., 20, 20] = bar * share
        check._predictor = replace(check._predictor, run=lambda _: honest + difference)
        check._looks.clear()
        with nullcontext() if allowed else pytest.raises(ExportError, match="another picture"):
            check.run(image)


def test_what_the_parent_rounds_in_fp32_is_no_fault_of_the_file(tiny_single, tmp_path, monkeypatch):
    network = tiny_single("sr")
    parent = tmp_path / "parent.safetensors"
    lineage = lineage_of(network.config, "image", Precision("fp32"), save(network, parent))
    predictor = predictor_for(ModelChoice(device="cpu"), network)
    image = picture((24, 32)).astype(np.float32)[None, None] / 2000
    for part, allowed in ((0.0, True), (1e-2, False)):
        monkeypatch.setattr(
            parent_check,
            "in_interface",
            lambda *given, part=part: Rounds(in_interface(*given), part),
        )
        check = ParentCheck(predictor, parent, parent, lineage)
        with nullcontext() if allowed else pytest.raises(ExportError, match="another picture"):
            np.testing.assert_array_equal(check.run(image), predictor.run(image))
