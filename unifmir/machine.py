"""The machine a result comes from: processor, memory, GPU, versions of libraries."""

import importlib
import os
import platform
import re
import signal
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unifmir.version import __version__

CPU_INFORMATION = Path("/proc/cpuinfo")
SCHEDULED = Path("/proc/self/schedstat")
STATUS = Path("/proc/self/status")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""There where NVIDIA's kernel driver is loaded, whatever is installed in Python."""
INSTRUCTIONS = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "bf16", "sve"),
)
"""Instruction sets that decide how fast a network is: x86, then ARM."""
ONNXRUNTIME_BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")
"""Distributions of ONNX Runtime: one module, whose files each brings."""
_DRIVER_VERSION = re.compile(r"\b\d{3,}\.\d+(\.\d+)*\b")


def processor() -> str:
    """The processor's model name, as the system gives it."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def processor_features() -> str:
    """All flags of the processor; its name where the system does not tell them."""
    return _cpu_field("flags", "Features") or platform.processor() or platform.machine()


def instructions(information: Path = CPU_INFORMATION) -> list[str]:
    """The `INSTRUCTIONS` that the processor has; empty where the system does not say."""
    flags = _cpu_field("flags", "Features", information=information).split()
    return [name for name in INSTRUCTIONS if name in flags]


def clock_mhz() -> float | None:
    """Mean clock of the cores; None where the system does not say."""
    psutil = importlib.import_module("psutil")
    try:
        frequency: Any = psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError):
        return None
    return float(frequency.current) if frequency and frequency.current else None


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


def default_threads() -> int:
    """Threads of a computation for which none are named: OMP_NUM_THREADS, else the cores.

    Who shares a machine says so there. Two threads on a core that another process computes on wait
    for each other for most of the time: 15 times as long was measured.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) > 0 else available_cores()


def ending(code: int) -> str:
    """Meaning of an exit status, in words."""
    if code == -9:
        return "killed by the system (SIGKILL), most likely for want of memory"
    if code < 0:
        try:
            return f"crashed ({signal.Signals(-code).name})"
        except ValueError:
            return f"ended by signal {-code}"
    return f"ended with status {code}"


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


def queued_ms() -> float | None:
    """Time that this process's first thread was ready to run and had no core; None if unknown."""
    with suppress(OSError, ValueError, IndexError):
        file = _scheduled()  # first: there is no pread where there is no such file
        return int(os.pread(file, 128, 0).split()[1]) / 1e6
    return None


@cache
def _scheduled() -> int:
    """Open file of this process's schedule: opening it anew takes as long as a short run."""
    return os.open(SCHEDULED, os.O_RDONLY)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide how fast a model is."""
    others = ("onnx", "numpy", "openvino")
    found = versions("unifmir", "python", "torch", *ONNXRUNTIME_BUILDS, *others)
    named = {name: "onnxruntime" if name in ONNXRUNTIME_BUILDS else name for name in found}
    return {named[name]: version for name, version in found.items()}


def memory_bytes() -> int:
    """Main memory of the machine."""
    psutil = importlib.import_module("psutil")
    return int(psutil.virtual_memory().total)


def available_bytes() -> int:
    """Main memory that this process may take besides what it has.

    What is free on the machine, and no more than the limit on its address space leaves (`ulimit
    -v`): an allocation beyond that fails however much is free.
    """
    psutil = importlib.import_module("psutil")
    free = int(psutil.virtual_memory().available)
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows has no such limit
        return free
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return free
    return max(0, min(free, int(limit) - int(psutil.Process().memory_info().vms)))


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution; None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def versions(*names: str) -> dict[str, str]:
    """Versions of those of the named distributions that are installed, and of `python`.

    That of `unifmir` is read from the code: a checkout need not be installed.
    """
    own = {"unifmir": __version__, "python": platform.python_version()}
    found = {name: own.get(name) or installed_version(name) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def platform_facts() -> dict[str, str]:
    """Processor architecture, system and Python, without what tells machines of a kind apart."""
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def description() -> dict[str, Any]:
    """`processor`, `cores`, `memory_bytes`, `system`, `gpu` and `driver`, as JSON values.

    The last two are None on a machine without an NVIDIA GPU; without nvidia-ml-py `gpu` is, and
    off Linux `driver` too.
    """
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpu": _gpus(),
        "driver": nvidia_driver(),
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


def nvidia_driver() -> str | None:
    """Version of NVIDIA's driver; None where neither NVML nor Linux's kernel module tells it."""
    library = nvml()
    if library is not None:
        return text(library.nvmlSystemGetDriverVersion())
    with suppress(OSError):
        if found := _DRIVER_VERSION.search(NVIDIA_DRIVER.read_text()):
            return found[0]
    return None


def _gpus() -> str | None:
    """Names of NVIDIA's GPUs."""
    library = nvml()
    if library is None:
        return None
    names = [
        text(library.nvmlDeviceGetName(library.nvmlDeviceGetHandleByIndex(index)))
        for index in range(library.nvmlDeviceGetCount())
    ]
    return ", ".join(names) or None


def text(value: str | bytes) -> str:
    """Text that NVML gives, which older versions give in bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _cpu_field(*names: str, information: Path = CPU_INFORMATION) -> str:
    """First value of /proc/cpuinfo under one of these names; empty where it has none."""
    with suppress(OSError):
        for line in information.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return ""
