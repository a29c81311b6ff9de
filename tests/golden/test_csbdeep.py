"""CARE networks compute what csbdeep's own do, read from the files that csbdeep writes.

`csbdeep/make.py` made the files and recorded the outputs, with csbdeep 0.8.2 on Keras 2 and 3.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unifmir.checkpoint.keras import read_keras
from unifmir.config import ReferenceConfig
from unifmir.errors import CheckpointError
from unifmir.hashing import sha256_of
from unifmir.reference import REFERENCES

pytest.importorskip("h5py", reason='reading Keras files needs h5py: pip install "unifmir[keras]"')

HERE = Path(__file__).parent / "csbdeep"
RECORDS: list[dict[str, Any]] = [
    json.loads((HERE / f"keras{keras}.json").read_text("utf-8")) for keras in (2, 3)
]
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case
    for record in RECORDS
    for case in record["cases"]
    if case["name"] != "probabilistic"
}
TOLERANCE = 1e-5
"""Of the expected output's largest magnitude; measured: 2e-7 at worst."""
NARROW_2D = (("depth", 1), ("features", 4), ("kernel", 5), ("residual", False))
NARROW_PROJECTION = (("features", 2), ("projection_features", 4))
CONFIGS = {
    "care": ReferenceConfig("care", "denoise", (("features", 3),)),
    "care-2d": ReferenceConfig("care-2d", "denoise", (("features", 3),)),
    "care-2d-keras3": ReferenceConfig("care-2d", "denoise", NARROW_2D),
    "whole-model": ReferenceConfig("care-2d", "denoise", NARROW_2D),
    "projection": ReferenceConfig("care-projection", "projection", NARROW_PROJECTION),
    "whole-projection-keras3": ReferenceConfig("care-projection", "projection", NARROW_PROJECTION),
}


@pytest.mark.parametrize("name", CASES)
def test_output_is_that_of_csbdeep(name):
    network = read_keras(HERE / f"{name}.h5")
    with np.load(HERE / f"{name}.npz") as arrays:
        for index, _ in enumerate(CASES[name]["sizes"]):
            expected = arrays[f"y{index}"]
            with torch.inference_mode():
                output = network(torch.from_numpy(arrays[f"x{index}"])).numpy()
            assert output.shape == expected.shape
            assert np.abs(output - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_layer_has_a_part_in_the_output(name):
    # Behind a ReLU that is always 0, wrong weights would go unnoticed.
    network = read_keras(HERE / f"{name}.h5")
    with np.load(HERE / f"{name}.npz") as arrays:
        network(torch.from_numpy(arrays["x0"])).square().sum().backward()
    # A constant added to all logits leaves a softmax as it is.
    moved = {k: p.grad for k, p in network.named_parameters() if k != "projector.last.bias"}
    assert [k for k, grad in moved.items() if grad is None or not grad.any()] == []


@pytest.mark.parametrize("name", CASES)
def test_configuration_is_read_off_the_shapes(name):
    network = read_keras(HERE / f"{name}.h5")
    assert network.config == CONFIGS[name]
    assert network.task == CONFIGS[name].task
    assert not network.training


def test_source_names_the_file():
    path = HERE / "care.h5"
    source = read_keras(path).source
    assert (source.name, source.path) == ("care.h5", path)
    assert (source.sha256, source.size_bytes) == (sha256_of(path), path.stat().st_size)


def test_probabilistic_network_is_refused():
    with pytest.raises(CheckpointError, match=r"probabilistic\.h5: .* a probabilistic network"):
        read_keras(HERE / "probabilistic.h5")


@pytest.mark.parametrize("record", RECORDS, ids=["keras2", "keras3"])
def test_parameters_are_as_many_as_csbdeeps(record):
    assert record["parameters"] == {
        name: REFERENCES[name].parameters for name in ("care", "care-2d", "care-projection")
    }
