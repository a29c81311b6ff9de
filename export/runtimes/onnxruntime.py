"""ONNX Runtime, by the execution provider of the device, and nothing it was not asked for."""

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.devices import COREML, CUDA, DIRECTML, Device, device_named
from unifmir.errors import BenchmarkError, ExportError, MissingExtraError
from unifmir.export.runtimes.base import (
    STORED,
    Clock,
    HostSession,
    Image,
    Runtime,
    Session,
    Timing,
    provider_fallbacks,
)
from unifmir.export.runtimes.onnx_graph import require_plain_graph
from unifmir.export.runtimes.out_of_memory import is_out_of_memory
from unifmir.machine import ONNXRUNTIME_BUILDS, versions
from unifmir.precision.element_types import Precision

if TYPE_CHECKING:
    # Imported where a file is opened: that a machine has it makes no other runtime wait for it.
    import onnxruntime
    from torch import nn

logger = logging.getLogger(__name__)

Provider = tuple[str, dict[str, str]]
"""An execution provider and its options."""


class OnnxRuntime(Runtime):
    """Runs a file of `unifmir export --format onnx`, on one provider and nothing else."""

    name = "onnxruntime"
    format = "onnx"
    cpu_rank, gpu_rank = 2, 1
    body_maps = 16
    holds_attention = True
    distributions = ONNXRUNTIME_BUILDS

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in any element type; no provider computes in bf16 everywhere."""
        kind = device_named(device).kind
        if kind.provider is None:
            return ()
        # Core ML chooses by itself what it computes in two bytes: nothing more is asked of it.
        return STORED if kind is COREML else (*STORED, Precision("fp16", "fp16"))

    def require(self) -> None:
        """Import ONNX Runtime and what reads graphs."""
        try:
            for name in ("onnx", "onnxruntime"):
                importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                "ONNX Runtime is not installed: pip install 'unifmir[cpu]' or 'unifmir[gpu]'"
            ) from error

    def require_harmless(self, path: Path) -> None:
        """Refuse a graph that does more than compute with its own tensors."""
        require_plain_graph(path.name, path.read_bytes())

    def open(self, source: "nn.Module | Path", *, device: str, threads: int) -> Session:
        """Create an inference session on one provider."""
        path, there = self.file_from(source), device_named(device)
        if there.kind.provider is None:
            raise BenchmarkError(f"onnxruntime does not run on {there.name}: use --device cpu")
        self.require()
        _tell_of_several_builds()
        if there.kind is CUDA:
            return _on_cuda(path, there, threads)
        there.require()
        return _by_provider(path, there, _provider_of(there), threads)


@cache
def _tell_of_several_builds() -> None:
    """Warn, once in a process, where several distributions overwrote each other's files."""
    builds = versions(*OnnxRuntime.distributions)
    if len(builds) > 1:
        told = " and ".join(f"{name} {version}" for name, version in builds.items())
        logger.warning(
            "%s are both installed and overwrite each other's files: which of them runs, and on "
            "which device, is chance. pip uninstall %s, then install one of them anew: "
            "`unifmir doctor` says which",
            told,
            " ".join(builds),
        )


def _provider_of(device: Device) -> Provider:
    """The device's provider, in the arithmetic that is asked for."""
    number = {"device_id": str(device.index)} if device.kind.separator else {}
    return str(device.kind.provider), {**number, **device.kind.provider_options}


def _checked_content(path: Path) -> bytes:
    """A file's bytes, read once: what is checked is what is loaded."""
    content = path.read_bytes()
    require_plain_graph(path.name, content)
    return content


def _session_of(
    name: str, content: bytes, provider: Provider, threads: int
) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads that spin take the cores from whoever shares the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider[0] == DIRECTML.provider:
        # It has no such plans, and refuses sessions that have.
        options.enable_mem_pattern = False
    try:
        with warnings.catch_warnings():
            # Of a provider that this build lacks; the fallback is told by what the session has.
            warnings.simplefilter("ignore", UserWarning)
            session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
        raise ExportError(f"{name}: ONNX Runtime cannot load it: {error}") from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise ExportError(f"{name}: expected one input and one output")
    return session


def _by_provider(path: Path, device: Device, provider: Provider, threads: int) -> HostSession:
    """A session seen from the CPU; it says so where it computes there and should not."""
    content = _checked_content(path)

    def load() -> "onnxruntime.InferenceSession":
        return _session_of(path.name, content, provider, threads)

    session = load()
    fallbacks = provider_fallbacks(provider[0], session.get_providers())
    name = "cpu" if fallbacks else device.name
    return HostSession(_Computation(load, session), _facts(session, name, threads), fallbacks)


class _Computation:
    """Runs a session, and loads it anew after a run for which memory was short.

    ONNX Runtime's arena grows in steps of the largest block it was ever asked for, whether it got
    that or not. The next run, however small, would take nine tenths of the memory that is left or
    more, and may find none for anything else.
    """

    def __init__(
        self,
        load: Callable[[], "onnxruntime.InferenceSession"],
        session: "onnxruntime.InferenceSession",
    ) -> None:
        self._load = load
        self._session: onnxruntime.InferenceSession | None = session
        self._input = session.get_inputs()[0].name

    def __call__(self, image: Image) -> Image:
        if self._session is None:
            self._session = self._load()
        try:
            restored: Image = self._session.run(None, {self._input: image})[0]
        except Exception as error:  # as above
            if is_out_of_memory(error, OnnxRuntime.out_of_memory):
                self._session = None
            raise
        return restored


def _facts(session: "onnxruntime.InferenceSession", device: str, threads: int) -> dict[str, Any]:
    import onnxruntime

    used = list(session.get_providers())
    ours = session.get_modelmeta().custom_metadata_map
    kinds = f"{ours['precision']} {ours['variant']}" if "variant" in ours else ""
    return {
        "library": "onnxruntime",
        "version": onnxruntime.__version__,
        "provider": used[0],
        "providers": used,
        "device": device,
        "threads": threads,
        "tf32": False,
        "element_type": kinds or session.get_inputs()[0].type,
    }


def _on_cuda(path: Path, device: Device, threads: int) -> Session:
    """A session bound to a GPU; one on the CPU that says so if the provider does not load."""
    stream = _stream(device.name)
    provider, options = _provider_of(device)
    if stream is not None:
        options["user_compute_stream"] = str(stream.cuda_stream)
    session = _session_of(path.name, _checked_content(path), (provider, options), threads)
    if provider_fallbacks(provider, session.get_providers()):
        return _by_provider(path, device, (provider, options), threads)
    facts = _facts(session, device.name, threads)
    facts["device_clock"] = "cuda events" if stream is not None else "synchronised host clock"
    return OnnxCudaSession(session, device.index, stream, facts)


def _stream(device: str) -> Any:
    """A stream of PyTorch's, whose events time ONNX Runtime's work; None without CUDA in torch.

    Importing torch also loads the CUDA libraries that ONNX Runtime needs and does not carry.
    """
    torch = importlib.import_module("torch")
    return torch.cuda.Stream(device) if torch.cuda.is_available() else None


class OnnxCudaSession:
    """Input and output bound to the GPU, so that copies are seen and timed apart."""

    fallbacks: tuple[str, ...] = ()

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        index: int,
        stream: Any,
        ran: Mapping[str, Any],
    ) -> None:
        self.ran = ran
        self._session = session
        self._index = index
        self._stream = stream
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def run(self, image: Image) -> Image:
        """Copy there, compute, copy back."""
        binding = self._bound(image)
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        restored: Image = binding.copy_outputs_to_cpu()[0]
        return restored

    def timed(self, image: Image) -> Timing:
        """Run once; inputs are complete before, outputs inside the device's time."""
        clock = Clock()
        # Binding begins the copy to the device, synchronising completes it: without that the
        # session's own stream may read what is not there yet.
        binding = self._bound(image)
        binding.synchronize_inputs()
        there_ms, _ = clock.read()
        device_ms = self._computed(binding)
        done_ms, _ = clock.read()
        binding.copy_outputs_to_cpu()
        wall, cpu = clock.read()
        return Timing(wall, cpu, device_ms, there_ms + wall - done_ms)

    def device_bytes(self) -> int | None:
        """ONNX Runtime does not say what its arena took."""
        return None

    def _bound(self, image: Image) -> Any:
        import onnxruntime

        binding = self._session.io_binding()
        there = onnxruntime.OrtValue.ortvalue_from_numpy(image, "cuda", self._index)
        binding.bind_ortvalue_input(self._input, there)
        binding.bind_output(self._output, "cuda", self._index)
        return binding

    def _computed(self, binding: Any) -> float:
        """Milliseconds on the device, between events where PyTorch has them."""
        if self._stream is None:
            clock = Clock()
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return clock.read()[0]
        torch = importlib.import_module("torch")
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record(self._stream)
        self._session.run_with_iobinding(binding)
        last.record(self._stream)
        binding.synchronize_outputs()
        last.synchronize()
        return float(first.elapsed_time(last))


ONNXRUNTIME = OnnxRuntime()
