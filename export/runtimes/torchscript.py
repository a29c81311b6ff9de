"""TorchScript files by torch.jit."""

import io
import warnings
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from unifmir.devices import device_named
from unifmir.errors import ExportError
from unifmir.export.runtimes.base import STORED, Runtime, Session
from unifmir.export.runtimes.pytorch import prepare_device, session_of, torch_precisions
from unifmir.export.runtimes.script_program import require_plain_program
from unifmir.precision.element_types import Precision
from unifmir.trusted_files import require_trusted


class TorchScriptRuntime(Runtime):
    """Runs a file of `unifmir export --format torchscript`."""

    name = "torchscript"
    format = "torchscript"
    cpu_rank, gpu_rank = 3, 2
    body_maps = 16
    holds_attention = True

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in any element type, arithmetic in fp32, on every device of PyTorch."""
        return torch_precisions(device_named(device), on_gpu=STORED, on_cpu=STORED)

    def require_harmless(self, path: Path) -> None:
        """Refuse a program that is not trusted, or does more than compute with tensors."""
        _checked(path)

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Load the file by torch.jit on the device."""
        path = self.file_from(source)
        there = prepare_device(device, threads)
        return session_of(load_torchscript(path, there.torch_name), device)


def load_torchscript(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """Load a TorchScript file.

    Raises
    ------
    UntrustedError
        It was not written here and is not trusted.
    ExportError
        It is none, or its program does more than compute with tensors.
    """
    content = _checked(path)
    try:
        with warnings.catch_warnings():
            # torch.jit is announced as deprecated; it is what deepImageJ and Icy load.
            warnings.simplefilter("ignore", DeprecationWarning)
            module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), device)
    except (RuntimeError, ValueError, OSError) as error:
        raise ExportError(f"{path.name}: not a TorchScript file ({error})") from error
    return module


def _checked(path: Path) -> bytes:
    """The file's content, read once: what is checked is what is loaded."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path.name}: not a TorchScript file ({error})") from error
    require_trusted(path, sha256(content).hexdigest(), "TorchScript")
    require_plain_program(path.name, content)
    return content


TORCHSCRIPT = TorchScriptRuntime()
