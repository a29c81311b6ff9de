"""Choices of the commands' options, each once, from the lists they belong to.

mypy reads only literal enums, hence the ignores. Nothing here imports more than names.
"""

from enum import StrEnum
from typing import Literal

from unifmir.devices import AUTO, DEVICES
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.precision.element_types import ELEMENT_TYPES, PRECISIONS
from unifmir.tasks import TASKS
from unifmir.tasks.base import WORKLOADS
from unifmir.zoo.publish.destinations import DESTINATIONS

TaskChoice = StrEnum("TaskChoice", {name: name for name in TASKS})  # type: ignore[misc]  # as above
FormatChoice = StrEnum("FormatChoice", {name: name for name in FORMATS})  # type: ignore[misc]  # as above
RuntimeChoice = StrEnum("RuntimeChoice", {name: name for name in RUNTIMES})  # type: ignore[misc]  # as above
PrecisionChoice = StrEnum("PrecisionChoice", {name: name for name in PRECISIONS})  # type: ignore[misc]  # as above
DestinationChoice = StrEnum("DestinationChoice", {name: name for name in DESTINATIONS})  # type: ignore[misc]  # as above
ElementTypeChoice = StrEnum("ElementTypeChoice", {name: name for name in ELEMENT_TYPES})  # type: ignore[misc]  # as above
WorkloadChoice = StrEnum("WorkloadChoice", {name: name for name in WORKLOADS})  # type: ignore[misc]  # as above

InterfaceChoice = Literal["image", "network", "raw"]
"""Input of an exported file: `unifmir.interfaces.InputKind`, the usual one first."""
ImageFormatChoice = Literal["tiff", "zarr"]
"""Formats of restored images."""
TableFormatChoice = Literal["text", "markdown", "csv", "latex"]
"""Formats of result tables, as in `unifmir.benchmarks.report.tables.table_formats`."""
WeightsChoice = Literal["raw", "ema"]
"""Weights of a checkpoint that has two sets: `unifmir.checkpoint.weight_sets.WeightKind`."""
PixelTypeChoice = Literal["float32", "input"]
"""Pixels of restored images: `unifmir.zoo.restore.outputs.PixelChoice`."""
PlanesChoice = Literal["resample", "crop"]
"""Ways to a network's number of planes, as in `Options.planes`."""
IntensityChoice = Literal["local", "matched", "percentile"]
"""Ways in which intensities come back: `unifmir.tasks.base.Intensity`."""
IntensitiesChoice = Literal["own", "shared"]
"""Whose percentiles scale a truth: `unifmir.tasks.base.TruthScaling`."""
LossChoice = Literal["mixed", "l1", "cobi"]
"""Losses of a training."""
FreezeChoice = Literal["nothing", "others", "body"]
"""Weights that stay as they are: `unifmir.training.configuration.Frozen`."""
DEVICE_NAMES = ", ".join(
    (AUTO, *(f"{kind.name}{kind.separator and f'{kind.separator}N'}" for kind in DEVICES.values()))
)
"""Devices as options name them: `unifmir.devices`."""
SplitChoice = Literal["train", "validation", "test"]
"""Parts of a dataset: `unifmir.datasets.pairing.Split`."""
