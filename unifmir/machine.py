"""Which machine a result comes from."""

import importlib
import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def processor() -> str:
    """The processor's model name, as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Logical processors of the machine."""
    return os.cpu_count() or 1


def available_cores() -> int:
    """Physical cores this process may use."""
    psutil = importlib.import_module("psutil")
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(allowed, int(psutil.cpu_count(logical=False) or allowed))


def resident_bytes(field: str) -> int:
    """`VmRSS`, the resident set, or `VmHWM`, its largest so far.

    Not getrusage: its ru_maxrss starts with that of the process that started this one.
    """
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    psutil = importlib.import_module("psutil")
    memory = psutil.Process().memory_info()
    if field == "VmHWM":
        if hasattr(memory, "peak_wset"):
            return int(memory.peak_wset)
        resource = importlib.import_module("resource")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)
    return int(memory.rss)


def memory_bytes() -> int:
    """Main memory of the machine."""
    psutil = importlib.import_module("psutil")
    return int(psutil.virtual_memory().total)


def description() -> dict[str, Any]:
    """`processor`, `cores`, `memory_bytes`, `system`, `gpu` and `driver`, as JSON values.

    The last two are None on a machine without an NVIDIA GPU, or without nvidia-ml-py.
    """
    gpu, driver = _gpu()
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpu": gpu,
        "driver": driver,
    }


@cache
def nvml() -> Any:
    """NVIDIA's management library, initialised; None where it is not installed or has no GPU."""
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library


def _gpu() -> tuple[str | None, str | None]:
    """Names of the GPUs, and the driver's version."""
    library = nvml()
    if library is None:
        return None, None
    names = [
        text(library.nvmlDeviceGetName(library.nvmlDeviceGetHandleByIndex(index)))
        for index in range(library.nvmlDeviceGetCount())
    ]
    return ", ".join(names) or None, text(library.nvmlSystemGetDriverVersion())


def text(value: str | bytes) -> str:
    """What NVML says, which older versions say in bytes."""
    return value.decode() if isinstance(value, bytes) else value
