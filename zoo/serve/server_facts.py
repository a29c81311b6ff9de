"""Facts that a server tells: the machine, the tasks, the models and the sample images."""

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import Any

from unifmir import machine
from unifmir.errors import ZooError
from unifmir.tasks import TASKS
from unifmir.version import __version__
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.index import entries, find
from unifmir.zoo.catalogue.pull import how_to_get, present_file
from unifmir.zoo.catalogue.schema import ZooEntry
from unifmir.zoo.serve.server_options import ServerOptions


def about(options: ServerOptions) -> dict[str, Any]:
    """The version, the machine, the limits and the tasks."""
    found = machine.description()
    return {
        "version": __version__,
        "machine": {name: found[name] for name in ("cores", "memory_bytes", "gpu")},
        "limits": {
            "upload_bytes": options.upload_bytes,
            "keep_seconds": options.keep_seconds,
            "jobs_at_once": options.jobs,
            "job_bytes": options.job_bytes,
        },
        "tasks": tasks(),
    }


def tasks() -> list[dict[str, Any]]:
    """The tasks, as people are told of them."""
    return [
        {
            "name": task.name,
            "title": task.title,
            "summary": task.summary,
            "input_axes": task.input_axes,
            "output_axes": task.output_axes,
        }
        for task in TASKS.values()
    ]


def models() -> list[dict[str, Any]]:
    """The models of the zoo, those that can be used here first."""
    rows = [_model(entry) for entry in entries().values()]
    return sorted(rows, key=lambda row: (not row["available"], not row["embedded"], row["id"]))


def model(name: str) -> dict[str, Any]:
    """Everything known of a model: the row of `models`, its entry, and how to get its file.

    Raises
    ------
    UnknownNameError
        There is no such model.
    """
    entry = find(name)
    whole = entry.model_dump(mode="json")
    return {**whole, **_model(entry), "how_to_get": how_to_get(entry)}


def _model(entry: ZooEntry) -> dict[str, Any]:
    try:
        available = present_file(entry) is not None
    except ZooError:
        available = False
    return {
        "id": entry.id,
        "title": entry.title,
        "tasks": list(entry.tasks),
        "dataset": entry.dataset,
        "licence": entry.licence,
        "cite": list(entry.cite),
        "parameters": entry.parameters,
        "measured": [one.model_dump(mode="json") for one in entry.measured],
        "embedded": entry.id == EMBEDDED,
        "available": available,
    }


def samples() -> list[dict[str, Any]]:
    """The sample images, one a task, with the settings that the file itself leaves open."""
    kept = ("name", "description", "licence", "url", "dtype", "pixel_size_um", "file")
    rows = []
    for task in TASKS.values():
        facts = dataclasses.asdict(task.sample)
        rows.append(
            {
                "task": task.name,
                "title": task.title,
                **{name: facts[name] for name in kept},
                "authors": list(task.sample.authors),
                "shape": list(task.sample.shape),
                "axes": task.input_axes,
                "settings": {"z_factor": factor} if (factor := task.sample.z_factor) else {},
            }
        )
    return rows


def sample_path(task: str) -> Path:
    """The sample image of a task. UnknownNameError if there is no such task."""
    return Path(str(files("unifmir"))) / "data" / TASKS[task].sample.file


def measured() -> list[dict[str, Any]]:
    """Measured results of the models, a table each: the rows are those of their entries."""
    return [
        {
            "title": entry.title,
            "task": entry.task,
            "rows": [one.model_dump(mode="json") for one in entry.measured],
        }
        for entry in entries().values()
        if entry.measured
    ]
