"""Trained reference models: trained by a study, kept in the zoo, and taken by a benchmark."""

import os
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.benchmark_results import results, subject
from tests.helpers.benchmark_results import row as result_row
from tests.helpers.reference_models import small
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.benchmarks.plan.groups import Candidate
from unifmir.benchmarks.plan.subject import Subject
from unifmir.benchmarks.report.tables.summary_table import summary_text
from unifmir.benchmarks.studies import train_references
from unifmir.benchmarks.studies.train_references import (
    PAIRS,
    TrainingLength,
    add_to_zoo,
    told_quality,
    trained,
)
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.reference import REFERENCES
from unifmir.training.evaluation import Evaluation, ScoredImage
from unifmir.training.training_record import TrainingRecord, record_path, write_training_record
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.adding import Description, add_checkpoint
from unifmir.zoo.catalogue.index import entries, reference_of
from unifmir.zoo.catalogue.load import trained_reference
from unifmir.zoo.catalogue.pull import present_file
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
    file, length = trained("care-2d", "sr", folder)
    assert length == TrainingLength(12, 0.5)
    entry = add_to_zoo("care-2d", "sr", file)
    assert entry.source.sha256 == sha256_of(file)
    assert entry.training == TrainingRecord(steps=12, loss="L1")
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
    with pytest.raises(ZooError, match="`unifmir zoo remove care-2d-sr` first"):
        add_to_zoo("care-2d", "sr", other)


def test_a_file_that_the_zoo_has_lost_is_given_again(folder):
    file = folder / "care-2d-sr.safetensors"
    entry = add_to_zoo("care-2d", "sr", file)
    place = present_file(entry)
    assert place is not None
    place.unlink()
    assert add_to_zoo("care-2d", "sr", file) == entry
    assert present_file(entry) == place
    assert verify_local(entry).passed


def told_by(monkeypatch, capsys, *arguments: object) -> str:
    """The one line that the study's command ends with, as errors of the user's do."""
    monkeypatch.setattr(sys, "argv", ["train_references", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        train_references.main()
    assert ended.value.code == 2
    lines: list[str] = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_name_of_no_reference_model_is_refused_with_those_there_are(monkeypatch, capsys, folder):
    told = told_by(monkeypatch, capsys, folder, "care-2d-sr", "care-2d-rs")
    assert told.startswith("error: unknown trained reference model 'care-2d-rs'; did you mean")
    assert "known: care-denoise, " in told


def test_a_folder_that_is_none_is_refused(monkeypatch, capsys):
    told = told_by(monkeypatch, capsys, os.devnull, "care-2d-sr")
    assert told.startswith(f"error: {os.devnull} cannot be written")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", ""),
        ('{"steps": 12, "st', ""),
        ('{"steps": 12}', "TrainingLength.step_ratio is missing"),
        ('{"steps": 0, "step_ratio": 0.5}', "steps is 0; expected at least 1"),
        (None, "No such file"),
    ],
)
def test_a_damaged_length_of_the_training_is_refused_with_what_to_remove(
    content, found, monkeypatch, capsys, folder
):
    record = folder / "care-2d-sr.steps.json"
    record.unlink() if content is None else record.write_text(content)
    told = told_by(monkeypatch, capsys, folder, "care-2d-sr")
    assert told.startswith(f"error: {record} does not say how long care-2d-sr.safetensors learns (")
    assert found in told
    left = [str(folder / "care-2d-sr.safetensors")]
    removed = " and ".join(left if content is None else [str(record), *left])
    assert told.endswith(f"). Remove {removed}, and it is trained anew")


def test_a_file_that_is_no_checkpoint_or_another_model_s_is_refused(monkeypatch, capsys, folder):
    file = folder / "care-2d-sr.safetensors"
    save(small("care", "denoise"), file)
    told = told_by(monkeypatch, capsys, folder, "care-2d-sr")
    assert told.startswith("error: ")
    assert "denoise" in told
    save(small("dfcan", "sr"), file)
    told = told_by(monkeypatch, capsys, folder, "care-2d-sr")
    assert told.startswith(f"error: {file} holds dfcan for sr, expected care-2d for sr: move it")
    file.write_text("text")
    assert file.name in told_by(monkeypatch, capsys, folder, "care-2d-sr")


def test_every_reference_model_is_one_for_each_of_its_tasks():
    assert set(PAIRS.values()) == {
        (name, task) for name, row in REFERENCES.items() for task in row.tasks
    }
    assert PAIRS["care-projection-projection"] == ("care-projection", "projection")


def description(model_id: str) -> Description:
    """What people say of a new model."""
    return {
        "id": model_id,
        "task": None,
        "title": "a test",
        "dataset": "nothing",
        "authors": ["a test"],
        "licence": None,
        "notes": None,
    }


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo of its own, with trained weights of CARE for isotropic and of another model's id."""
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    for name, task, model_id in (
        ("care", "isotropic", "care-isotropic"),
        ("unet", "denoise", "care-denoise"),
    ):
        file = tmp_path / f"{model_id}.safetensors"
        save(small(name, task), file)
        add_checkpoint(file, description(model_id))
    return tmp_path


def test_the_zoos_weights_are_taken_for_their_task_alone(zoo):
    models = {one.task: one for one in PreparedFiles(zoo / "work").models("care", ())}
    assert {task: (one.name, one.trained) for task, one in models.items()} == {
        "denoise": ("care", False),
        "isotropic": ("care", True),
    }
    entry = trained_reference("care", "isotropic")
    assert entry is not None
    assert models["isotropic"].config == entry.config
    subject = Subject("care", "denoise", "eager", "fp32", "cpu", "patch", (1, 1, 16, 48, 48))
    assert Candidate(subject, models["denoise"].config, model=models["denoise"]).fresh


def test_a_model_that_is_only_called_so_is_no_reference(zoo):
    assert trained_reference("care", "denoise") is None
    assert {name: reference_of(entry) for name, entry in entries().items()}["care-denoise"] is None
    assert reference_of(entries()["care-isotropic"]) == "care"


def test_weights_whose_file_is_gone_are_not_taken_and_come_back_by_the_command_that_is_told(zoo):
    (zoo / "home" / "files" / "care-isotropic" / "care-isotropic.safetensors").unlink()
    assert trained_reference("care", "isotropic") is None
    found = results(result_row(subject("care", "isotropic"), fresh=True))
    told = " ".join(summary_text(found).split())
    said = re.search(r"the file of care-isotropic is missing: `unifmir ([^`]*)`", told)
    assert said is not None
    assert said[1] == "zoo add --from care-isotropic --file FILE --replace"
    command = said[1].replace("FILE", str(zoo / "care-isotropic.safetensors"))
    given = CliRunner().invoke(app, command.split())
    assert given.exit_code == 0, given.stderr
    assert trained_reference("care", "isotropic") == entries()["care-isotropic"]
    told = " ".join(summary_text(found).split())
    assert "care-isotropic has its weights by now: measure again" in told
