"""A loaded engine: checked against its passport, deserialised, certified, and run."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unifmir.errors import ExportError
from unifmir.export.lineage import IMAGE, RESTORED
from unifmir.export.runtimes.base import Image
from unifmir.export.runtimes.tensorrt.certificate import TypeCount, engine_types, require
from unifmir.export.runtimes.tensorrt.host import Host, host, require_gpu
from unifmir.export.runtimes.tensorrt.library import Library, Log, library
from unifmir.export.runtimes.tensorrt.passport import (
    Passport,
    check_passport,
    read_passport,
    rebuild_command,
)
from unifmir.trusted_files import require_trusted

if TYPE_CHECKING:
    from torch import Tensor


class EngineMemory(Protocol):
    """Memory of an engine's input and output, and the queue it works in."""

    stream: int
    """Handle of a CUDA stream."""

    def there(self, image: Image) -> "Tensor":
        """Copy of an image on the device: float32, the same shape and range."""

    def empty(self, shape: Sequence[int]) -> "Tensor":
        """Room for a float32 image of a shape on the device; any values."""

    def finish(self) -> None:
        """Wait until all that was asked for is done."""


class CudaMemory:
    """PyTorch's memory and one of its streams."""

    def __init__(self) -> None:
        import torch

        self.device = torch.device("cuda", 0)
        # Not the default stream: TensorRT would add synchronisations to it.
        self.torch_stream: Any = torch.cuda.Stream(self.device)
        self.stream = int(self.torch_stream.cuda_stream)

    def there(self, image: Image) -> "Tensor":
        """Complete copy, float32 of the same shape and range: the engine's stream does not wait."""
        import torch

        with torch.cuda.stream(self.torch_stream):
            return torch.from_numpy(np.ascontiguousarray(image)).to(self.device)

    def empty(self, shape: Sequence[int]) -> "Tensor":
        """Room for a float32 image of a shape, any values, taken on the engine's stream.

        So that it is given back after the engine is done.
        """
        import torch

        with torch.cuda.stream(self.torch_stream):
            return torch.empty(tuple(shape), dtype=torch.float32, device=self.device)

    def finish(self) -> None:
        """Wait for the stream."""
        self.torch_stream.synchronize()


class Engine:
    """An engine that can run; make it with `load`."""

    def __init__(
        self,
        engine: Any,
        context: Any,
        passport: Passport,
        certificate: TypeCount,
        library: Library,
        memory: EngineMemory,
    ) -> None:
        self.passport = passport
        self.certificate = certificate
        self.library = library
        self.memory = memory
        self._engine = engine  # The context does not keep it alive on every version.
        self._context = context

    def run(self, image: Image) -> Image:
        """Copy there, compute, copy back.

        Parameters
        ----------
        image : ndarray, float32
            In a shape of the profile, in the range of the interface.
        """
        restored = self.enqueue(self.memory.there(image))
        self.memory.finish()
        result: Image = restored.cpu().numpy()
        return result

    def enqueue(self, image: "Tensor") -> "Tensor":
        """Begin to compute on float32 values in the interface's range; done when the stream is.

        Raises
        ------
        ExportError
            The shape is outside the profile, or TensorRT refuses to run.
        """
        shape = tuple(image.shape)
        profile = self.passport.profile
        if not profile.takes(shape):
            low, _, high = ("x".join(map(str, s)) for s in profile.shapes)
            raise ExportError(
                f"input {'x'.join(map(str, shape))}: this engine takes {low} to {high}; export "
                "one with another --profile, or restore the image by tiles"
            )
        context = self._context
        if not context.set_input_shape(IMAGE, shape):
            raise ExportError(f"{self.library.name} refuses an input of {shape}")
        restored = self.memory.empty(tuple(context.get_tensor_shape(RESTORED)))
        context.set_tensor_address(IMAGE, image.data_ptr())
        context.set_tensor_address(RESTORED, restored.data_ptr())
        if not context.execute_async_v3(self.memory.stream):
            raise ExportError(f"{self.library.name} could not run an input of {shape}")
        return restored


@dataclass(frozen=True, slots=True)
class CheckedEngine:
    """An engine that may be loaded here; the library has not seen it yet."""

    content: bytes
    """Read once: what was checked is what is loaded."""
    passport: Passport
    library: Library
    host: Host


def checked(path: Path) -> CheckedEngine:
    """Hold an engine against its passport, this machine and what is trusted; nothing is run.

    Parameters
    ----------
    path : Path
        Its passport lies beside it.

    Raises
    ------
    BenchmarkError
        There is no GPU.
    ExportError
        The passport is missing or does not fit.
    MissingExtraError
        The library it was built with is not installed.
    UntrustedError
        It was neither written here nor trusted.
    """
    passport = read_passport(path)
    here = host()
    require_gpu(here, f"{path.name}: a TensorRT engine")
    found = library(passport.library["name"])
    content = path.read_bytes()
    digest = sha256(content).hexdigest()
    check_passport(passport, path, digest, found, here)
    require_trusted(path, digest, "an engine of TensorRT")
    return CheckedEngine(content, passport, found, here)


def load(path: Path) -> Engine:
    """Load an engine onto the first GPU.

    Parameters
    ----------
    path : Path
        Its passport lies beside it.

    Raises
    ------
    BenchmarkError, MissingExtraError, UntrustedError
        As `checked`.
    ExportError
        As `checked`; also where the library refuses the engine, or it does not compute in the
        precision it is called by.
    """
    given = checked(path)
    passport, found = given.passport, given.library
    engine, context = _deserialized(path, given)
    certificate = engine_types(found.api, engine)
    precision = passport.lineage["precision"]
    if precision != "fp32":
        require(certificate, TypeCount(passport.network_types), precision, path.name)
    return Engine(engine, context, passport, certificate, found, CudaMemory())


def _deserialized(path: Path, given: CheckedEngine) -> tuple[Any, Any]:
    """The library's engine and its execution context."""
    found, here = given.library, given.host
    log = Log(found.api)
    runtime = found.api.Runtime(log.handle)
    engine = runtime.deserialize_cuda_engine(given.content)
    context = None if engine is None else engine.create_execution_context()
    if context is None:
        raise ExportError(
            f"{path.name}: {found.name} {found.version} does not load it on {here.gpu} "
            f"(compute capability {here.compute_capability}): {log.text}.\nbuild it again: "
            f"{rebuild_command(given.passport, path.parent)}"
        )
    return engine, context
