"""One channel of an image, as an image of its own."""

from dataclasses import replace
from typing import Any

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.base import Pixels, Region, Shape, Source, check_region


class ChannelSource:
    """One channel of another source, which has no axis c any more.

    Parameters
    ----------
    source : Source
        Closed with this one.
    channel : int
        From 0.

    Raises
    ------
    ImageError
        The image has no such channel.
    """

    def __init__(self, source: Source, channel: int) -> None:
        count = source.shape[1]
        if not 0 <= channel < count:
            last = "its only one is 0" if count == 1 else f"they are 0 to {count - 1}"
            raise ImageError(f"{source.info.name} has no channel {channel}: {last}")
        t, _, z, y, x = source.shape
        self.shape: Shape = (t, 1, z, y, x)
        self.dtype: np.dtype[Any] = source.dtype
        t, _, z, y, x = source.chunks
        self.chunks: Shape = (t, 1, z, y, x)
        named = source.info.channels
        own = named[channel : channel + 1] if len(named) == count else ()
        self.info = replace(replace(source.info, channels=own).without("c"), channels=own)
        self._source, self._channel = source, channel

    def read(self, region: Region) -> Pixels:
        """The intensities of a region."""
        check_region(region, self.shape)
        t, _, z, y, x = region
        return self._source.read((t, slice(self._channel, self._channel + 1), z, y, x))

    def close(self) -> None:
        """Release the file."""
        self._source.close()
