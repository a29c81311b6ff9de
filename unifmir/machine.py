"""Which machine a result comes from."""

import importlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any


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
