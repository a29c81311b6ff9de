"""Devices: one row each, with its name, what it needs, how it is found and who computes on it.

Nothing here imports a library before it is asked: the command line lists the names.
"""

import importlib
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unifmir.errors import BenchmarkError
from unifmir.machine import available_bytes, nvidia_driver
from unifmir.registry import Registry, require_known

AUTO = "auto"
"""Name that stands for the first of `AUTOMATIC` that is there, and for the CPU where none is."""
AUTOMATIC = ("cuda", "xpu", "mps")
"""Rows that `auto` looks for, in this order: those that run every model."""
_NUMBER = re.compile("[0-9]{1,3}")


def _one() -> int:
    return 1


def _no_hardware(_index: int) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKind:
    """A kind of device. A row of `DEVICES`."""

    name: str
    separator: str = ""
    """Character between name and number; empty: there is one at most."""
    needs: str
    """Needs of such a device, and how to install them, in words."""
    count: Callable[[], int] = _one
    """Number of such devices that the library finds; 0 where it is not installed."""
    counted: bool = True
    """Whether it finds each; else `count` only says whether there is any."""
    torch_type: str | None = None
    """PyTorch's name; None: it runs no modules."""
    provider: str | None = None
    """ONNX Runtime's execution provider; None: it runs none of its files."""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the provider without which fp32 would be something else."""
    openvino: str | None = None
    """OpenVINO's name; None: it runs none of its files."""
    hardware: Callable[[int], str] = _no_hardware
    """Name of the hardware behind a number; empty where the library does not say."""
    driver: Callable[[int], str] = _no_hardware
    """Version of the driver behind a number; empty where nothing tells it."""
    free_bytes: Callable[[int], int] | None = None
    """Memory of its own that is free; None: that of the machine is what counts."""
    float64: bool = True
    """Whether it computes in double precision, in which places in a light field are told."""
    trains: bool = False
    """Whether networks are trained on it."""
    measured: bool = False
    """Whether anything was ever run on it where unifmir is developed."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a machine."""

    kind: DeviceKind
    index: int = 0

    @property
    def name(self) -> str:
        """The one name it has everywhere, such as `cpu`, `cuda:0`, `mps` or `openvino:GPU.0`."""
        separator = self.kind.separator
        return f"{self.kind.name}{separator}{self.index}" if separator else self.kind.name

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor, which everything else is held against."""
        return self.kind is CPU

    @property
    def torch_name(self) -> str:
        """PyTorch's name of it; BenchmarkError where PyTorch has none."""
        if self.kind.torch_type is None:
            raise BenchmarkError(f"PyTorch does not run on {self.name}: use --device cpu")
        return f"{self.kind.torch_type}:{self.index}" if self.kind.separator else self.kind.name

    def empty_cache(self) -> None:
        """Give back what PyTorch's allocator keeps of the device's memory for later."""
        if not self.is_cpu and self.kind.torch_type is not None:
            backend = _torch_backend(self.kind.torch_type)
            if backend is not None:
                backend.empty_cache()

    def require_any_library(self) -> None:
        """BenchmarkError unless its library finds it, or ONNX Runtime has a provider for it."""
        if self.is_cpu or not self.kind.provider or not _provider_count(self.kind.provider)():
            self.require()

    def require(self) -> None:
        """BenchmarkError with what to install, unless the device is there."""
        found = self.kind.count()
        if not found or (self.kind.counted and self.index >= found):
            raise BenchmarkError(
                f"{self.name} is not there: {found} {self.kind.name} devices were found. It needs "
                f"{self.kind.needs}. Or run with --device cpu"
            )


def device_named(name: str) -> Device:
    """The device of a name, whether it is there or not.

    Parameters
    ----------
    name : str
        `cpu`, `cuda:N`, `xpu:N`, `mps`, `directml:N`, `coreml` or `openvino:GPU.N`; without a
        number the first is meant.

    Raises
    ------
    BenchmarkError
        There is no such device; the message has the names there are.
    """
    if name in DEVICES:
        return Device(DEVICES[name])
    for kind in DEVICES.values():
        start = f"{kind.name}{kind.separator}"
        number = name.removeprefix(start)
        if kind.separator and name.startswith(start) and _NUMBER.fullmatch(number):
            return Device(kind, int(number))
    known = (AUTO, *DEVICES)
    if name.lower() == "gpu":
        # The nearest name in letters is a maker's that nobody meant.
        raise BenchmarkError(
            f"unknown device {name!r}: a GPU goes by who computes on it, {AUTO} takes the first "
            f"there is; known: {', '.join(known)}"
        )
    require_known("device", name, known, BenchmarkError)
    raise BenchmarkError(f"{name!r} is no device by itself: choose one of {', '.join(DEVICES)}")


def chosen_device(name: str) -> Device:
    """The device that is meant by a name, or by `auto`: a GPU that PyTorch finds, or the CPU.

    Raises
    ------
    BenchmarkError
        As `device_named`.
    """
    if name != AUTO:
        return device_named(name)
    found = (DEVICES[kind] for kind in AUTOMATIC if DEVICES[kind].count())
    return Device(next(found, CPU))


def training_device(name: str) -> Device:
    """The device that a training runs on, which is there; with `auto` CUDA's first, or the CPU.

    Raises
    ------
    BenchmarkError
        It is not there, or networks are not trained on it.
    """
    if name == AUTO:
        return Device(CUDA if CUDA.count() else CPU)
    device = device_named(name)
    if not device.kind.trains:
        able = ", ".join(kind.name for kind in DEVICES.values() if kind.trains)
        raise BenchmarkError(f"networks are not trained on {device.name}, but on {able}")
    device.require()
    return device


def present_devices() -> list[Device]:
    """Every device that is there, the CPU first."""
    return [Device(kind, index) for kind in DEVICES.values() for index in range(kind.count())]


def compute_in_full_fp32() -> None:
    """Make fp32 mean fp32 in PyTorch on GPUs: TF32, with 10 bits of mantissa, off.

    cuDNN's convolutions use it if nothing is said. Set by the older names, which every supported
    version has; the newer ones must not be mixed with them.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if torch.xpu.is_available():
        # oneDNN's, of Intel's GPUs; builds without them warn. PyTorch types it as its descriptor.
        torch.backends.mkldnn.allow_tf32 = False  # type: ignore[assignment]


def _torch_backend(kind: str) -> Any:
    """PyTorch's module of a kind of device; None where it finds none or is not installed."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    there = torch.backends.mps if kind == "mps" else getattr(torch, kind)
    return getattr(torch, kind) if there.is_available() else None


def _torch_count(kind: str) -> Callable[[], int]:
    def count() -> int:
        backend = _torch_backend(kind)
        return 0 if backend is None else int(backend.device_count())

    return count


def _torch_hardware(kind: str) -> Callable[[int], str]:
    def hardware(index: int) -> str:
        backend = _torch_backend(kind)
        return "" if backend is None else str(backend.get_device_name(index))

    return hardware


def _torch_free_bytes(kind: str) -> Callable[[int], int]:
    def free_bytes(index: int) -> int:
        backend = _torch_backend(kind)
        # ONNX Runtime may compute there beside a PyTorch that cannot, and does not tell.
        return available_bytes() if backend is None else int(backend.mem_get_info(index)[0])

    return free_bytes


def _provider_count(provider: str) -> Callable[[], int]:
    """1 where this build of ONNX Runtime has the provider; it does not say how many devices."""

    def count() -> int:
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError:
            return 0
        return int(provider in runtime.get_available_providers())

    return count


def _nvidia_driver(_index: int) -> str:
    return nvidia_driver() or ""


def _xpu_driver(index: int) -> str:
    backend = _torch_backend("xpu")
    return "" if backend is None else str(backend.get_device_properties(index).driver_version)


def _system_driver(_index: int) -> str:
    """Version of macOS: drivers are part of the system there."""
    return platform.mac_ver()[0]


def _openvino_gpus() -> int:
    try:
        openvino = importlib.import_module("openvino")
    except ImportError:
        return 0
    return sum(name.partition(".")[0] == "GPU" for name in openvino.Core().available_devices)


def _openvino_hardware(index: int) -> str:
    core = importlib.import_module("openvino").Core()
    return str(core.get_property(f"GPU.{index}", "FULL_DEVICE_NAME"))


CPU = DeviceKind(
    name="cpu",
    needs="nothing",
    torch_type="cpu",
    provider="CPUExecutionProvider",
    openvino="CPU",
    trains=True,
    measured=True,
)
CUDA = DeviceKind(
    name="cuda",
    separator=":",
    needs="an NVIDIA GPU with its driver and PyTorch's build for CUDA (pytorch.org says how); for "
    "ONNX files also: pip install 'unifmir[gpu]'",
    count=_torch_count("cuda"),
    torch_type="cuda",
    provider="CUDAExecutionProvider",
    # TF32 is on by default there, and then "fp32" is not what other runtimes compute.
    provider_options={"use_tf32": "0"},
    hardware=_torch_hardware("cuda"),
    driver=_nvidia_driver,
    free_bytes=_torch_free_bytes("cuda"),
    trains=True,
)
XPU = DeviceKind(
    name="xpu",
    separator=":",
    needs="an Intel GPU with its driver and PyTorch's build for it (pytorch.org: Intel GPU)",
    count=_torch_count("xpu"),
    torch_type="xpu",
    hardware=_torch_hardware("xpu"),
    driver=_xpu_driver,
    free_bytes=_torch_free_bytes("xpu"),
    # Some of these GPUs have none.
    float64=False,
)
MPS = DeviceKind(
    name="mps",
    needs="a Mac with Apple's chip, macOS 14 or newer, and PyTorch's build for it (pip's own)",
    count=lambda: 0 if _torch_backend("mps") is None else 1,
    torch_type="mps",
    driver=_system_driver,
    # Apple's framework has none.
    float64=False,
    trains=True,
)
DIRECTML = DeviceKind(
    name="directml",
    separator=":",
    needs="Windows with a GPU, and in place of other builds of ONNX Runtime: "
    "pip install 'unifmir[directml]'; it runs ONNX files",
    count=_provider_count("DmlExecutionProvider"),
    counted=False,
    provider="DmlExecutionProvider",
)
COREML = DeviceKind(
    name="coreml",
    needs="a Mac, and: pip install 'unifmir[cpu]'; it runs ONNX files",
    count=_provider_count("CoreMLExecutionProvider"),
    provider="CoreMLExecutionProvider",
    driver=_system_driver,
    # Graphs of typed operators, without the neural engine: that computes in fp16.
    provider_options={"ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU"},
)
OPENVINO_GPU = DeviceKind(
    name="openvino:GPU",
    separator=".",
    needs="an Intel GPU with its driver, and: pip install 'unifmir[openvino]'; it runs OpenVINO "
    "and ONNX files",
    count=_openvino_gpus,
    openvino="GPU",
    hardware=_openvino_hardware,
)

DEVICES: Registry[DeviceKind] = Registry(
    "device",
    [
        ("cpu", "unifmir.devices:CPU"),
        ("cuda", "unifmir.devices:CUDA"),
        ("xpu", "unifmir.devices:XPU"),
        ("mps", "unifmir.devices:MPS"),
        ("directml", "unifmir.devices:DIRECTML"),
        ("coreml", "unifmir.devices:COREML"),
        ("openvino:GPU", "unifmir.devices:OPENVINO_GPU"),
    ],
)
