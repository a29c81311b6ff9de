"""Train reference models for as long as the embedded model learned, and put them into your zoo.

    python -m benchmarks.studies.train_references FOLDER [MODEL-TASK...]

A step of both is timed in turn in one run (CPU time, one thread), and a reference model takes as
many steps of a task as last as long as the embedded model's steps of it did: same images, patches,
batches, loss, schedule and precision, from the preset `embedded`. An interrupted run goes on; what
is in FOLDER is not trained again. Each becomes the zoo model MODEL-TASK, with its file, hash,
training record and evaluation; `unifmir benchmark` then takes its weights wherever MODEL is named.
Without names all are trained, which takes about half an hour of one core each.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from unifmir.atomic import temporary_folder, write_text
from unifmir.benchmarks.studies.evaluate_embedded import IMAGES, SEED
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.cli.output import known_errors
from unifmir.config import ReferenceConfig
from unifmir.errors import BenchmarkError, CheckpointError, ZooError
from unifmir.json_values import Between, JsonValues, read_values
from unifmir.output_place import written_to
from unifmir.plain_text_values import read_json
from unifmir.reference import REFERENCES
from unifmir.registry import require_known
from unifmir.training.configuration import RecipeChange, TrainingConfig, preset_path, read_config
from unifmir.training.evaluation import Evaluation, evaluate
from unifmir.training.training_record import read_training_record, record_path
from unifmir.training.training_run import STATE_SUFFIX, TrainingCallbacks, TrainingRequest, train
from unifmir.training.training_setup import set_up
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.adding import add_entry, give_file
from unifmir.zoo.catalogue.index import entries, find, trained_id
from unifmir.zoo.catalogue.load import fresh_reference
from unifmir.zoo.catalogue.pull import present_file
from unifmir.zoo.catalogue.reference_training import RECIPE, embedded_steps
from unifmir.zoo.catalogue.refresh import measured_rows
from unifmir.zoo.catalogue.schema import ZooEntry, normalisation_of

PAIRS = {
    trained_id(name, task): (name, task) for name in REFERENCES for task in REFERENCES[name].tasks
}
"""Id of a trained reference model -> its name and task."""
TIMED_SCENES, ROUNDS, STEPS = 4, 3, 4


def main() -> None:
    """Train what is not there yet, evaluate it, and add it to the zoo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL-TASK")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with known_errors():
        for model_id in asked.models:
            require_known("trained reference model", model_id, PAIRS)
        for model_id in asked.models or PAIRS:
            name, task = PAIRS[model_id]
            out, _ = trained(name, task, asked.folder)
            entry = add_to_zoo(name, task, out)
            print(f"{entry.id}: sha256 {entry.source.sha256}, {told_quality(entry)}", flush=True)


@dataclass(frozen=True, slots=True)
class TrainingLength(JsonValues):
    """How long a reference model learns, written beside its file before it begins."""

    steps: Annotated[int, Between(1, 1e9)]
    step_ratio: Annotated[float, Between(1e-6, 1e6)]
    """Steps that it takes in the time of one of the embedded model's."""


def trained(name: str, task: str, folder: Path) -> tuple[Path, TrainingLength]:
    """The file of a reference model for a task, trained if it is not there, and for how long.

    Raises
    ------
    BenchmarkError
        What is in the folder is not that model, or does not say how long it learned.
    CheckpointError
        The file is no checkpoint.
    OutputError
        The folder cannot be made.
    """
    with written_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    config = read_config(preset_path(RECIPE))
    out = folder / f"{trained_id(name, task)}.safetensors"
    record = out.with_suffix(".steps.json")
    if out.exists():
        _require_model(name, task, out)
    elif not record.exists():
        ratio = as_long(config, name, task)
        length = TrainingLength(round(embedded_steps(task) * ratio), ratio)
        write_text(record, json.dumps(length.to_dict()) + "\n")
    length = _read_length(record, out)
    if not out.exists():
        _train(config, name, task, length.steps, out)
    return out, length


def _require_model(name: str, task: str, file: Path) -> None:
    """Refuse a file that holds another network than the one it is called after."""
    config = load_file(file, task=task).config
    found = (config.model, config.task) if isinstance(config, ReferenceConfig) else ("", "")
    if found != (name, task):
        held = f"{found[0]} for {found[1]}" if found[0] else "a UniFMIR network"
        raise BenchmarkError(
            f"{file} holds {held}, expected {name} for {task}: move it away, and {file.name} is "
            "trained anew"
        )


def _read_length(record: Path, file: Path) -> TrainingLength:
    """How long a model learns, as it was written before it began."""
    try:
        return read_values(TrainingLength, read_json(record))
    except (CheckpointError, OSError) as error:
        state = file.with_name(file.name + STATE_SUFFIX)
        there = [str(path) for path in (record, file, state) if path.exists()]
        raise BenchmarkError(
            f"{record} does not say how long {file.name} learns ({error}). Remove "
            f"{' and '.join(there)}, and it is trained anew"
        ) from error


def as_long(config: TrainingConfig, name: str, task: str) -> float:
    """Steps of a reference model in the time of one of the embedded model's, median over rounds."""
    few = replace(config.recipes.get(task, RecipeChange()), scenes=TIMED_SCENES)
    timed = replace(_alone(config, name, task, (ROUNDS + 1) * STEPS), recipes={task: few})
    own = replace(timed, stage=config.stage, init=config.init)
    trainings = {
        "embedded": set_up(own, None, "cpu")[0],
        "reference": set_up(timed, fresh_reference(name, task=task), "cpu")[0],
    }
    ratios = []
    for _ in range(ROUNDS + 1):
        spent = {}
        for which, training in trainings.items():
            began = time.process_time()
            training.run(until=training.step + STEPS)
            spent[which] = time.process_time() - began
        ratios.append(spent["embedded"] / spent["reference"])
    # The first round pages in the kernels.
    return sorted(ratios[1:])[ROUNDS // 2]


def add_to_zoo(name: str, task: str, file: Path) -> ZooEntry:
    """Evaluate a trained reference model and add it as the zoo model MODEL-TASK.

    Where the zoo has the model and has lost its file, the file is given again.

    Raises
    ------
    ZooError
        The zoo has this model with another file.
    """
    model_id = trained_id(name, task)
    found = inspect_file(file, task=task)
    known = entries().get(model_id)
    if known is not None:
        if known.source.sha256 != found.sha256:
            raise ZooError(
                f"{model_id} is in the zoo with another file: sha256 {known.source.sha256}, "
                f"{file.name} has {found.sha256}; `unifmir zoo remove {model_id}` first"
            )
        if present_file(known) is None:
            give_file(model_id, file, replace=True)
        return known
    document = _entry(name, task, file, evaluate(load_file(file), task, images=IMAGES, seed=SEED))
    with temporary_folder() as folder:
        path = folder / f"{model_id}.json"
        path.write_text(json.dumps(document), "utf-8")
        return add_entry(path, file)


def told_quality(entry: ZooEntry) -> str:
    """The first figure of an entry."""
    first = entry.measured[0]
    return f"{first.metric} {first.value:g} {first.unit or ''}, {first.dataset}"


def _entry(name: str, task: str, file: Path, found: Evaluation) -> dict[str, Any]:
    """The entry as JSON values; what the file says of itself is filled in when it is added."""
    row, embedded = REFERENCES[name], find(EMBEDDED)
    model_id = trained_id(name, task)
    command = f"unifmir evaluate {model_id} --task {task} --images {IMAGES} --seed {SEED}"
    record = read_training_record(record_path(file)).stated()
    return {
        "schema_version": 1,
        "id": model_id,
        "version": "1.0.0",
        "task": task,
        "title": f"{row.title}, trained on simulated images",
        "dataset": embedded.dataset,
        "source": {"kind": "file", "filename": file.name},
        "licence": embedded.licence,
        "licence_note": embedded.licence_note,
        "authors": ["trained on this machine by benchmarks.studies.train_references"],
        "cite": [row.doi],
        "configuration": None,
        "parameters": None,
        "normalisation": {k: v.model_dump() for k, v in normalisation_of(task, None).items()},
        "pixel_size_um": None,
        "measured": measured_rows(
            {"command": command, "seed": SEED, "tasks": {task: found.to_dict()}}
        ),
        "training": record,
        "notes": "A reference model that learned from simulated images for as long as the embedded "
        "model: its quality stands beside its cost in `unifmir benchmark`, and is not for science.",
    }


def _alone(config: TrainingConfig, name: str, task: str, steps: int) -> TrainingConfig:
    """Training of a reference model; truths share intensities by default, where they have some."""
    return replace(
        config,
        stage="finetune",
        tasks=[task],
        init=name,
        steps=steps,
        learning_rate=REFERENCES[name].learning_rate or config.learning_rate,
    )


def _train(config: TrainingConfig, name: str, task: str, steps: int, out: Path) -> None:
    """Train from random weights, or go on with a training that was stopped."""
    state = out.with_name(out.name + STATE_SUFFIX)
    own, network = _alone(config, name, task, steps), fresh_reference(name, task=task)
    request = TrainingRequest(out, own, network, resume=state.exists())
    train(request, TrainingCallbacks(lambda _: None, lambda *_: None))


if __name__ == "__main__":
    main()
