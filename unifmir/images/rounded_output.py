"""Outputs in whole numbers, for results that are computed in real ones."""

import logging

import numpy as np

from unifmir.images.base import Pixels, Region, Shape, Sink

logger = logging.getLogger(__name__)


class RoundingSink:
    """A sink of whole numbers that takes real ones: rounded, and clipped to what it can hold.

    Parameters
    ----------
    sink : Sink
        Of whole numbers.
    name : str
        Of the output, for what is said when it is published.
    """

    def __init__(self, sink: Sink, name: str) -> None:
        self._sink, self._name = sink, name
        self.shape: Shape = sink.shape
        self.dtype = np.dtype(np.float32)
        self.chunks: Shape = sink.chunks
        self.resumed: bool = sink.resumed
        self._limits = np.iinfo(sink.dtype)
        self.clipped = 0
        """Pixels that were clipped: by this copy, and those it was told of with `add_clipped`."""

    def write(self, region: Region, values: Pixels) -> None:
        """Write intensities to a region, rounded and clipped."""
        # float64: 2**32 - 1 is no float32.
        rounded = np.rint(values.astype(np.float64))
        low, high = self._limits.min, self._limits.max
        self.clipped += int(np.count_nonzero((rounded < low) | (rounded > high)))
        self._sink.write(region, rounded.clip(low, high).astype(self._sink.dtype))

    def add_clipped(self, pixels: int) -> None:
        """Count pixels that an earlier run or another process clipped too."""
        self.clipped += pixels

    def flush(self) -> None:
        """Bring everything written so far to where it survives a kill of this process."""
        self._sink.flush()

    def publish(self) -> None:
        """Rename into place, and say what became of the intensities."""
        self._sink.publish()
        logger.warning(
            "%s: intensities are rounded to %s; %s were clipped to %d to %d",
            self._name,
            self._sink.dtype,
            f"{self.clipped} pixels" if self.clipped else "none",
            self._limits.min,
            self._limits.max,
        )

    def discard(self) -> None:
        """Delete what lies aside."""
        self._sink.discard()


def clipped_pixels(sink: Sink) -> int:
    """Pixels that a sink has clipped so far; 0 of one that holds real numbers."""
    return sink.clipped if isinstance(sink, RoundingSink) else 0
