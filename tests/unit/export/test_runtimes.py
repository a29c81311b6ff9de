import importlib
import sys

import numpy as np
import pytest
import torch

import unifmir
from unifmir.checkpoint.saving import save
from unifmir.compare import FP32, compare
from unifmir.errors import BenchmarkError, ExportError, MissingExtraError
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes import onnxruntime as onnxruntime_row
from unifmir.export.runtimes import openvino as openvino_row
from unifmir.export.runtimes.base import provider_fallbacks
from unifmir.model import image_interface
from unifmir.precision.element_types import Precision

FILES = {"torchscript": "torchscript", "onnxruntime": "onnx"}
MODULES = ("eager", "plain")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FACTS = {"library", "version", "provider", "device", "threads", "tf32", "element_type"}


@pytest.fixture(scope="module")
def image():
    """What the tiny sr network reads."""
    return np.random.default_rng(0).random((1, 1, 20, 28), dtype=np.float32)


@pytest.fixture(scope="module")
def made(tiny_config, tmp_path_factory):
    """A tiny sr network, and its files by format."""
    from tests.golden.weights import filled
    from unifmir.model import build

    network = build(tiny_config.single("sr"))
    network.load_state_dict(filled(network.state_dict(), seed=0))
    folder = tmp_path_factory.mktemp("runners")
    artifacts = unifmir.export(network, folder, formats=tuple(FILES.values()))
    return network, {artifact.format: artifact.path for artifact in artifacts}


def source_of(name, made):
    """What a runtime opens."""
    network, files = made
    return (
        image_interface(network) if RUNTIMES[name].format is None else files[RUNTIMES[name].format]
    )


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_a_row_leads_to_a_runtime_of_that_name(name):
    row = RUNTIMES[name]
    assert row.name == name
    assert row.format is None or row.format in FORMATS
    found = {*row.precisions("cpu"), *row.precisions("cuda:0")}
    assert Precision("fp32") in found or row.own_arithmetic
    assert found
    with pytest.raises(BenchmarkError, match="unknown device 'gpu'"):
        row.precisions("gpu")


@pytest.mark.parametrize("name", [*MODULES, *FILES])
def test_a_session_gives_the_picture_and_says_what_ran(name, made, image):
    before = torch.get_num_threads()
    try:
        session = RUNTIMES[name].open(source_of(name, made), device="cpu", threads=1)
    finally:
        torch.set_num_threads(before)
    with torch.inference_mode():
        expected = image_interface(made[0])(torch.from_numpy(image)).numpy()
    assert not FP32.failures(compare(expected, session.run(image)))
    assert set(session.ran) >= FACTS
    assert session.ran["device"] == "cpu"
    assert session.ran["threads"] == 1
    assert session.ran["tf32"] is False
    assert session.fallbacks == ()
    assert session.device_bytes() is None


@pytest.mark.parametrize("name", [*MODULES, *FILES])
def test_a_timing_on_the_cpu_has_no_device_and_no_copies(name, made, image):
    session = RUNTIMES[name].open(source_of(name, made), device="cpu", threads=1)
    timing = session.timed(image)
    assert timing.wall_ms > 0
    assert timing.cpu_ms > 0
    assert timing.device_ms is timing.copy_ms is None


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_runtime_refuses_a_module_and_a_damaged_file(name, made, tmp_path):
    with pytest.raises(BenchmarkError, match="export it first"):
        RUNTIMES[name].open(made[0], device="cpu", threads=1)
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(ExportError, match=r"broken\.bin"):
        RUNTIMES[name].open(broken, device="cpu", threads=1)


@pytest.mark.parametrize("name", ["eager", "compiled"])
def test_a_module_runtime_refuses_a_file(name, tmp_path):
    with pytest.raises(BenchmarkError, match="runs a module, not a file"):
        RUNTIMES[name].open(tmp_path / "model.onnx", device="cpu", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["eager", "torchscript"])
def test_a_gpu_that_is_not_there_is_refused(name, made):
    with pytest.raises(BenchmarkError, match=r"cuda:0 is not there: 0 .*build for CUDA"):
        RUNTIMES[name].open(source_of(name, made), device="cuda:0", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_provider_that_does_not_load_is_told_and_what_ran_is_the_truth(made, image):
    session = RUNTIMES["onnxruntime"].open(made[1]["onnx"], device="cuda:0", threads=1)
    (told,) = session.fallbacks
    assert told.startswith(f"{CUDA} was asked for, {CPU} was used")
    assert "pip install 'unifmir[gpu]'" in told
    assert session.ran["provider"] == CPU
    assert session.ran["device"] == "cpu"
    assert np.isfinite(session.run(image)).all()


@pytest.mark.parametrize(
    ("used", "falls_back"),
    [([CUDA, CPU], False), ([CPU], True), ([CPU, CUDA], True), ([], True)],
)
def test_a_fallback_is_seen_in_what_the_session_lists_first(used, falls_back):
    assert bool(provider_fallbacks(CUDA, used)) is falls_back


def test_two_builds_of_onnx_runtime_are_told_once_where_it_is_used(made, monkeypatch, caplog):
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(onnxruntime_row, "versions", lambda *_: both)
    onnxruntime_row._tell_of_several_builds.cache_clear()
    for _ in range(2):
        RUNTIMES["onnxruntime"].open(made[1]["onnx"], device="cpu", threads=1)
    onnxruntime_row._tell_of_several_builds.cache_clear()
    told = "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 are both installed"
    assert caplog.text.count(told) == 1
    assert "pip uninstall onnxruntime onnxruntime-gpu" in caplog.text


def test_openvino_that_is_missing_says_what_to_install(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"unifmir\[openvino\]"):
        RUNTIMES["openvino"].require()
    with pytest.raises(MissingExtraError, match=r"unifmir\[openvino\]"):
        RUNTIMES["openvino"].open(made[1]["onnx"], device="cpu", threads=1)


def test_openvino_gives_the_picture(made, image):
    pytest.importorskip("openvino", reason="an extra, not installed here")
    session = openvino_row.OPENVINO.open(made[1]["onnx"], device="cpu", threads=1)
    with torch.inference_mode():
        expected = image_interface(made[0])(torch.from_numpy(image)).numpy()
    assert not FP32.failures(compare(expected, session.run(image)))
    assert set(session.ran) >= FACTS
    assert session.ran["element_type"] == "f32"
    assert session.ran["threads"] == 1
    assert session.fallbacks == ()


def test_low_precision_on_the_cpu_is_offered_only_where_it_has_kernels():
    assert Precision("fp16", "fp16") not in RUNTIMES["eager"].precisions("cpu")
    assert Precision("fp16", "fp16") in RUNTIMES["eager"].precisions("cuda:0")
    assert RUNTIMES["openvino"].precisions("cuda:0") == ()


@pytest.mark.slow
# The compiler takes 36 s of a core; tests/contract/test_exporters.py has it compile a network too.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, inside the compiler
def test_a_compiled_module_gives_the_picture(made, image):
    session = RUNTIMES["compiled"].open(image_interface(made[0]), device="cpu", threads=1)
    with torch.inference_mode():
        expected = image_interface(made[0])(torch.from_numpy(image)).numpy()
    assert not FP32.failures(compare(expected, session.run(image)))


def test_onnxruntime_needs_no_torch():
    # Its memory and its cold start would be those of both.
    code = (
        "import sys; from unifmir.export.runtimes import RUNTIMES; RUNTIMES['onnxruntime']; "
        "import unifmir.benchmarks.measure.worker; sys.exit('torch' in sys.modules)"
    )
    subprocess = importlib.import_module("subprocess")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["eager", "torchscript", "onnxruntime"])
def test_a_gpu_gives_the_picture_and_tells_device_time_from_copies(name, made, image):
    expected = image_interface(made[0])(torch.from_numpy(image)).detach().numpy()
    session = RUNTIMES[name].open(source_of(name, made), device="cuda:0", threads=1)
    if session.fallbacks:
        pytest.skip(session.fallbacks[0])
    assert not FP32.failures(compare(expected, session.run(image)))
    timing = session.timed(image)
    assert timing.device_ms is not None
    assert timing.copy_ms is not None
    assert 0 < timing.device_ms <= timing.wall_ms
    assert timing.copy_ms > 0
    assert session.ran["tf32"] is False


def test_the_shared_checkpoint_is_not_touched_by_running(made, tmp_path, image):
    network, _ = made
    before = save(network, tmp_path / "before.safetensors").sha256
    RUNTIMES["eager"].open(image_interface(network), device="cpu", threads=1).run(image)
    assert save(network, tmp_path / "after.safetensors").sha256 == before
