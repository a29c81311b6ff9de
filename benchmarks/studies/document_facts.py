"""Tables of the documents that say what the registries hold."""

from collections.abc import Callable
from typing import Any

from unifmir.checkpoint.header import recorded_configuration
from unifmir.config import MultiTaskConfig
from unifmir.export.formats import FORMATS
from unifmir.export.numpy_recipe import numpy_recipe
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import UNRANKED
from unifmir.reference import REFERENCES
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.tasks import TASKS, multitask_parts
from unifmir.text_tables import markdown_rows
from unifmir.zoo import EMBEDDED as MODEL
from unifmir.zoo.catalogue.directories import packaged

Render = Callable[[dict[str, Any]], str]
"""Function that renders a result file's document as Markdown."""


def references_table(_document: dict[str, Any]) -> str:
    """The rows of `REFERENCES`."""
    rows = [
        [
            f"`{name}`",
            row.title,
            ", ".join(row.tasks),
            f"{row.parameters:,}",
            f"{row.citation}. doi:{row.doi}",
        ]
        for name, row in REFERENCES.items()
    ]
    return markdown_rows(["name", "model", "tasks", "parameters", "source"], rows)


def _embedded() -> MultiTaskConfig:
    """Configuration of the model that ships with the package."""
    weights = packaged("weights", f"{MODEL}.safetensors")
    found = recorded_configuration(weights)
    if not isinstance(found, MultiTaskConfig):
        raise ValueError(f"{weights} says nothing of a multi-task network")
    return found


def recipes(_document: dict[str, Any]) -> str:
    """The NumPy program of each task, for the model that ships with the package."""
    programs = ((name, numpy_recipe(_embedded().single(name))) for name in multitask_parts())
    return "\n\n".join(
        f"### {TASKS[name].title} (`{name}`)\n\n"
        # What the tests do before they run the program.
        f"<!-- given: cp samples/{name}.tif image.tif -->\n"
        f"<!-- given: unifmir export --task {name} --format onnx --out . -->\n"
        f"```python\n{program}```"
        for name, program in programs
    )


def sample_text(task: str) -> Render:
    """Writer of what a task's picture shows, and whose image it is."""

    def render(_document: dict[str, Any]) -> str:
        spec, shipped = TASKS[task], TASKS[task].sample
        contrast = (
            "at one contrast, between percentiles 1 and 99.8 of the raw image"
            if spec.normalization.invertible
            else "each at its own contrast, as the result's values are relative"
        )
        view = {
            "middle": "middle plane",
            "section": "section along z",
            "maximum": "maximum along z",
        }
        shown = f"; {view[spec.cover.view]} where it is a stack" if "z" in _axes(task) else ""
        return (
            f"{shipped.name}: raw image and result of the embedded model, {contrast}{shown}.\n"
            f"{shipped.description}\n{shipped.source}; {shipped.licence}; "
            f"{', '.join(shipped.authors)}."
        )

    return render


def task_facts(task: str) -> Render:
    """Writer of what a task reads, gives and is meant for."""

    def render(_document: dict[str, Any]) -> str:
        spec = TASKS[task]
        scaling = spec.normalization
        image = {"yx": "a plane (y, x)", "zyx": "a stack (z, y, x)"}
        scaled = "inside the network, by the image's brightest pixel"
        intensities = "relative; nothing is brought back"
        if not scaling.inside:
            percentiles = f"{scaling.low_percent:g} and {scaling.high_percent:g}"
            scaled = f"by the whole image's percentiles {percentiles}"
            if scaling.clip:
                scaled += ", with the official models clipped to them"
        if scaling.invertible:
            shipped = intensity_of(_embedded().single(task), Options())
            intensities = f"default: `{shipped}`"
            if spec.intensity != shipped:
                intensities += f", and `{spec.intensity}` with the official models"
            intensities += " ([the three ways](../restore.md#intensities))"
        rows = [
            ["reads", image[spec.input_axes]],
            ["gives", image[spec.output_axes]],
            ["scaled", f"{scaled} ({scaling.source})"],
            ["intensities", intensities],
            ["meant for", spec.card.intended_use],
        ]
        return markdown_rows(["", ""], rows)

    return render


def formats_table(_document: dict[str, Any]) -> str:
    """The rows of `FORMATS`."""
    rows = []
    for name in FORMATS:
        row = FORMATS[name]
        fp16 = " and ".join(row.variants_of("fp16"))
        program = "yes" if row.holds_program else "no"
        whole = "no" if row.lacks_raw else "yes"
        rows.append([f"`{name}`", f"`{row.suffix}`", f"`{row.runtime}`", fp16, program, whole])
    columns = ["format", "file ends in", "verified by", "fp16", "is a program", "`--interface raw`"]
    return markdown_rows(columns, rows)


def runtimes_table(_document: dict[str, Any]) -> str:
    """The rows of `RUNTIMES`."""
    rows = []
    for name in RUNTIMES:
        row = RUNTIMES[name]
        reads = f"`{row.format}` files" if row.format else "checkpoints and models"
        places = [str(rank) if rank < UNRANKED else "-" for rank in (row.cpu_rank, row.gpu_rank)]
        rows.append([f"`{name}`", reads, *places, "yes" if row.only_on_request else "no"])
    columns = ["runtime", "runs", "tried on CPUs", "tried on GPUs", "only if named"]
    return markdown_rows(columns, rows)


def _axes(task: str) -> str:
    return TASKS[task].input_axes + TASKS[task].output_axes
