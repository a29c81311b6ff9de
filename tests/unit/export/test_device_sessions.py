"""What the runtimes ask of the libraries on devices that are not here, by stand-ins for these."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import unifmir
from unifmir.errors import BenchmarkError, MissingExtraError
from unifmir.export.runtimes import RUNTIMES, openvino
from unifmir.export.runtimes.onnxruntime import ONNXRUNTIME
from unifmir.export.runtimes.pytorch import TorchGpuSession

IMAGE = np.zeros((1, 1, 8, 8), np.float32)


@pytest.fixture(scope="module")
def graph(tiny_single, tmp_path_factory):
    """An ONNX file."""
    (artifact,) = unifmir.export(
        tiny_single("sr"), tmp_path_factory.mktemp("graph"), formats=("onnx",)
    )
    return artifact.path


@pytest.fixture
def asked(monkeypatch):
    """ONNX Runtime with every provider, which is told to compute on none: what it was asked for."""
    import onnxruntime

    found: dict[str, Any] = {}
    real = onnxruntime.InferenceSession

    class AsAsked:
        def __init__(self, content, options, providers):
            found.update(providers=providers, options=options)
            self._session = real(content, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return [found["providers"][0][0], "CPUExecutionProvider"]

        def __getattr__(self, name):
            return getattr(self._session, name)

    every = ["DmlExecutionProvider", "CoreMLExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "InferenceSession", AsAsked)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: every)
    return found


@pytest.mark.parametrize(
    ("device", "provider", "options"),
    [
        ("cpu", "CPUExecutionProvider", {}),
        ("directml:1", "DmlExecutionProvider", {"device_id": "1"}),
        (
            "coreml",
            "CoreMLExecutionProvider",
            {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU"},
        ),
        # TF32 is on if nothing is said: then fp32 is not what others compute.
        ("cuda:2", "CUDAExecutionProvider", {"device_id": "2", "use_tf32": "0"}),
    ],
)
def test_onnx_runtime_is_asked_for_the_devices_provider_alone(
    graph, asked, device, provider, options
):
    session = ONNXRUNTIME.open(graph, device=device, threads=1)
    assert asked["providers"] == [(provider, options)]
    # DirectML refuses sessions that plan their memory.
    assert asked["options"].enable_mem_pattern is not device.startswith("directml")
    assert session.fallbacks == ()
    assert (session.ran["device"], session.ran["provider"]) == (device, provider)
    assert session.ran["tf32"] is False


@pytest.mark.parametrize(("device", "extra"), [("directml", "directml"), ("coreml", "cpu")])
def test_a_build_without_the_provider_says_which_has_it(graph, device, extra):
    with pytest.raises(BenchmarkError, match=rf"is not there.*unifmir\[{extra}\]"):
        ONNXRUNTIME.open(graph, device=device, threads=1)


@pytest.mark.parametrize("device", ["mps", "xpu", "openvino:GPU"])
def test_a_device_that_a_runtime_does_not_serve_is_refused(graph, device):
    assert ONNXRUNTIME.precisions(device) == ()
    with pytest.raises(BenchmarkError, match="onnxruntime does not run on"):
        ONNXRUNTIME.open(graph, device=device, threads=1)


def test_onnx_runtime_that_is_missing_says_what_to_install(graph, tiny_single, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        for call in (
            ONNXRUNTIME.require,
            lambda: ONNXRUNTIME.open(graph, device="cpu", threads=1),
            lambda: unifmir.export(tiny_single("sr"), tmp_path, formats=("onnx",)),
        ):
            with pytest.raises(MissingExtraError, match=r"unifmir\[cpu\].*unifmir\[gpu\]"):
                call()
    assert not list(tmp_path.iterdir())


class OpenVinoCore:
    """A Core with a GPU, whose compiled models say what they were compiled for."""

    available_devices = ("CPU", "GPU.0", "GPU.1")

    def __init__(self) -> None:
        self.compiled: list[tuple[str, dict[str, Any]]] = []

    def compile_model(self, _model, place, settings):
        self.compiled.append((place, settings))
        hint = SimpleNamespace(get_type_name=lambda: settings["INFERENCE_PRECISION_HINT"])
        told = {"EXECUTION_DEVICES": [place], "INFERENCE_PRECISION_HINT": hint}
        return SimpleNamespace(get_property=told.__getitem__)


def test_openvino_computes_on_the_gpu_in_fp32(graph, monkeypatch):
    core = OpenVinoCore()
    library = SimpleNamespace(Core=lambda: core, __version__="1")
    monkeypatch.setitem(sys.modules, "openvino", library)
    model = SimpleNamespace(has_rt_info=lambda _: False)
    monkeypatch.setattr(openvino, "read_model", lambda _: model)
    session = RUNTIMES["openvino"].open(graph, device="openvino:GPU.1", threads=3)
    ran = session.ran
    ((place, settings),) = core.compiled
    assert place == "GPU.1"
    # fp16 is what a GPU computes in if nothing is said; threads are the CPU's.
    assert settings == {"NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    assert (ran["device"], ran["provider"], ran["element_type"]) == (
        "openvino:GPU.1",
        "GPU.1",
        "f32",
    )
    with pytest.raises(BenchmarkError, match="use --device cpu or openvino:GPU"):
        RUNTIMES["openvino"].open(graph, device="cuda", threads=1)


class Mark:
    """An event of a device whose clock ticks once an event, in milliseconds."""

    ticks = 0

    def __init__(self, *, enable_timing):
        assert enable_timing

    def record(self):
        Mark.ticks += 1
        self.at = Mark.ticks**2

    def elapsed_time(self, later):
        return later.at - self.at


def test_a_gpu_of_pytorch_is_timed_between_its_own_events(monkeypatch):
    waited = []
    backend = SimpleNamespace(Event=Mark, synchronize=lambda: waited.append(1))
    monkeypatch.setattr(torch, "get_device_module", lambda _: backend)
    session = TorchGpuSession(torch.nn.Identity(), torch.device("cpu"), {})
    np.testing.assert_array_equal(session.run(IMAGE + 1), IMAGE + 1)
    timing = session.timed(IMAGE)
    # The marks lie at 1, 4, 9 and 16: copies take 3 and 7, the device 5.
    assert (timing.device_ms, timing.copy_ms) == (5, 10)
    assert len(waited) == 2
    assert session.device_bytes() is None
    backend.max_memory_reserved = lambda _: 12
    assert session.device_bytes() == 12
