"""PyTorch: eager, compiled, TorchScript files and AOTInductor packages."""

import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.formats.aotinductor import AOTINDUCTOR as PACKAGES
from unifmir.export.formats.aotinductor import loaded
from unifmir.export.runtimes.base import Clock, HostSession, Image, Session, Timing, is_cuda

_EVERYWHERE = ("fp32", "fp16", "bf16", "bf16-compute")
# fp16 convolutions on the CPU have no fast kernel: 16 s for 256 channels of 64 x 64 pixels.
_ON_GPU = (*_EVERYWHERE, "fp16-compute")


class ModuleRuntime:
    """A module as it is, or compiled."""

    format = None
    own_arithmetic = False

    def __init__(self, name: str, prepare: Callable[[nn.Module], nn.Module]) -> None:
        self.name = name
        self._prepare = prepare

    def precisions(self, device: str) -> tuple[str, ...]:
        """Everything a module can be made to compute in."""
        return _ON_GPU if is_cuda(device) else _EVERYWHERE

    def require(self) -> None:
        """Nothing more: importing the row imported it."""

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Move the module to the device."""
        if not isinstance(source, nn.Module):
            raise BenchmarkError(f"{self.name} runs a module, not a file: {source.name}")
        kinds = sorted({str(p.dtype).removeprefix("torch.") for p in source.parameters()})
        settle(device, threads)
        module = self._prepare(source.to(device).eval())
        return _session(module, device, {"element_type": "+".join(kinds)})


class TorchScriptRuntime:
    """A file of `unifmir export --format torchscript`."""

    name = "torchscript"
    format = "torchscript"
    own_arithmetic = False

    def precisions(self, device: str) -> tuple[str, ...]:
        """The format stores weights in a precision and computes in fp32."""
        is_cuda(device)
        return ("fp32", "fp16", "bf16")

    def require(self) -> None:
        """Nothing more: importing the row imported it."""

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """torch.jit on the device."""
        if not isinstance(source, Path):
            raise BenchmarkError("torchscript runs a file, not a module: export it first")
        settle(device, threads)
        try:
            with warnings.catch_warnings():
                # torch.jit is announced as deprecated; it is what deepImageJ and Icy load.
                warnings.simplefilter("ignore", DeprecationWarning)
                module = torch.jit.load(source, device)
        except (RuntimeError, ValueError, OSError) as error:
            raise ExportError(f"{source.name}: not a TorchScript file ({error})") from error
        kinds = sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters()})
        return _session(module, device, {"element_type": "+".join(kinds)})


class AotInductorRuntime:
    """A file of `unifmir export --format aotinductor`."""

    name = "aotinductor"
    format = "aotinductor"
    own_arithmetic = False

    def precisions(self, device: str) -> tuple[str, ...]:
        """The format stores weights in a precision and computes in fp32; nothing on CUDA."""
        return () if is_cuda(device) else ("fp32", "fp16", "bf16")

    def require(self) -> None:
        """Nothing more: importing the row imported it."""

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Load the package, on the machine it was compiled on."""
        if not isinstance(source, Path):
            raise BenchmarkError("aotinductor runs a file, not a module: export it first")
        if is_cuda(device):
            raise BenchmarkError(
                f"aotinductor packages are compiled for the CPU, not for {device}: use --device cpu"
            )
        settle(device, threads)
        precision = PACKAGES.lineage(source).precision
        return _session(loaded(source), device, {"element_type": f"{precision} stored"})


def settle(device: str, threads: int) -> None:
    """Threads, TF32 off, and the device is there; BenchmarkError if not."""
    torch.set_num_threads(threads)
    if not is_cuda(device):
        return
    index = int(device.partition(":")[2])
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise BenchmarkError(
            f"{device}: this PyTorch ({torch.__version__}) finds {torch.cuda.device_count()} "
            "CUDA devices; run with --device cpu, or install the build for your GPU"
        )
    torch.cuda.set_device(index)
    # Off, or "fp32" rows of PyTorch and of other runtimes are not the same arithmetic. By the
    # older names, which every supported version has; the newer ones must not be mixed with them.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # Kernels are chosen by rule: the search would be repeated, and differ, in every process.
    torch.backends.cudnn.benchmark = False


def _session(module: nn.Module, device: str, more: Mapping[str, Any]) -> Session:
    ran: dict[str, Any] = {
        "library": "torch",
        "version": torch.__version__,
        "provider": device.partition(":")[0],
        "device": device,
        "threads": torch.get_num_threads(),
        "tf32": False,
        **more,
    }
    if not is_cuda(device):
        return HostSession(_on_cpu(module), ran)
    ran["tf32"] = bool(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
    ran["gpu"] = torch.cuda.get_device_name(device)
    return CudaSession(module, torch.device(device), ran)


def _on_cpu(module: nn.Module) -> Callable[[Image], Image]:
    def compute(image: Image) -> Image:
        with torch.inference_mode():
            restored: Image = module(torch.from_numpy(image)).numpy()
        return restored

    return compute


class CudaSession:
    """A module on a GPU: copies and computation are told apart by events."""

    fallbacks: tuple[str, ...] = ()

    def __init__(self, module: nn.Module, device: torch.device, ran: Mapping[str, Any]) -> None:
        self.ran = ran
        self._module = module
        self._device = device

    def run(self, image: Image) -> Image:
        """Copy there, compute, copy back."""
        with torch.inference_mode():
            restored: Image = self._module(self._there(image)).cpu().numpy()
        return restored

    def timed(self, image: Image) -> Timing:
        """Run once between events; the wall clock stops when the result is back."""
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        torch.cuda.synchronize(self._device)
        clock = Clock()
        with torch.inference_mode():
            marks[0].record()
            there = self._there(image)
            marks[1].record()
            restored = self._module(there)
            marks[2].record()
            restored.cpu()
            marks[3].record()
        torch.cuda.synchronize(self._device)
        wall, cpu = clock.read()
        there_ms, device_ms, back_ms = (
            first.elapsed_time(second) for first, second in pairwise(marks)
        )
        return Timing(wall, cpu, device_ms, there_ms + back_ms)

    def device_bytes(self) -> int | None:
        """What PyTorch's allocator reserved at most; the CUDA context comes on top."""
        return int(torch.cuda.max_memory_reserved(self._device))

    def _there(self, image: Image) -> Tensor:
        return torch.from_numpy(image).to(self._device)


def _compile(module: nn.Module) -> nn.Module:
    # One size is run: a graph for it alone is the fastest that the compiler makes.
    compiled: nn.Module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
    return compiled


def _as_it_is(module: nn.Module) -> nn.Module:
    return module


class _WrittenOut(nn.Module):
    """Operations one by one, as exports trace them: where gradients may be wanted they are so."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """As the module."""
        with torch.inference_mode(False), torch.enable_grad():
            restored: Tensor = self.module(image)
        return restored


EAGER = ModuleRuntime("eager", _as_it_is)
PLAIN = ModuleRuntime("plain", _WrittenOut)
"""The reference that faster ways are measured against."""
COMPILED = ModuleRuntime("compiled", _compile)
TORCHSCRIPT = TorchScriptRuntime()
AOTINDUCTOR = AotInductorRuntime()
