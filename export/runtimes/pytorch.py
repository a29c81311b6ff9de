"""PyTorch modules: eager, written out, and compiled."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.errors import BenchmarkError
from unifmir.export.runtimes.base import (
    STORED,
    UNRANKED,
    Clock,
    HostSession,
    Image,
    Runtime,
    Session,
    Timing,
    is_cuda,
)
from unifmir.precision.element_types import Precision

_ON_CPU = (*STORED, Precision("bf16", "bf16"))
# fp16 convolutions on the CPU have no fast kernel: 16 s for 256 channels of 64 x 64 pixels.
_ON_GPU = (*_ON_CPU, Precision("fp16", "fp16"))


class ModuleRuntime(Runtime):
    """Runs a module as it is."""

    name = "eager"
    cpu_rank, cuda_rank = 4, 3
    places_tiles = True

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Everything that a module can be made to compute in."""
        return _ON_GPU if is_cuda(device) else _ON_CPU

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Move the module to the device."""
        module = self.module_from(source)
        prepare_device(device, threads)
        return session_of(self.prepare(module.to(device).eval()), device)


class PlainRuntime(ModuleRuntime):
    """Runs a module's operations one by one: what faster ways are measured against."""

    name = "plain"
    cpu_rank = cuda_rank = UNRANKED
    only_on_request = True
    places_tiles = False

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module as exports trace it."""
        return _WrittenOut(module)


class CompiledRuntime(ModuleRuntime):
    """Runs a module that torch.compile compiles anew for every size."""

    name = "compiled"
    cpu_rank = cuda_rank = UNRANKED
    only_on_request = True
    slow_start = True
    places_tiles = False

    def prepare(self, module: nn.Module) -> nn.Module:
        """The compiled module; one size is run, and a graph for it alone is the fastest."""
        compiled: nn.Module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
        return compiled


def prepare_device(device: str, threads: int) -> None:
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


def session_of(
    module: nn.Module, device: str, known: Mapping[str, Any] = MappingProxyType({})
) -> Session:
    """Session of a module that lies on a device; what is known better replaces facts of torch."""
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters()})
    ran: dict[str, Any] = {
        "library": "torch",
        "version": torch.__version__,
        "provider": device.partition(":")[0],
        "device": device,
        "threads": torch.get_num_threads(),
        "tf32": False,
        "element_type": "+".join(kinds),
        **known,
    }
    if not is_cuda(device):
        return HostSession(_on_cpu(module), ran)
    ran["tf32"] = bool(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
    ran["gpu"] = torch.cuda.get_device_name(device)
    return TorchCudaSession(module, torch.device(device), ran)


def _on_cpu(module: nn.Module) -> Callable[[Image], Image]:
    def compute(image: Image) -> Image:
        with torch.inference_mode():
            restored: Image = module(torch.from_numpy(image)).numpy()
        return restored

    return compute


class TorchCudaSession:
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
        """Largest reservation of PyTorch's allocator, in bytes; the CUDA context comes on top."""
        return int(torch.cuda.max_memory_reserved(self._device))

    def _there(self, image: Image) -> Tensor:
        return torch.from_numpy(image).to(self._device)


class _WrittenOut(nn.Module):
    """Operations one by one, as exports trace them: where gradients may be wanted they are so."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """The module's result, for any input it takes, such as float32 (N, C, H, W) features."""
        with torch.inference_mode(False), torch.enable_grad():
            restored: Tensor = self.module(image)
        return restored


EAGER = ModuleRuntime()
PLAIN = PlainRuntime()
COMPILED = CompiledRuntime()
