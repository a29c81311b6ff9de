import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unifmir import devices
from unifmir.cli.choices import DEVICE_NAMES
from unifmir.devices import (
    COREML,
    CPU,
    CUDA,
    DEVICES,
    DIRECTML,
    MPS,
    OPENVINO_GPU,
    XPU,
    Device,
    chosen_device,
    compute_in_full_fp32,
    device_named,
    present_devices,
    training_device,
)
from unifmir.errors import BenchmarkError
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.pytorch import prepare_device
from unifmir.restoration.memory_budget import SHARE, usable_bytes


@pytest.mark.parametrize(
    ("name", "kind", "index", "full"),
    [
        ("cpu", CPU, 0, "cpu"),
        ("cuda", CUDA, 0, "cuda:0"),
        ("cuda:12", CUDA, 12, "cuda:12"),
        ("xpu", XPU, 0, "xpu:0"),
        ("mps", MPS, 0, "mps"),
        ("directml:1", DIRECTML, 1, "directml:1"),
        ("coreml", COREML, 0, "coreml"),
        ("openvino:GPU", OPENVINO_GPU, 0, "openvino:GPU.0"),
        ("openvino:GPU.1", OPENVINO_GPU, 1, "openvino:GPU.1"),
    ],
)
def test_a_name_means_one_device_and_its_full_name_the_same(name, kind, index, full):
    found = device_named(name)
    assert found == Device(kind, index)
    assert found.name == full
    assert device_named(full) == found


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:x", "cuda:\xb2", "cuda:1234", "cpu:0", "mps:0", "GPU", ""]
)
def test_any_other_name_is_refused_with_those_there_are(name):
    with pytest.raises(BenchmarkError, match=r"unknown device .*auto, cpu, cuda, xpu, mps"):
        device_named(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CPU", "unknown device 'CPU'; did you mean 'cpu'"),
        ("MPS", "did you mean 'mps'"),
        ("gpu", "a GPU goes by who computes on it, auto takes the first"),
        ("GPU", "a GPU goes by who computes on it, auto takes the first"),
    ],
)
def test_a_name_in_other_letters_or_of_any_gpu_is_answered_with_what_was_meant(name, hint):
    with pytest.raises(BenchmarkError, match=hint):
        device_named(name)


def test_auto_is_a_choice_and_no_device():
    assert chosen_device("auto") in present_devices()
    with pytest.raises(BenchmarkError, match="no device by itself"):
        device_named("auto")


def test_options_name_every_row():
    assert DEVICE_NAMES == "auto, cpu, cuda:N, xpu:N, mps, directml:N, coreml, openvino:GPU.N"


def test_every_device_is_served_by_a_runtime():
    for kind in DEVICES.values():
        name = Device(kind).name
        assert any(row.precisions(name) for row in RUNTIMES.values()), name


@pytest.fixture
def only(monkeypatch):
    """Function that lets the libraries find nothing but what it is given."""

    def found(*, cuda=0, xpu=0, mps=False, providers=(), openvino=()):
        for name, count in (("cuda", cuda), ("xpu", xpu)):
            monkeypatch.setattr(getattr(torch, name), "is_available", lambda n=count: n > 0)
            monkeypatch.setattr(getattr(torch, name), "device_count", lambda n=count: n)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        runtime = SimpleNamespace(get_available_providers=lambda: list(providers))
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        core = SimpleNamespace(available_devices=["CPU", *openvino])
        monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))

    return found


@pytest.mark.parametrize(
    ("here", "present", "automatic", "trains"),
    [
        ({}, ["cpu"], "cpu", "cpu"),
        ({"cuda": 2, "mps": True}, ["cpu", "cuda:0", "cuda:1", "mps"], "cuda:0", "cuda:0"),
        ({"xpu": 1}, ["cpu", "xpu:0"], "xpu:0", "cpu"),
        (
            {"mps": True, "providers": ["CoreMLExecutionProvider"]},
            ["cpu", "mps", "coreml"],
            "mps",
            "cpu",
        ),
        ({"providers": ["DmlExecutionProvider"]}, ["cpu", "directml:0"], "cpu", "cpu"),
        ({"openvino": ["GPU"]}, ["cpu", "openvino:GPU.0"], "cpu", "cpu"),
        (
            {"openvino": ["GPU.0", "GPU.1", "NPU"]},
            ["cpu", "openvino:GPU.0", "openvino:GPU.1"],
            "cpu",
            "cpu",
        ),
    ],
)
def test_what_the_libraries_find_is_there(only, here, present, automatic, trains):
    only(**here)
    assert [one.name for one in present_devices()] == present
    assert chosen_device("auto").name == automatic
    assert training_device("auto").name == trains
    for name in present:
        device_named(name).require()


@pytest.mark.parametrize(
    ("name", "providers", "refused"),
    [
        ("cpu", [], False),
        ("cuda:0", [], True),
        ("cuda:0", ["CUDAExecutionProvider"], False),
        ("xpu:0", ["CUDAExecutionProvider"], True),
        ("coreml", ["CUDAExecutionProvider"], True),
        ("coreml", ["CoreMLExecutionProvider"], False),
    ],
)
def test_what_onnx_runtime_alone_computes_on_is_there_for_a_benchmark(
    only, name, providers, refused
):
    only(providers=providers)
    with pytest.raises(BenchmarkError, match="is not there") if refused else nullcontext():
        device_named(name).require_any_library()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_library_that_is_missing_finds_nothing(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    kinds = {"onnxruntime": (DIRECTML, COREML), "openvino": (OPENVINO_GPU,)}[name]
    assert [kind.count() for kind in kinds] == [0] * len(kinds)


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("cuda:0", r"unifmir\[gpu\]"),
        ("xpu:0", "Intel GPU"),
        ("mps", "Mac"),
        ("directml:0", r"unifmir\[directml\]"),
        ("coreml", r"unifmir\[cpu\]"),
        ("openvino:GPU", r"unifmir\[openvino\]"),
    ],
)
def test_a_device_that_is_not_there_says_what_to_install(only, name, install):
    only()
    with pytest.raises(BenchmarkError, match=rf"is not there: 0 .*{install}.*--device cpu"):
        device_named(name).require()


def test_a_number_beyond_those_there_are_is_refused(only):
    only(cuda=2, providers=["DmlExecutionProvider"])
    device_named("cuda:1").require()
    with pytest.raises(BenchmarkError, match="2 cuda devices were found"):
        device_named("cuda:2").require()
    # ONNX Runtime says whether there is a GPU, not how many.
    device_named("directml:1").require()


def test_networks_are_trained_where_gradients_are(only):
    only(mps=True)
    assert training_device("mps") == Device(MPS)
    with pytest.raises(BenchmarkError, match="not trained on coreml, but on cpu, cuda, mps"):
        training_device("coreml")
    with pytest.raises(BenchmarkError, match="cuda:0 is not there"):
        training_device("cuda")


def test_files_alone_run_where_pytorch_is_not():
    with pytest.raises(BenchmarkError, match="PyTorch does not run on directml:0"):
        _ = Device(DIRECTML).torch_name
    assert RUNTIMES["eager"].precisions("directml") == ()
    assert RUNTIMES["onnxruntime"].precisions("mps") == ()
    assert RUNTIMES["openvino"].precisions("cuda:0") == ()
    assert [str(p) for p in RUNTIMES["openvino"].precisions("openvino:GPU")] == ["fp32", "fp16"]


def test_memory_is_that_of_the_device_where_it_has_its_own(only, monkeypatch):
    only(cuda=2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: ((index + 1) * 2**30, 2**40))
    assert usable_bytes("cuda:1") == int(2 * 2**30 * SHARE)
    assert usable_bytes("mps") == usable_bytes("cpu")


def test_what_is_kept_of_a_device_is_given_back(only, monkeypatch):
    only(xpu=1)
    given = []
    monkeypatch.setattr(torch.xpu, "empty_cache", lambda: given.append("xpu"))
    for name in ("xpu", "cpu", "coreml", "cuda:0"):
        device_named(name).empty_cache()
    assert given == ["xpu"]


@pytest.fixture
def tf32():
    """TF32 on, as cuDNN has it if nothing is said; restored afterwards."""
    flags: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = True
    yield flags
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def test_fp32_means_fp32(tf32):
    compute_in_full_fp32()
    assert [flag.allow_tf32 for flag in tf32] == [False, False]


def test_fp32_means_fp32_on_intels_gpus_too(monkeypatch):
    onednn = SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends, "mkldnn", onednn)
    compute_in_full_fp32()
    assert onednn.allow_tf32  # builds without such GPUs warn where it is set
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    compute_in_full_fp32()
    assert not onednn.allow_tf32


def test_drivers_are_told_by_who_knows_them(monkeypatch):
    monkeypatch.setattr("unifmir.machine.nvml", lambda: None)
    assert (DIRECTML.driver(0), OPENVINO_GPU.driver(0), CPU.driver(0)) == ("", "", "")
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    told = SimpleNamespace(driver_version="1.6.33944")
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda _: told)
    assert XPU.driver(0) == "1.6.33944"
    monkeypatch.setattr("platform.mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    assert (MPS.driver(0), COREML.driver(0)) == ("26.1", "26.1")


def test_every_session_of_pytorch_computes_in_full_fp32(tf32):
    assert prepare_device("cpu", torch.get_num_threads()) == Device(CPU)
    assert [flag.allow_tf32 for flag in tf32] == [False, False]


def test_a_training_computes_in_full_fp32(tf32):
    pytest.importorskip("lightning_fabric", reason="an extra, not installed here")
    from unifmir.training.distribution import TrainingProcesses

    TrainingProcesses("cpu", "fp32")
    assert [flag.allow_tf32 for flag in tf32] == [False, False]


def test_onnx_runtime_is_asked_for_full_fp32():
    assert devices.CUDA.provider_options == {"use_tf32": "0"}
