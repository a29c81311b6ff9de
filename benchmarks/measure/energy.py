"""Joules over a stretch of time: NVML's counter for GPUs, RAPL for processors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from unifmir.benchmarks.measure.gpu import Gpu, gpu_of
from unifmir.benchmarks.measure.results import Energy

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """Counts joules."""

    source: str
    """`nvml` or `rapl`."""

    def lap(self) -> float | None:
        """Joules since the last call; None if the counter could not be read."""


class RaplMeter:
    """The processor packages' own counters, memory not included.

    They count everything the package does, also for others, and start again from 0 at a
    maximum of their own: about once an hour at 70 W.
    """

    source = "rapl"

    def __init__(self, domains: Sequence[Path]) -> None:
        self._domains = tuple(domains)
        self._ranges = [_number(domain / "max_energy_range_uj") for domain in domains]
        self._last = self._read()

    def lap(self) -> float | None:
        """Joules since the last call, of all packages."""
        now, before = self._read(), self._last
        self._last = now
        if now is None or before is None:
            return None
        total = 0
        for new, old, largest in zip(now, before, self._ranges, strict=True):
            total += new - old if new >= old else new - old + largest
        return total / 1e6

    def _read(self) -> list[int] | None:
        try:
            return [_number(domain / "energy_uj") for domain in self._domains]
        except OSError:
            return None


class NvmlMeter:
    """A GPU's own counter: the whole board."""

    source = "nvml"

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._last = gpu.energy_j()

    def lap(self) -> float | None:
        """Joules since the last call."""
        now, before = self._gpu.energy_j(), self._last
        self._last = now
        return None if now is None or before is None else now - before


def meter_for(device: str, powercap: Path = POWERCAP) -> tuple[Meter | None, str]:
    """The meter that counts the joules of a device, or why there is none."""
    if device != "cpu":
        gpu = gpu_of(device)
        if gpu is None:
            return None, "NVML cannot be asked: nvidia-ml-py is not installed, or finds no GPU"
        if gpu.energy_j() is None:
            return None, "this GPU does not count its energy (before Volta)"
        return NvmlMeter(gpu), ""
    # intel-rapl:0 is a package; intel-rapl:0:0 a part of it. AMD's counters have the same names.
    domains = [p for p in sorted(powercap.glob("intel-rapl:*")) if p.name.count(":") == 1]
    packages = [p for p in domains if _name(p).startswith("package")]
    if not packages:
        return None, "this machine shows no RAPL counters (usual in virtual machines)"
    try:
        return (RaplMeter(packages), "") if _readable(packages) else (None, _FORBIDDEN)
    except (OSError, ValueError) as error:
        return None, f"RAPL counters cannot be read: {error}"


_FORBIDDEN = "RAPL counters are there, but only root may read them (energy_uj)"


def energy_of(joules: Sequence[float | None], source: str, megapixels: float) -> Energy:
    """Joules per megapixel of one subject.

    Parameters
    ----------
    joules : sequence of float or None
        Of each visit.
    source : str
        `nvml` or `rapl`, or why there is no meter.
    megapixels : float
        That went in, over all visits.
    """
    known = [value for value in joules if value is not None]
    if not joules or not megapixels:
        return Energy(None, source)
    if len(known) < len(joules):
        return Energy(None, f"the {source} counter could not be read in every round")
    total = sum(known)
    if total <= 0:
        return Energy(None, f"the {source} counter did not move: the visits were too short for it")
    return Energy(total / megapixels, source)


def _readable(packages: Sequence[Path]) -> bool:
    try:
        for package in packages:
            _number(package / "energy_uj")
    except PermissionError:
        return False
    return True


def _name(domain: Path) -> str:
    try:
        return (domain / "name").read_text().strip()
    except OSError:
        return ""


def _number(file: Path) -> int:
    return int(file.read_text())
