"""TensorRT engines, on the GPU they were verified on."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.devices import CUDA, device_named
from unifmir.errors import BenchmarkError
from unifmir.export.runtimes.base import Clock, Image, Runtime, Session, Timing
from unifmir.export.runtimes.tensorrt.host import host, require_gpu
from unifmir.export.runtimes.tensorrt.library import library
from unifmir.export.runtimes.tensorrt.passport import read_passport
from unifmir.precision.element_types import ELEMENT_TYPES, Precision

if TYPE_CHECKING:
    from torch import nn

    from unifmir.export.runtimes.tensorrt.engine import CudaMemory, Engine


class TensorRt(Runtime):
    """Runs a file of `unifmir export --format tensorrt`."""

    name = "tensorrt"
    format = "tensorrt"
    gpu_rank = 0
    carries_proof = True
    body_maps = 16
    holds_attention = True
    distributions = ("tensorrt", "tensorrt-rtx")

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Arithmetic in any element type; nothing but on CUDA devices."""
        if device_named(device).kind is not CUDA:
            return ()
        return tuple(Precision(name, name) for name in ELEMENT_TYPES)

    def require(self) -> None:
        """Import a TensorRT."""
        library()

    def require_harmless(self, path: Path) -> None:
        """Refuse an engine that is not trusted, or does not fit its passport or this machine."""
        from unifmir.export.runtimes.tensorrt.engine import checked

        checked(path)

    def needs_verification(self, path: Path) -> bool:
        """Whether an engine was not verified on this GPU."""
        here = host()
        require_gpu(here, f"{path.name}: a TensorRT engine")
        return not read_passport(path).verified_on(here)

    def open(self, source: "nn.Module | Path", *, device: str, threads: int) -> Session:
        """Load an engine, whether it was verified on this GPU before or not."""
        path = self.file_from(source)
        if device_named(device).kind is not CUDA:
            raise BenchmarkError(f"tensorrt does not run on {device}: use --device cuda:0")
        if device_named(device).index:
            raise BenchmarkError(
                f"tensorrt runs on cuda:0, not {device}: choose the card by CUDA_VISIBLE_DEVICES"
            )
        read_passport(path)
        require_gpu(host(), f"{path.name} on {device}: a TensorRT engine")
        from unifmir.export.runtimes.tensorrt.engine import CudaMemory, load

        engine = load(path)
        assert isinstance(engine.memory, CudaMemory)  # noqa: S101 - what `load` makes
        return TensorRtSession(engine, engine.memory, device)


class TensorRtSession:
    """An engine whose copies and computation are told apart by events."""

    fallbacks: tuple[str, ...] = ()

    def __init__(self, engine: "Engine", memory: "CudaMemory", device: str) -> None:
        self._engine = engine
        self._memory = memory
        self.ran: Mapping[str, Any] = {
            "library": engine.library.name,
            "version": engine.library.version,
            "provider": engine.library.name,
            "device": device,
            "threads": 1,
            "tf32": False,
            "element_type": engine.certificate.text,
            "engine_types": engine.certificate.to_dict(),
            "profile": engine.passport.profile.text,
            "gpu": engine.passport.built_on.gpu,
        }

    def run(self, image: Image) -> Image:
        """Copy there, compute, copy back."""
        return self._engine.run(image)

    def timed(self, image: Image) -> Timing:
        """Run once between events on the engine's stream."""
        import torch

        stream = self._memory.torch_stream
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        self._memory.finish()
        clock = Clock()
        marks[0].record(stream)
        there = self._memory.there(image)
        marks[1].record(stream)
        restored = self._engine.enqueue(there)
        marks[2].record(stream)
        with torch.cuda.stream(stream):
            restored.cpu()
        marks[3].record(stream)
        self._memory.finish()
        wall, cpu = clock.read()
        there_ms, device_ms, back_ms = (
            first.elapsed_time(second) for first, second in pairwise(marks)
        )
        return Timing(wall, cpu, device_ms, there_ms + back_ms)

    def device_bytes(self) -> int | None:
        """TensorRT's own memory is not PyTorch's, and it does not say how much it took."""
        return None


TENSORRT = TensorRt()
