"""One NVIDIA GPU, through NVML: energy, throttling, who else uses it."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from unifmir.devices import CUDA, device_named
from unifmir.machine import nvml

_REASONS = {
    0x0000000000000004: "power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "software thermal limit",
    0x0000000000000040: "hardware thermal limit",
    0x0000000000000080: "power brake",
}
"""Bits of nvmlClocksEventReasons that make a GPU slower than it could be. Not among them: idle,
clocks set by applications, and boost in step with other GPUs, which are settings."""


class Gpu:
    """A GPU that NVML knows.

    Parameters
    ----------
    library : module
        pynvml, or what answers like it.
    handle : object
        The device in it.
    """

    def __init__(self, library: Any, handle: Any) -> None:
        self._library = library
        self._handle = handle

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None before Volta, which does not count them."""
        try:
            return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except self._library.NVMLError:
            return None

    def throttling(self) -> tuple[str, ...]:
        """Why the GPU runs slower than it could, right now."""
        library = self._library
        # Renamed in driver 535; the old name stayed.
        name = "nvmlDeviceGetCurrentClocksEventReasons"
        read = getattr(library, name, None) or library.nvmlDeviceGetCurrentClocksThrottleReasons
        try:
            bits = int(read(self._handle))
        except library.NVMLError:
            return ()
        return tuple(reason for bit, reason in _REASONS.items() if bits & bit)

    def memory_by_process(self) -> dict[int, int | None]:
        """Process id -> bytes, of those that compute on the GPU."""
        try:
            running = self._library.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._library.NVMLError:
            return {}
        return {int(p.pid): p.usedGpuMemory for p in running}

    def foreign_processes(self, own: Collection[int]) -> int:
        """How many processes compute on the GPU that are not ours."""
        running = set(self.memory_by_process())
        if running & set(own):
            return len(running - set(own))
        # In a container NVML gives the host's process ids, which match none of ours: count.
        return max(0, len(running) - len(own))


def gpu_of(device: str, environment: Mapping[str, str] = os.environ) -> Gpu | None:
    """The GPU that CUDA calls `device`; None for the CPU, or where NVML cannot be asked."""
    library, there = nvml(), device_named(device)
    if library is None or there.kind is not CUDA:
        return None
    index = there.index
    visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    name = visible[index] if index < len(visible) else str(index)
    try:
        if name.isdigit():
            return Gpu(library, library.nvmlDeviceGetHandleByIndex(int(name)))
        return Gpu(library, library.nvmlDeviceGetHandleByUUID(name))
    except library.NVMLError:
        return None
