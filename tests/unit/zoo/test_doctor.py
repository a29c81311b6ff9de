"""What `unifmir doctor` finds: each state, and what it says to do."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.benchmark_results import around, results, row, subject
from tests.helpers.task_rows import change_task
from unifmir import machine
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure import speeds, timed_subject
from unifmir.benchmarks.measure.results import Results
from unifmir.devices import CPU, DEVICES, Device
from unifmir.errors import MissingExtraError
from unifmir.export.runtimes import RUNTIMES
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.doctor import checkups
from unifmir.zoo.doctor import diagnose as doctor
from unifmir.zoo.doctor.device_findings import device_findings
from unifmir.zoo.doctor.diagnose import MODULES, Diagnosis, Route, Speed


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    return doctor.diagnose()


def test_every_runtime_and_format_is_looked_at(found):
    assert {one.name for one in found.findings if one.kind == "runtime"} == set(RUNTIMES)
    eager = next(one for one in found.findings if one.name == "eager")
    assert eager.state == "usable"
    assert "fp32" in eager.detail


def test_what_is_missing_or_mismatched_says_what_to_do(found):
    assert all(one.remedy for one in found.findings if one.state != "usable")


def test_models_and_files_have_a_route_on_the_cpu(found):
    routes = {one.source: one for one in found.routes if one.device == "cpu"}
    assert found.usable
    assert routes[MODULES].runtime in RUNTIMES
    assert routes[".onnx files"].provider == "CPUExecutionProvider"
    assert routes[".torchscript.pt files"].runtime == "torchscript"


def test_nothing_is_usable_without_a_route_for_models(found):
    only_files = Route(".onnx files", "cpu", "onnxruntime", "CPUExecutionProvider", ("fp32",))
    assert not Diagnosis({}, {}, (), (only_files,)).usable


def test_the_fastest_gives_the_same_picture(found):
    speeds = (
        Speed("cpu", "wrong", "fp32", 1.0, 9.0, same_picture=False),
        Speed("cpu", "unknown", "fp32", 2.0, 4.5, same_picture=None),
        Speed("cpu", "right", "fp32", 3.0, 3.0, same_picture=True),
        Speed("cpu", "slower", "fp32", 9.0, 1.0, same_picture=True),
    )
    diagnosis = Diagnosis({}, {}, (), (), "sr", speeds)
    assert diagnosis.fastest == speeds[2]
    assert diagnosis.to_dict()["fastest"]["runtime"] == "right"


def test_a_library_that_is_not_installed_is_missing(monkeypatch):
    def require() -> None:
        raise MissingExtraError("OpenVINO is not installed: pip install openvino")

    monkeypatch.setattr(RUNTIMES["openvino"], "require", require, raising=False)
    (one,) = (f for f in checkups.runtimes() if f.name == "openvino")
    assert (one.state, one.remedy) == ("missing", "OpenVINO is not installed: pip install openvino")
    assert not checkups.runs_here("openvino")


def test_a_library_whose_own_parts_do_not_load_is_mismatched(monkeypatch):
    def require() -> None:
        raise ImportError("libnvonnxparser.so.11: cannot open shared object file")

    monkeypatch.setattr(RUNTIMES["openvino"], "require", require, raising=False)
    (one,) = (f for f in checkups.runtimes() if f.name == "openvino")
    assert one.state == "mismatched"
    assert "libnvonnxparser" in one.detail


@pytest.mark.parametrize(
    ("built", "visible", "state", "remedy"),
    [
        (None, None, "mismatched", "build for CUDA"),
        ("13.0", "", "mismatched", "CUDA_VISIBLE_DEVICES hides"),
        ("13.0", None, "mismatched", "driver is too old"),
    ],
)
def test_a_gpu_that_pytorch_cannot_use_is_a_mismatch(monkeypatch, built, visible, state, remedy):
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    one = checkups.torch_build(has_gpu=True)
    assert one.state == state
    assert remedy in one.remedy
    assert checkups.torch_build(has_gpu=False).state == "usable"


@pytest.mark.parametrize(
    ("installed", "has_gpu", "state", "remedy"),
    [
        ({}, False, "missing", "unifmir[cpu]"),
        ({"onnxruntime": "1.31"}, False, "usable", ""),
        ({"onnxruntime-directml": "1.24"}, True, "usable", ""),
        ({"onnxruntime": "1.31"}, True, "missing", "unifmir[gpu]"),
        ({"onnxruntime": "1.31", "onnxruntime-gpu": "1.30"}, False, "mismatched", "=="),
        # Listed, but its CUDA libraries do not load: here because there is no GPU.
        ({"onnxruntime-gpu": "1.31"}, True, "mismatched", "CUDA and cuDNN"),
    ],
)
def test_onnxruntime_is_there_once_and_for_the_gpu(monkeypatch, installed, has_gpu, state, remedy):
    if torch.cuda.is_available():
        pytest.skip("the provider loads on this machine")
    monkeypatch.setattr(checkups, "installed_version", installed.get)
    one = checkups.onnxruntime_build(has_gpu)
    assert one.state == state
    assert remedy in one.remedy


def test_the_compiler_of_the_kernels_is_told(monkeypatch, tmp_path):
    script = tmp_path / "mycc"
    script.write_text("#!/bin/sh\necho my compiler 1.2\necho more\n")
    script.chmod(0o700)
    monkeypatch.setenv("CC", str(script))
    one = checkups.c_compiler()
    assert (one.state, one.detail) == ("usable", f"my compiler 1.2, {script}")
    script.unlink()
    one = checkups.c_compiler()
    assert one.state == "missing"
    assert "'unifmir[compiler]'" in one.remedy


def test_a_torch_built_for_another_numpy_is_a_mismatch(monkeypatch):
    def from_numpy(_):
        raise RuntimeError("Numpy is not available")

    assert checkups.numpy_bridge().state == "usable"
    monkeypatch.setattr(torch, "from_numpy", from_numpy)
    assert checkups.numpy_bridge().state == "mismatched"


def test_a_torchvision_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(checkups, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "torchvision", None)
    one = next(f for f in checkups.libraries([]) if f.name == "torchvision")
    assert one.state == "mismatched"
    assert "uninstall" in one.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_bf16\n", ["avx2", "avx512f", "amx_bf16"]),
        ("Features\t: fp asimd bf16\n", ["asimd", "bf16"]),
        ("model name: x\n", []),
    ],
)
def test_instructions_are_read_from_the_system(tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert machine.instructions(path) == expected
    assert machine.instructions(tmp_path / "missing") == []


def test_gpus_are_described(monkeypatch):
    library = SimpleNamespace(
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCudaComputeCapability=lambda _: (9, 0),
        nvmlDeviceGetName=lambda _: b"NVIDIA H100",
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80 * 2**30),
        nvmlSystemGetDriverVersion=lambda: "580.1",
    )
    monkeypatch.setattr(machine, "nvml", lambda: library)
    (gpu,) = doctor.described_hardware()["gpus"]
    assert gpu == {
        "name": "NVIDIA H100",
        "memory_bytes": 80 * 2**30,
        "compute_capability": "9.0",
    }


def measured(**medians_ms: float) -> Results:
    """A benchmark of these runtimes, all right but `wrong`."""
    rows = [
        replace(
            row(
                replace(subject(EMBEDDED), runtime=runtime),
                latency=around(ms, rounds=3),
            ),
            same_picture={"passed": runtime != "wrong"},
        )
        for runtime, ms in medians_ms.items()
    ]
    return results(*rows)


def test_a_measurement_ranks_the_runtimes(monkeypatch):
    monkeypatch.setattr(speeds, "present_devices", lambda: [Device(CPU)])
    plans = []

    def benchmark(plan, _out):
        plans.append(plan)
        return measured(eager=20.0, onnxruntime=10.0, wrong=5.0)

    monkeypatch.setattr(speeds, "benchmark", benchmark)
    found = speeds.with_speeds(Diagnosis({}, {}, (), ()), "sr")
    assert [one.runtime for one in found.speeds] == ["wrong", "onnxruntime", "eager"]
    assert found.fastest is not None
    assert found.fastest.runtime == "onnxruntime"
    assert found.fastest.ratio == pytest.approx(2.0)
    assert plans[0].models == (EMBEDDED,)
    assert "eager" in plans[0].runtimes
    assert "compiled" not in plans[0].runtimes


@pytest.mark.slow  # each runtime is timed in a process of its own
def test_the_runtimes_of_this_machine_are_measured(monkeypatch):
    for name in ("QUICK_MIN_VISIT_S", "QUICK_WARM_UP_S"):
        monkeypatch.setattr(timed_subject, name, 0.01)
    monkeypatch.setattr(measure, "_peaks", lambda *_: ())
    sizes = replace(TASKS["sr"].workloads, patch=((1, 16, 16),))
    change_task(monkeypatch, "sr", workloads=sizes)
    monkeypatch.setattr(speeds, "SECONDS", 0.02)
    monkeypatch.setattr(speeds, "BUDGET_S", 0.001)
    monkeypatch.setattr(speeds, "instructions", list)
    monkeypatch.setattr(checkups, "runs_here", lambda name: name in ("eager", "onnxruntime"))
    monkeypatch.setattr(doctor, "present_devices", lambda: [Device(CPU)])
    monkeypatch.setattr(speeds, "present_devices", lambda: [Device(CPU)])
    found = speeds.with_speeds(doctor.diagnose(), "sr")
    assert {one.runtime for one in found.speeds} == {"eager", "onnxruntime"}
    assert all(one.same_picture for one in found.speeds)
    assert found.fastest == found.speeds[0]
    eager = next(one for one in found.speeds if one.runtime == "eager")
    assert eager.ratio == 1.0


def test_each_device_says_what_it_is_or_needs(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: f"GPU number {index}")
    found = {one.names[0]: one for one in device_findings()}
    assert found["cuda:0"].names == ("cuda:0", "cuda:1")
    assert found["cuda:0"].hardware == ("GPU number 0", "GPU number 1")
    assert "tensorrt" in found["cuda:0"].runtimes
    assert [name for name, one in found.items() if one.measured] == ["cpu"]
    assert len(found) == len(DEVICES)
    assert found["directml"].runtimes == ("onnxruntime",)
    assert "unifmir[directml]" in found["directml"].needs
