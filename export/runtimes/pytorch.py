"""PyTorch modules: eager, written out, and compiled."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.devices import XPU, Device, compute_in_full_fp32, device_named
from unifmir.export.runtimes.base import (
    STORED,
    UNRANKED,
    Clock,
    HostSession,
    Image,
    Runtime,
    Session,
    Timing,
)
from unifmir.precision.element_types import Precision

_ON_CPU = (*STORED, Precision("bf16", "bf16"))
# fp16 convolutions on the CPU have no fast kernel: 16 s for 256 channels of 64 x 64 pixels.
_ON_GPU = (*_ON_CPU, Precision("fp16", "fp16"))


class ModuleRuntime(Runtime):
    """Runs a module as it is."""

    name = "eager"
    cpu_rank, gpu_rank = 4, 3
    places_tiles = True

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Everything that a module can be made to compute in; nothing where PyTorch is not."""
        return torch_precisions(device_named(device), on_gpu=_ON_GPU, on_cpu=_ON_CPU)

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Move the module to the device."""
        module = self.module_from(source)
        there = prepare_device(device, threads)
        return session_of(self.prepare(module.to(there.torch_name).eval()), device)


class PlainRuntime(ModuleRuntime):
    """Runs a module's operations one by one: what faster ways are measured against."""

    name = "plain"
    cpu_rank = gpu_rank = UNRANKED
    only_on_request = True
    places_tiles = False

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module as exports trace it."""
        return _WrittenOut(module)


class CompiledRuntime(ModuleRuntime):
    """Runs a module that torch.compile compiles anew for every size."""

    name = "compiled"
    cpu_rank = gpu_rank = UNRANKED
    only_on_request = True
    slow_start = True
    places_tiles = False

    def prepare(self, module: nn.Module) -> nn.Module:
        """The compiled module; one size is run, and a graph for it alone is the fastest."""
        compiled: nn.Module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
        return compiled


def torch_precisions(
    device: Device, *, on_gpu: tuple[Precision, ...], on_cpu: tuple[Precision, ...]
) -> tuple[Precision, ...]:
    """Precisions of what PyTorch runs on a device: none on one that it does not know."""
    if device.kind.torch_type is None:
        return ()
    return on_cpu if device.is_cpu else on_gpu


def prepare_device(device: str, threads: int) -> Device:
    """Threads, TF32 off, and the device is there; BenchmarkError with what to install if not."""
    torch.set_num_threads(threads)
    # Or "fp32" rows of PyTorch and of other runtimes are not the same arithmetic.
    compute_in_full_fp32()
    there = device_named(device)
    name = there.torch_name
    there.require()
    if there.kind.separator:
        torch.get_device_module(name).set_device(there.index)
    # Kernels are chosen by rule: the search would be repeated, and differ, in every process.
    torch.backends.cudnn.benchmark = False
    return there


def session_of(
    module: nn.Module, device: str, known: Mapping[str, Any] = MappingProxyType({})
) -> Session:
    """Session of a module that lies on a device; what is known better replaces facts of torch."""
    there = device_named(device)
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters()})
    ran: dict[str, Any] = {
        "library": "torch",
        "version": torch.__version__,
        "provider": there.kind.name,
        "device": there.name,
        "threads": torch.get_num_threads(),
        "tf32": False,
        "element_type": "+".join(kinds),
        **known,
    }
    if there.is_cpu:
        return HostSession(_on_cpu(module), ran)
    ran["tf32"] = bool(
        torch.backends.mkldnn.allow_tf32
        if there.kind is XPU
        else torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    )
    ran["gpu"] = there.kind.hardware(there.index)
    return TorchGpuSession(module, torch.device(there.torch_name), ran)


def _on_cpu(module: nn.Module) -> Callable[[Image], Image]:
    def compute(image: Image) -> Image:
        with torch.inference_mode():
            restored: Image = module(torch.from_numpy(image)).numpy()
        return restored

    return compute


class TorchGpuSession:
    """A module on a GPU, PyTorch's current one: copies and computation are told apart by events."""

    fallbacks: tuple[str, ...] = ()

    def __init__(self, module: nn.Module, device: torch.device, ran: Mapping[str, Any]) -> None:
        self.ran = ran
        self._module = module
        self._device = device
        self._backend: Any = torch.get_device_module(device)

    def run(self, image: Image) -> Image:
        """Copy there, compute, copy back."""
        with torch.inference_mode():
            restored: Image = self._module(self._there(image)).cpu().numpy()
        return restored

    def timed(self, image: Image) -> Timing:
        """Run once between events; the wall clock stops when the result is back."""
        marks = [self._backend.Event(enable_timing=True) for _ in range(4)]
        self._backend.synchronize()
        clock = Clock()
        with torch.inference_mode():
            marks[0].record()
            there = self._there(image)
            marks[1].record()
            restored = self._module(there)
            marks[2].record()
            restored.cpu()
            marks[3].record()
        self._backend.synchronize()
        wall, cpu = clock.read()
        there_ms, device_ms, back_ms = (
            first.elapsed_time(second) for first, second in pairwise(marks)
        )
        return Timing(wall, cpu, device_ms, there_ms + back_ms)

    def device_bytes(self) -> int | None:
        """Largest reservation of PyTorch's allocator, in bytes; None where it keeps no count.

        The context of the device's driver comes on top.
        """
        largest = getattr(self._backend, "max_memory_reserved", None)
        return None if largest is None else int(largest(self._device))

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
