"""A reference model is measured with the weights that the zoo has of it, else with fresh ones."""

import pytest

from tests.helpers.reference_models import small
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.benchmarks.plan.groups import Candidate
from unifmir.benchmarks.plan.subject import Subject
from unifmir.checkpoint.saving import save
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.adding import Description, add_checkpoint
from unifmir.zoo.catalogue.index import entries, reference_of
from unifmir.zoo.catalogue.load import trained_reference


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


def test_weights_whose_file_is_gone_are_not_taken(zoo):
    (zoo / "home" / "files" / "care-isotropic" / "care-isotropic.safetensors").unlink()
    assert trained_reference("care", "isotropic") is None
