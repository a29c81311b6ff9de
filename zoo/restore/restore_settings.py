"""Settings of a restoration in a process of its own: the options of `unifmir restore`, as JSON.

Left out is what a stranger must not decide: devices, processes, places of results.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from unifmir.json_values import Between, JsonValues
from unifmir.restoration.restoration_options import Options, PlaneChoice
from unifmir.tasks.base import Intensity
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import PixelChoice

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")


@dataclass(frozen=True, slots=True)
class RestoreSettings(JsonValues):
    """Settings of a restoration, named as the options of `unifmir restore`."""

    task: str
    """Task: `sr`, `denoise`, `isotropic`, `projection` or `volume`."""
    model: str = EMBEDDED
    """Id of a model of the zoo; of a server's caller one whose file is on its machine. Only this
    machine's own user may name a file."""
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


def for_caller(message: str, source: Path, name: str) -> str:
    """A message of `unifmir restore` in the words of whoever never saw its file and options.

    Parameters
    ----------
    message : str
    source : Path
        The file that was restored.
    name : str
        What the caller calls the image.

    Returns
    -------
    str
        With that name, and names of settings in place of options.
    """
    message = message.replace(str(source), name).replace(source.name, name)
    rest = message.removeprefix(f"{name}: ")
    return _OPTION.sub(
        lambda option: option[1].replace("-", "_"), rest if rest.startswith(name) else message
    )
