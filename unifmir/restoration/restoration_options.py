"""Options of a restoration."""

from dataclasses import dataclass, replace
from math import isfinite

from unifmir.errors import ImageError


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
    z_factor: float | None = None
    """isotropic: planes of isotropic sampling per plane of the image. None: z step over pixel
    size, which the image must say."""

    def __post_init__(self) -> None:
        for name in ("tile", "batch", "max_memory_bytes", "pixel_size_um", "z_factor"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise ImageError(f"{name} is {value}, expected more than 0")
        if self.halo is not None and self.halo < 0:
            raise ImageError(f"the overlap (halo) is {self.halo} pixels, expected 0 or more")

    def identity(self) -> str:
        """Text of all options that decide the result; how much is done at once does not."""
        return repr(replace(self, batch=None, max_memory_bytes=None))
