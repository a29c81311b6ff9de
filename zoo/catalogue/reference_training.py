"""How a reference model gets trained weights on a machine: by the embedded model's recipe."""

import shlex

from unifmir.reference import REFERENCES
from unifmir.training.configuration import preset_path, read_config
from unifmir.zoo.catalogue.index import trained_id

RECIPE = "embedded"
"""Preset of the training that all tasks of the embedded model share; `RECIPE-TASK` goes on."""


def embedded_steps(task: str) -> int:
    """Steps of a task that the embedded model took: among the others, and alone."""
    shared, alone = (read_config(preset_path(one)) for one in (RECIPE, f"{RECIPE}-{task}"))
    return round((shared.steps or 0) / len(shared.recipes)) + (alone.steps or 0)


def training_commands(name: str, task: str) -> tuple[str, str]:
    """The command that trains a reference model for a task, and the one that puts it into the zoo.

    It learns with the recipe of the embedded model, for as many steps as that learned the task.
    """
    row, model_id = REFERENCES[name], trained_id(name, task)
    file = f"{model_id}.safetensors"
    rate = ["--learning-rate", f"{row.learning_rate:g}"] if row.learning_rate else []
    train = ["pretrain", "--preset", RECIPE, "--init", name, "--task", task]
    train += ["--steps", str(embedded_steps(task)), *rate, "--out", file]
    add = ["add", "--id", model_id, "--file", file, "--title", f"{row.title}, simulated images"]
    add += ["--dataset", "simulated by unifmir", "--author", "me"]
    return shlex.join(["unifmir", "train", *train]), shlex.join(["unifmir", "zoo", *add])
