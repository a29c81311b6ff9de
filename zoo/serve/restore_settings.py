"""Settings of a job: the options of `unifmir restore`, as a caller of the server may choose them.

Left out is what a stranger must not decide: paths, devices, processes.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from unifmir.errors import ImageError, ZooError
from unifmir.export.runtimes import RUNTIMES
from unifmir.images.base import AXES
from unifmir.json_values import Between, JsonValues, read_values
from unifmir.plain_text_values import parse_json
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.registry import require_known
from unifmir.restoration.restoration_options import Options, PlaneChoice
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.pull import how_to_get, present_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import PixelChoice

MAX_BYTES = 20_000
"""Limit of the settings' JSON text, which has some hundred."""


@dataclass(frozen=True, slots=True)
class RestoreSettings(JsonValues):
    """Settings of a job, named as the options of `unifmir restore`."""

    task: str
    """Task: `sr`, `denoise`, `isotropic`, `projection` or `volume`."""
    model: str = EMBEDDED
    """Id of a model of the zoo whose file is on the server's machine."""
    precision: str = "fp32"
    """Element type of the arithmetic: `fp32`, `fp16` or `bf16`."""
    runtime: str | None = None
    """Name of what runs the model; null: what fits."""
    fast: bool = False
    """Leave out the middle group of the network: less quality."""
    tile: Annotated[int, Between(1, 1e9)] | Literal["auto"] = "auto"
    """Pixels at a side that are restored at once."""
    axes: str | None = None
    """Axes of the image, where the file says them wrongly or not at all."""
    series: Annotated[int, Between(0, 1e6)] | None = None
    """Which image of a file that holds several, from 0."""
    channel: Annotated[int, Between(0, 1e6)] | None = None
    """The only channel that is restored, from 0; null: all."""
    dtype: PixelChoice = "float32"
    """Pixels of the result: real numbers, or the image's, rounded."""
    pixel_size: float | None = None
    """Micrometres a pixel of the images the model was trained on."""
    z_factor: float | None = None
    """isotropic: z step over pixel size."""
    lens_pitch: float | None = None
    """volume: pixels a lens."""
    lens_centre: tuple[float, float] | None = None
    """volume: row and column of a lens."""
    planes: PlaneChoice = "resample"
    """projection: how stacks of another number of planes are read."""
    intensity: Intensity | None = None
    """How intensities come back; null: by the task."""
    percentiles: tuple[float, float] | None = None
    """Percentiles of the image that become 0 and 1 for the network."""

    @property
    def options(self) -> Options:
        """The settings as the restoration takes them. ImageError for values that cannot be."""
        return Options(
            tile=None if isinstance(self.tile, str) else self.tile,
            pixel_size_um=self.pixel_size,
            z_factor=self.z_factor,
            lens_pitch=self.lens_pitch,
            lens_centre=self.lens_centre,
            planes=self.planes,
            intensity=self.intensity,
            percentiles=self.percentiles,
        )

    def choice(self, threads: int | None) -> ModelChoice:
        """The model that is asked for, with so many threads."""
        return ModelChoice(
            model=self.model,
            task=self.task,
            precision=self.precision,
            fast=self.fast,
            runtime=self.runtime,
            threads=threads,
        )


def parse_settings(text: str | bytes) -> RestoreSettings:
    """Settings from their JSON text, of a model that is on this machine.

    Raises
    ------
    CheckpointError
        It is no JSON, or has unknown or missing entries, or some of another type.
    UnknownNameError
        No such task, model or runtime.
    ImageError, ZooError
        Values that cannot be, or a model that cannot be had.
    """
    values: Any = parse_json(text, limit=MAX_BYTES)
    settings = read_values(RestoreSettings, values)
    require_known("task", settings.task, TASKS)
    require_known("precision", settings.precision, ELEMENT_TYPES)
    if settings.runtime is not None:
        require_known("runtime", settings.runtime, RUNTIMES)
    if settings.axes is not None and not re.fullmatch(f"[{AXES}]{{1,5}}", settings.axes.lower()):
        raise ImageError(f"axes are {settings.axes!r}, expected some of {AXES}")
    settings.options  # noqa: B018 - it refuses what cannot be
    entry = find(settings.model)
    if settings.task not in entry.tasks:
        raise ZooError(f"{entry.id} restores {', '.join(entry.tasks)}, not {settings.task}")
    if present_file(entry) is None:
        raise ZooError(f"{entry.id} is not on the server's machine. {how_to_get(entry)}")
    return settings
