"""Limits on memory and time for files that were not written here, and the session that keeps them.

An image has only so many pixels and a file only so many weights: what our own networks take for
them is known, and several times that is allowed.
"""

import importlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from unifmir.export.runtimes.base import Image, Session, Timing
from unifmir.machine import cores

MEMORY_FACTOR = 4.0
"""Memory of a run that is allowed, as a multiple of what restoring reckons with."""
FREE_BYTES = 2**30
"""Allowed besides: what libraries take for themselves, whatever they run."""
STACK_BYTES = 16 * 2**20
"""Address space of a thread; there may be one a core."""
COPIES = 16
"""Copies of a file's weights that may be held: packed, and once for each size that is compiled."""
SECONDS = 10.0
"""Time allowed beside what the file's size and the image's explain: once for opening a file and all
runs up to the first that succeeds, and once for those up to the next. Runs that fail one after the
other, on smaller and smaller tiles, so end together before a person takes it for a hang."""
BYTES_PER_SECOND = 2e6
"""Speed at which a file is opened, or compiled for a new size, at the least. Full-size networks
(50 MB) take 2 to 10 s on one core."""
PRODUCTS_PER_SECOND = 2e9
"""Speed of computing at the least: a tenth of what one core does. Each weight is multiplied about
once for each pixel."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Memory and time that a file may take."""

    bytes_per_pixel: float
    """Memory that its network is reckoned to need for a pixel of the image."""
    file_bytes: int

    def memory_bytes(self, pixels: int) -> int:
        """Memory that a process may take for an image, beside what it had before the file.

        At most what is free on this machine.
        """
        free: int = importlib.import_module("psutil").virtual_memory().available
        wanted = FREE_BYTES + STACK_BYTES * cores() + COPIES * self.file_bytes
        return min(free, int(wanted + MEMORY_FACTOR * self.bytes_per_pixel * pixels))

    def seconds(self, pixels: int = 0, lost_s: float = 0.0) -> float:
        """Time that a run may take; opening the file, where there are no pixels.

        `lost_s` of what is allowed once were taken before.
        """
        products = self.file_bytes / 2 * pixels  # two bytes a weight at the least
        once = max(0.0, SECONDS - lost_s)
        return once + self.file_bytes / BYTES_PER_SECOND + products / PRODUCTS_PER_SECOND


class LimitedMemory:
    """Limit on this process's memory, from what it takes when this is made.

    Nothing is limited where the system has no such limit (Windows, macOS), nor on GPUs, whose
    drivers reserve more addresses than there is memory.
    """

    def __init__(self, limits: Limits, device: str) -> None:
        self._limits = limits
        self._before = int(importlib.import_module("psutil").Process().memory_info().vms)
        self._limited = device == "cpu"
        self._soft = limit_of("RLIMIT_AS")

    def allow(self, pixels: int) -> None:
        """Allow what an image of so many pixels needs, and no more."""
        if self._limited:
            wanted = self._before + self._limits.memory_bytes(pixels)
            set_limit("RLIMIT_AS", wanted if self._soft is None else min(wanted, self._soft))


def limit_of(name: str) -> int | None:
    """A soft limit of this process; None where there is none."""
    with suppress(ImportError):
        resource = importlib.import_module("resource")
        soft = int(resource.getrlimit(getattr(resource, name))[0])
        return None if soft == resource.RLIM_INFINITY else soft
    return None


def set_limit(name: str, value: int) -> None:
    """Set a soft limit of this process, where the system has it."""
    with suppress(ImportError, ValueError, OSError):  # macOS may refuse
        resource = importlib.import_module("resource")
        which = getattr(resource, name)
        resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


class LimitedSession:
    """A session in a process of its own whose memory is limited anew for each image."""

    def __init__(self, session: Session, memory: LimitedMemory) -> None:
        self._session = session
        self._memory = memory

    @property
    def ran(self) -> Mapping[str, Any]:
        """Facts of what really runs, as JSON values."""
        return self._session.ran

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Sentences on each thing that was asked for and did not happen."""
        return self._session.fallbacks

    def run(self, image: Image) -> Image:
        """Restore an image."""
        self._memory.allow(image.size)
        return self._session.run(image)

    def timed(self, image: Image) -> Timing:
        """Run once under the clock."""
        self._memory.allow(image.size)
        return self._session.timed(image)

    def device_bytes(self) -> int | None:
        """Largest memory of the device in use."""
        return self._session.device_bytes()
