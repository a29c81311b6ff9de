"""Options of a restoration."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity, Normalization

PlaneChoice = Literal["resample", "crop"]
"""Ways to the number of planes that a network reads."""


@dataclass(frozen=True, slots=True)
class Options:
    """A user's decisions about a restoration. ImageError for values that cannot be."""

    tile: int | None = None
    """Side of what the network reads at once, overlap included, in pixels of the image; None:
    the largest that fits the memory. At least three overlaps are taken."""
    batch: int | None = None
    """Network inputs in one run; None: from the tile."""
    halo: int | None = None
    """Overlap on each side, in pixels of the image; None: measured on the image."""
    max_memory_bytes: int | None = None
    """Memory for a run of the network; None: a share of what is free on the device."""
    pixel_size_um: float | None = None
    """The model's pixel size: the image is resampled to it before, and back after."""
    correct_sampling: bool = False
    """Restore at half the sampling too, and average (Ma et al. 2024, Methods)."""
    intensity: Intensity | None = None
    """How intensities come back; None: `intensity_of` the network."""
    percentiles: tuple[float, float] | None = None
    """Percentiles of the stack that become 0 and 1 for the network, from 0 to 100; None: the
    task's."""
    z_factor: float | None = None
    """isotropic: planes of isotropic sampling per plane of the image. None: z step over pixel
    size, which the image must say."""
    lens_pitch: float | None = None
    """Raw light fields: pixels of the image a lens, where they are not the network's; the image
    is resampled to its grid."""
    lens_centre: tuple[float, float] | None = None
    """Row and column of any lens's centre, in pixels of the image; None: found in the image. That
    of an even sample (a white image) is better by some tenths of a pixel."""
    planes: PlaneChoice = "resample"
    """Projection of stacks with another number of planes than the network reads: interpolated, or
    cropped around the surface."""

    def __post_init__(self) -> None:
        for name in (
            "tile",
            "batch",
            "max_memory_bytes",
            "pixel_size_um",
            "z_factor",
            "lens_pitch",
        ):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise ImageError(f"{name} is {value}, expected more than 0")
        if self.lens_centre is not None and self.lens_pitch is None:
            raise ImageError("the lens centre goes with a lens pitch: give both")
        if self.lens_centre is not None and not all(map(isfinite, self.lens_centre)):
            raise ImageError(f"the lens centre is {self.lens_centre}, expected two numbers")
        if self.planes not in get_args(PlaneChoice):
            raise ImageError(
                f"planes is {self.planes!r}, expected {' or '.join(get_args(PlaneChoice))}"
            )
        if self.halo is not None and self.halo < 0:
            raise ImageError(f"the overlap (halo) is {self.halo} pixels, expected 0 or more")
        if self.intensity not in (None, *get_args(Intensity)):
            raise ImageError(
                f"intensity is {self.intensity!r}, expected {', '.join(get_args(Intensity))}"
            )
        if self.percentiles is not None:
            low, high = self.percentiles
            if not 0 <= low < high <= 100:
                raise ImageError(
                    f"percentiles are {low:g} and {high:g}, expected two from 0 to 100, the lower "
                    "first"
                )

    def identity(self) -> str:
        """Text of all options that decide the result; how much is done at once does not."""
        return repr(replace(self, batch=None, max_memory_bytes=None))


def normalization_of(config: SingleConfig, options: Options) -> Normalization:
    """The network's normalisation, with the user's percentiles.

    Raises
    ------
    ImageError
        The task does not scale by percentiles.
    """
    normalization = config.normalization
    if options.percentiles is None:
        return normalization
    if normalization.method != "percentile":
        raise ImageError(f"{config.task} does not scale by percentiles; leave them out")
    low, high = options.percentiles
    return replace(normalization, low_percent=low, high_percent=high)


def intensity_of(config: SingleConfig, options: Options) -> Intensity:
    """How intensities come back: as the user says, or the network's training and task.

    A network that learned truths in its input's scaling (`shared`) gives intensities by the exact
    inverse of that.

    Raises
    ------
    ImageError
        The user says so for a task whose values are relative.
    """
    task = TASKS[config.task]
    if task.normalization.invertible:
        shared = config.intensities == "shared"
        return options.intensity or ("percentile" if shared else task.intensity)
    if options.intensity is not None:
        raise ImageError(
            f"the values of {config.task} are relative, from 0 to 1: there are no intensities to "
            "bring back. Leave intensity out"
        )
    return "percentile"
