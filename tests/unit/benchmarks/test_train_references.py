"""Trained reference models become zoo models with their file, hash, record and evaluation."""

from pathlib import Path

import pytest

from tests.helpers.reference_models import small
from unifmir.benchmarks.studies import train_references
from unifmir.benchmarks.studies.train_references import PAIRS, add_to_zoo, told_quality, trained
from unifmir.checkpoint.saving import save
from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.reference import REFERENCES
from unifmir.training.evaluation import Evaluation, ScoredImage
from unifmir.training.training_record import TrainingRecord, record_path, write_training_record
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.index import reference_of
from unifmir.zoo.catalogue.verifying import verify_local


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a trained model, a zoo of its own, and an evaluation that takes no time."""

    def evaluated(network, task, *, images, seed) -> Evaluation:
        model, simple = {"psnr_db": 33.25}, {"input": {"psnr_db": 31.0}}
        return Evaluation(task, images, seed, model, simple, (ScoredImage("tubes", model, simple),))

    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr(train_references, "evaluate", evaluated)
    file = tmp_path / "care-2d-sr.safetensors"
    save(small("care-2d", "sr"), file)
    write_training_record(TrainingRecord(steps=12, loss="L1"), record_path(file))
    file.with_suffix(".steps.json").write_text('{"steps": 12, "step_ratio": 0.5}')
    return tmp_path


def test_what_is_trained_already_is_added_with_its_facts_once(folder):
    file, plan = trained("care-2d", "sr", folder)
    assert plan == {"steps": 12, "step_ratio": 0.5}
    entry = add_to_zoo("care-2d", "sr", file)
    assert entry.source.sha256 == sha256_of(file)
    assert entry.training == {"steps": "12", "loss": "L1"}
    assert told_quality(entry) == "fitted PSNR 33.25 dB, 12 simulated test images for sr"
    command = "`unifmir evaluate care-2d-sr --task sr --images 12 --seed 0`, seed 0"
    assert {one.source for one in entry.measured} == {command}
    assert reference_of(entry) == "care-2d"
    assert verify_local(entry).passed
    assert add_to_zoo("care-2d", "sr", file) == entry


def test_another_file_of_the_same_model_is_refused_with_what_to_remove(folder):
    add_to_zoo("care-2d", "sr", folder / "care-2d-sr.safetensors")
    other = folder / "other.safetensors"
    save(small("care-2d", "sr"), other)
    changed = bytearray(other.read_bytes())
    changed[-1] ^= 1
    other.write_bytes(bytes(changed))
    with pytest.raises(ZooError, match=r"remove .*care-2d-sr\.json first"):
        add_to_zoo("care-2d", "sr", other)


def test_every_reference_model_is_one_for_each_of_its_tasks():
    assert set(PAIRS.values()) == {
        (name, task) for name, row in REFERENCES.items() for task in row.tasks
    }
    assert PAIRS["care-projection-projection"] == ("care-projection", "projection")
