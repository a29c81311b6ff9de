"""What the pages of the tasks say of a task."""

import pytest

import unifmir
from unifmir.benchmarks.studies.document_facts import task_facts
from unifmir.config import MultiTaskConfig
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.tasks import TASKS

INVERTIBLE = [name for name, spec in TASKS.items() if spec.normalization.invertible]


@pytest.mark.parametrize("task", INVERTIBLE)
def test_the_default_that_a_page_names_is_what_the_embedded_model_does(task: str):
    config = unifmir.load("unifmir-small-sim").config
    assert isinstance(config, MultiTaskConfig)
    named = task_facts(task)({}).split("default: `")[1].partition("`")[0]
    assert named == intensity_of(config.single(task), Options())
