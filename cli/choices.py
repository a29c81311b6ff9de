"""Choices of the commands' options, each once, from the lists they belong to.

mypy reads only literal enums, hence the ignores. Nothing here imports more than names.
"""

from dataclasses import fields
from enum import StrEnum

from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.precision.element_types import ELEMENT_TYPES, PRECISIONS
from unifmir.tasks import TASKS
from unifmir.tasks.base import Workloads

TaskChoice = StrEnum("TaskChoice", {name: name for name in TASKS})  # type: ignore[misc]  # as above
FormatChoice = StrEnum("FormatChoice", {name: name for name in FORMATS})  # type: ignore[misc]  # as above
RuntimeChoice = StrEnum("RuntimeChoice", {name: name for name in RUNTIMES})  # type: ignore[misc]  # as above
PrecisionChoice = StrEnum("PrecisionChoice", {name: name for name in PRECISIONS})  # type: ignore[misc]  # as above
ElementTypeChoice = StrEnum("ElementTypeChoice", {name: name for name in ELEMENT_TYPES})  # type: ignore[misc]  # as above
WorkloadChoice = StrEnum("WorkloadChoice", {row.name: row.name for row in fields(Workloads)})  # type: ignore[misc]  # as above


class InterfaceChoice(StrEnum):
    """Input of an exported file: `unifmir.interfaces.InputKind`, the usual one first."""

    image = "image"
    network = "network"


class WeightsChoice(StrEnum):
    """Weights of a checkpoint that has two sets: `unifmir.checkpoint.weight_sets.WeightKind`."""

    raw = "raw"
    ema = "ema"


class ImageFormatChoice(StrEnum):
    """Formats of restored images."""

    tiff = "tiff"
    zarr = "zarr"


class PixelTypeChoice(StrEnum):
    """Pixels of restored images: `unifmir.zoo.restore.outputs.PixelChoice`."""

    float32 = "float32"
    input = "input"


class PlanesChoice(StrEnum):
    """Ways to a network's number of planes, as in `Options.planes`."""

    resample = "resample"
    crop = "crop"


class IntensityChoice(StrEnum):
    """Ways in which intensities come back: `unifmir.tasks.base.Intensity`."""

    local = "local"
    matched = "matched"
    percentile = "percentile"


class TableFormatChoice(StrEnum):
    """Formats of result tables, as in `unifmir.benchmarks.report.tables`."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


class ViewChoice(StrEnum):
    """Result tables, as in `unifmir.benchmarks.report.tables`."""

    latency = "latency"
    cost = "cost"
    quality = "quality"


class LossChoice(StrEnum):
    """Losses of a training."""

    mixed = "mixed"
    l1 = "l1"


class DeviceChoice(StrEnum):
    """Devices to train on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
