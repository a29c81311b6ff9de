"""Training records: written by a training, read strictly."""

import json
from pathlib import Path

import pytest

from unifmir.errors import CheckpointError
from unifmir.training.training_record import (
    TrainingRecord,
    read_training_record,
    write_training_record,
)

RECORD = TrainingRecord(
    optimizer="torch.optim.Adam",
    optimizer_settings={"betas": [0.9, 0.999]},
    learning_rate=5e-5,
    epochs=500.0,
    data="BioSR",
    data_url="https://example.org/data",
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "m.training.json"
    write_training_record(RECORD, path)
    assert read_training_record(path) == RECORD
    assert "hours" not in json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "entry",
    [
        {"schema": 2},
        {"optimiser": "Adam"},
        {"epochs": -1.0},
        {"learning_rate": "5e-5"},
        {"data_url": "file:///etc"},
        {"loss": "x" * 2001},
        {"optimizer_settings": {"no name": 1.0}},
        {"optimizer_settings": {f"a{number}": 1.0 for number in range(33)}},
        {"optimizer_settings": {"betas": "0.9"}},
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, entry: dict[str, object]):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(entry), "utf-8")
    with pytest.raises(CheckpointError, match=r"m\.json is no training record"):
        read_training_record(path)
