"""OpenVINO on the CPU: it reads the ONNX file."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.errors import BenchmarkError, ExportError, MissingExtraError
from unifmir.export.runners.base import HostSession, Image, Session, is_cuda

if TYPE_CHECKING:
    from torch import nn


class OpenVino:
    """A file of `unifmir export --format onnx`, in OpenVINO."""

    name = "openvino"
    format = "onnx"

    def precisions(self, device: str) -> tuple[str, ...]:
        """Arithmetic in fp32 whatever the weights are stored in; nothing on CUDA devices."""
        return () if is_cuda(device) else ("fp32", "fp16", "bf16")

    def require(self) -> None:
        """Import OpenVINO."""
        imported()

    def open(self, source: "nn.Module | Path", *, device: str, threads: int) -> Session:
        """Compile the file for the CPU."""
        if not isinstance(source, Path):
            raise BenchmarkError("openvino runs a file, not a module: export it first")
        if is_cuda(device):
            raise BenchmarkError(f"openvino does not run on {device}: use --device cpu")
        openvino = imported()
        try:
            model = openvino.Core().compile_model(source, "CPU", _settings(threads))
        except RuntimeError as error:
            raise ExportError(f"{source.name}: OpenVINO cannot load it: {error}") from error
        request = model.create_infer_request()

        def compute(image: Image) -> Image:
            # A copy: OpenVINO gives its own buffer, which the next run overwrites.
            restored: Image = request.infer([image], share_inputs=True)[0].copy()
            return restored

        return HostSession(compute, _facts(openvino, model))


def imported() -> Any:
    """The library; MissingExtraError where it is not installed."""
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingExtraError(
            "OpenVINO is not installed: pip install 'unifmir[openvino]' (or openvino itself)"
        ) from error


def _settings(threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # By default it computes in bf16 where the processor can: 54 dB, not the same picture.
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _facts(openvino: Any, model: Any) -> dict[str, Any]:
    threads = int(model.get_property("INFERENCE_NUM_THREADS"))
    kind = model.get_property("INFERENCE_PRECISION_HINT")
    return {
        "library": "openvino",
        "version": openvino.__version__,
        "provider": ", ".join(model.get_property("EXECUTION_DEVICES")),
        "device": "cpu",
        "threads": threads,
        "tf32": False,
        "element_type": kind.get_type_name() if hasattr(kind, "get_type_name") else str(kind),
    }


OPENVINO = OpenVino()
