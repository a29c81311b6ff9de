"""Runtimes in common. Nothing here imports one: a process pays for what it runs."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float32

from unifmir.devices import DEVICES, device_named
from unifmir.errors import BenchmarkError
from unifmir.precision.element_types import ELEMENT_TYPES, Precision
from unifmir.restoration.base import EAGER_BODY_MAPS

if TYPE_CHECKING:
    from torch import nn

Image = Float32[np.ndarray, "..."]
"""Image or restored image, batch first, in the shape and range of the interface that runs."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One run, from a NumPy array to a NumPy array. Milliseconds."""

    wall_ms: float
    cpu_ms: float
    """CPU time of the whole process meanwhile, all its threads."""
    device_ms: float | None = None
    """Time between events on the device, without the copies; None on the CPU."""
    copy_ms: float | None = None
    """Copies to and from the device; None on the CPU."""


class Session(Protocol):
    """A model that is loaded and can run."""

    @property
    def ran(self) -> Mapping[str, Any]:
        """Facts of what really runs, as JSON values.

        `library`, `version`, `provider`, `device`, `threads`, `tf32`, `element_type` of the
        weights, and what the runtime adds.
        """

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Sentences on each thing that was asked for and did not happen."""

    def run(self, image: Image) -> Image:
        """Restore an image, end to end."""

    def timed(self, image: Image) -> Timing:
        """Run once under the clock; the result is dropped."""

    def device_bytes(self) -> int | None:
        """Largest memory of the device in use, in bytes; None if the runtime does not say."""


UNRANKED = 100
"""Rank of a runtime that comes after all that have a place in the order."""


class Runtime(ABC):
    """One way to run a model. A row of `unifmir.export.runtimes.RUNTIMES`."""

    name: str
    format: str | None = None
    """Row of `unifmir.export.formats.FORMATS` whose files it reads; None: it runs a module."""
    also_reads: tuple[str, ...] = ()
    """Further rows whose files it reads; it is taken where no runtime of their own is."""
    own_arithmetic: bool = False
    """Whether it computes in its precision by itself, from a module in fp32, and proves it."""
    cpu_rank: int = UNRANKED
    """Place in the order in which runtimes are tried on the CPU, the least first."""
    gpu_rank: int = UNRANKED
    """Place in the order in which runtimes are tried on other devices, the least first."""
    only_on_request: bool = False
    """Whether it is taken only when it is asked for by name."""
    slow_start: bool = False
    """Whether it compiles for minutes before the first image, or anew for every size."""
    places_tiles: bool = False
    """Whether a light-field network can be told where its tile lies in the whole image."""
    body_maps: int = EAGER_BODY_MAPS
    """Feature maps of the network's body that are held at once: eager keeps few, a runtime that
    plans a whole graph's activations more."""
    holds_attention: bool = False
    """Whether the attention weights of all windows are held at once, as in a graph; modules go
    through the windows in parts."""
    out_of_memory: tuple[str, ...] = (
        "out of memory",
        "can't allocate memory",
        "failed to allocate memory",
        "not enough memory",
        "bad_alloc",
        "bad allocation",
        "alloc_failed",
    )
    """Parts of its errors when memory is short, in lower case; these are what PyTorch, ONNX
    Runtime, OpenVINO, cuDNN and cuBLAS say."""
    carries_proof: bool = False
    """Whether its files carry the proof that they are right on a device, as engines do; what others
    give on a device is looked at when it is first used (`export/device_proof.py`)."""
    distributions: tuple[str, ...] = ("torch",)
    """Python distributions whose versions tell what ran."""

    @abstractmethod
    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Precisions that it can run on a device; BenchmarkError if there is no such device."""

    def require(self) -> None:  # noqa: B027 - most need nothing beyond what importing them imports
        """Import what it needs; MissingExtraError with what to install where that is missing."""

    def instructions(self) -> str:
        """Name of the processor's instructions that it chose to multiply with, as of Linux.

        Empty where its library keeps that to itself. Raises as `require` does.
        """
        return ""

    def require_harmless(self, path: Path) -> None:  # noqa: B027 - not all can tell
        """Refuse a file that may not run here, by its bytes alone; nothing of it is run.

        Raises
        ------
        ExportError
            With what was found. `open` says the same, of the bytes that it loads.
        """

    def needs_verification(self, path: Path) -> bool:
        """Whether a file that carries its proof has none for this machine's device."""
        return False

    def prepare(self, module: "nn.Module") -> "nn.Module":
        """The module that is run in place of one on the device, such as a compiled copy."""
        return module

    @abstractmethod
    def open(self, source: "nn.Module | Path", *, device: str, threads: int) -> Session:
        """Load a model.

        Parameters
        ----------
        source : module or Path
            A module with the image interface, in the wanted precision; a file where the runtime
            has a `format`.
        device : str
            A name in full, as `Device.name` gives it.
        threads : int
            On the CPU.

        Raises
        ------
        BenchmarkError
            The device is not there.
        ExportError
            The file cannot be loaded.
        MissingExtraError
            The library is not installed.
        """

    def file_from(self, source: "nn.Module | Path") -> Path:
        """The source, which must be a file; BenchmarkError if it is a module."""
        if not isinstance(source, Path):
            raise BenchmarkError(f"{self.name} runs a file, not a module: export it first")
        return source

    def require_cpu(self, device: str) -> None:
        """BenchmarkError if the device is another, for runtimes that compute on the CPU alone."""
        if not device_named(device).is_cpu:
            raise BenchmarkError(f"{self.name} does not run on {device}: use --device cpu")

    def module_from(self, source: "nn.Module | Path") -> "nn.Module":
        """The source, which must be a module; BenchmarkError if it is a file."""
        if isinstance(source, Path):
            raise BenchmarkError(f"{self.name} runs a module, not a file: {source.name}")
        return source


STORED = tuple(Precision(name) for name in ELEMENT_TYPES)
"""Weights in any element type, arithmetic in fp32."""


class TimedOnHost(ABC):
    """A session on the CPU: wall time and CPU time are all there is."""

    __slots__ = ()

    @abstractmethod
    def run(self, image: Image) -> Image:
        """Restore an image."""

    def timed(self, image: Image) -> Timing:
        """Run once under the clock."""
        clock = Clock()
        self.run(image)
        return Timing(*clock.read())

    def device_bytes(self) -> int | None:
        """The CPU has no memory of its own."""
        return None


@dataclass(frozen=True, slots=True)
class HostSession(TimedOnHost):
    """A function that computes on the CPU."""

    compute: Callable[[Image], Image]
    ran: Mapping[str, Any]
    fallbacks: tuple[str, ...] = ()

    def run(self, image: Image) -> Image:
        """Restore an image."""
        return self.compute(image)


class Clock:
    """Wall time and CPU time of the process since it was made. Milliseconds."""

    def __init__(self) -> None:
        self._cpu = time.process_time_ns()
        self._wall = time.perf_counter_ns()

    def read(self) -> tuple[float, float]:
        """Wall and CPU time."""
        wall = time.perf_counter_ns() - self._wall
        return wall / 1e6, (time.process_time_ns() - self._cpu) / 1e6


def provider_fallbacks(wanted: str, used: Sequence[str]) -> tuple[str, ...]:
    """Sentence on a fallback: ONNX Runtime goes on without a provider that cannot load.

    Parameters
    ----------
    wanted : str
        Provider that was asked for.
    used : sequence of str
        `InferenceSession.get_providers()`: what the session really has, the preferred one first.
    """
    if used and used[0] == wanted:
        return ()
    found = used[0] if used else "nothing"
    kind = next((row for row in DEVICES.values() if row.provider == wanted), None)
    needs = f": it needs {kind.needs}; `unifmir doctor` says what is here" if kind else ""
    return (f"{wanted} was asked for, {found} was used{needs}",)
