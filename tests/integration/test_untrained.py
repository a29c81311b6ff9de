"""Commands that make pictures take no model that has learned nothing, unless told to."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import unifmir
from unifmir.cli.main import app
from unifmir.errors import ZooError
from unifmir.zoo.catalogue.load import load_trained


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 99, (16, 24)).astype(np.uint16))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["restore", "cells.tif", "--model", "care-2d", "--task", "sr"],
        ["restore", "cells.tif", "--model", "dfcan"],
        ["evaluate", "vcd-net"],
        ["export", "--model", "unet", "--format", "onnx"],
    ],
)
def test_a_reference_model_by_its_bare_name_is_refused(command, image, monkeypatch):
    monkeypatch.chdir(image.parent)
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "untrained" in refused.stderr
    assert "unifmir benchmark" in refused.stderr
    assert [path.name for path in image.parent.iterdir()] == [image.name]


def test_tests_may_use_it_as_it_is(image):
    command = ["restore", str(image), "--model", "care-2d", "--task", "sr", "--untrained"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert image.with_name("cells.sr.tif").is_file()


def test_python_refuses_the_name_and_takes_the_network():
    raw = np.random.default_rng(0).random((16, 24))
    with pytest.raises(ZooError, match="untrained"):
        unifmir.restore(raw, "care-2d", device="cpu")
    assert unifmir.restore(raw, unifmir.load("care-2d"), device="cpu").shape == (32, 48)


def test_a_file_of_that_name_is_a_file(tiny_single, tmp_path, monkeypatch):
    from unifmir.checkpoint.saving import save

    save(tiny_single("sr"), tmp_path / "care.safetensors")
    (tmp_path / "care.safetensors").rename(tmp_path / "care")
    monkeypatch.chdir(tmp_path)
    assert load_trained("care").task == "sr"


def test_the_default_model_is_said_to_be_for_trying(image):
    done = CliRunner().invoke(app, ["restore", str(image), "--task", "sr", "--tile", "16"])
    assert done.exit_code == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("model: ")]
    assert "for trying" in line
    assert "unifmir zoo list" in line
