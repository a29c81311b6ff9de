"""Loading a model into the runtime that fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unifmir
from unifmir.checkpoint.saving import save
from unifmir.errors import (
    BenchmarkError,
    ExportError,
    MissingExtraError,
    UnifmirError,
    UnknownNameError,
)
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession
from unifmir.model import image_interface
from unifmir.native import compilation, compilers
from unifmir.precision.element_types import Precision
from unifmir.restoration.base import Placement
from unifmir.zoo import EMBEDDED
from unifmir.zoo.doctor import checkups
from unifmir.zoo.restore import predictors
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for, task_of
from unifmir.zoo.restore.runtime_choice import candidates

FP32 = Precision("fp32")
EAGER = ModelChoice(device="cpu", runtime="eager", threads=1)


@pytest.fixture(scope="module")
def exported(tiny_config, tmp_path_factory) -> dict[str, Path]:
    """Files of a tiny sr network by format, and its checkpoint."""
    from tests.golden.weights import filled
    from unifmir.model import build

    network = build(tiny_config.single("sr"))
    network.load_state_dict(filled(network.state_dict(), seed=0))
    folder = tmp_path_factory.mktemp("exported")
    artifacts = unifmir.export(network, folder, formats=("onnx", "torchscript"))
    return {artifact.format: artifact.path for artifact in artifacts}


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_a_checkpoint_becomes_the_plain_network(tiny_single, tmp_path):
    network = tiny_single("sr")
    save(network, tmp_path / "tiny.safetensors")
    found = predictor_for(replace(EAGER, model=tmp_path / "tiny.safetensors"))
    assert (found.interface, found.device, found.config.task) == ("network", "cpu", "sr")
    x = image(1, 1, 16, 24)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(found.run(x), expected)
    told = {name: found.ran[name] for name in ("runtime", "model", "precision", "fast", "threads")}
    assert told == {
        "runtime": "eager",
        "model": "tiny.safetensors",
        "precision": "fp32",
        "fast": False,
        "threads": 1,
    }


def test_one_task_of_a_multi_task_network_is_taken(tiny_multitask):
    found = predictor_for(replace(EAGER, task="denoise"), tiny_multitask)
    assert found.config.task == "denoise"
    with pytest.raises(UnifmirError, match="several tasks: name"):
        predictor_for(EAGER, tiny_multitask)


def test_without_a_model_the_one_that_ships_is_taken():
    found = predictor_for(replace(EAGER, task="sr"))
    assert found.ran["model"] == EMBEDDED
    with pytest.raises(UnifmirError, match="name the task"):
        predictor_for(EAGER)


def test_weights_tell_models_apart(tiny_single):
    one, other = tiny_single("sr"), tiny_single("sr")
    with torch.no_grad():
        next(other.parameters()).add_(1)
    seen = {predictor_for(EAGER, network).ran["weights"] for network in (one, other, one)}
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("name", "runtime"), [("onnx", "onnxruntime"), ("torchscript", "torchscript")]
)
def test_a_file_runs_in_the_runtime_of_its_format(exported, name, runtime, tiny_single):
    found = predictor_for(ModelChoice(model=exported[name], device="cpu", threads=1))
    assert (found.interface, found.ran["runtime"]) == ("image", runtime)
    assert found.ran["model"] == exported[name].name
    x = image(1, 1, 20, 28)
    with torch.inference_mode():
        expected = image_interface(tiny_single("sr"))(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found.run(x), expected, atol=1e-4 * expected.std())


@pytest.mark.slow  # bioimageio.core tests the package while it is built
def test_a_bioimageio_package_runs_by_the_onnx_file_in_it(tiny_single, tmp_path):
    network = tiny_single("sr")
    (package,) = (
        artifact.path
        for artifact in unifmir.export(network, tmp_path, formats=("bioimageio",))
        if artifact.format == "bioimageio"
    )
    found = predictor_for(ModelChoice(model=package, device="cpu", threads=1))
    assert (found.ran["runtime"], found.ran["model"]) == ("onnxruntime", package.name)
    x = image(1, 1, 20, 28)
    with torch.inference_mode():
        expected = image_interface(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found.run(x), expected, atol=1e-4 * expected.std())


def test_an_onnx_file_is_read_by_openvino_where_its_own_runtime_does_not_run():
    assert list(candidates("cpu", FP32, file_format="onnx")) == ["onnxruntime", "openvino"]
    assert list(candidates("openvino:GPU.0", FP32, file_format="onnx")) == ["openvino"]
    assert list(candidates("openvino:GPU.0", FP32, file_format="torchscript")) == []


@pytest.mark.parametrize(
    ("device", "able"),
    [
        ("openvino:GPU", r"no runtime does\. It runs openvino files, onnx files; or run with"),
        ("coreml", r"no runtime does\. It runs onnx files; or run with --device cpu"),
    ],
)
def test_a_device_that_runs_no_checkpoints_says_what_it_runs(tiny_single, device, able):
    with pytest.raises(ExportError, match=able):
        predictor_for(replace(EAGER, runtime=None, device=device), tiny_single("sr"))


def test_a_file_keeps_its_task_and_precision(exported):
    choice = ModelChoice(model=exported["onnx"], device="cpu")
    assert task_of(choice) == "sr"
    with pytest.raises(UnifmirError, match="is for sr, not for denoise"):
        predictor_for(replace(choice, task="denoise"))
    with pytest.raises(UnifmirError, match="a file has its precision"):
        predictor_for(replace(choice, precision="bf16"))
    with pytest.raises(UnifmirError, match="exported whole"):
        predictor_for(replace(choice, fast=True))


def test_a_runtime_that_is_not_installed_is_passed_over(monkeypatch, tiny_single):
    def missing() -> None:
        raise MissingExtraError("nothing there")

    for name in ("native", "compiled"):
        monkeypatch.setattr(RUNTIMES[name], "require", missing, raising=False)
    choice = replace(EAGER, runtime=None)
    assert predictor_for(choice, tiny_single("sr")).ran["runtime"] == "eager"
    with pytest.raises(MissingExtraError, match="nothing there"):
        predictor_for(replace(EAGER, runtime="compiled"), tiny_single("sr"))


def test_without_a_compiler_it_is_said_once_what_would_make_models_faster(
    monkeypatch, tiny_single, caplog, tmp_path
):
    monkeypatch.setenv("CC", str(tmp_path / "no-compiler"))
    compilation.load_library.cache_clear()
    compilers.warn_without_compiler.cache_clear()
    try:
        for _ in range(2):
            predictor = predictor_for(replace(EAGER, runtime=None), tiny_single("sr"))
            assert predictor.ran["runtime"] != "native"
        (told,) = (record.getMessage() for record in caplog.records if record.levelno >= 30)
        finding = checkups.c_compiler()
    finally:
        compilation.load_library.cache_clear()
        compilers.warn_without_compiler.cache_clear()
    assert "slower; pip install 'unifmir[compiler]' brings one" in told
    assert finding.remedy in told
    assert finding.detail.removeprefix("none: ") in told


def test_where_nothing_runs_a_model_it_is_said_what_was_tried(monkeypatch, tiny_single):
    def refused(*_, **__):
        raise ExportError("cannot be opened")

    for name in candidates("cpu", FP32):
        monkeypatch.setattr(RUNTIMES[name], "open", refused, raising=False)
    with pytest.raises(ExportError, match="eager: cannot be opened"):
        predictor_for(replace(EAGER, runtime=None), tiny_single("sr"))


def test_the_preferred_runtimes_come_first_and_compiling_is_never_chosen():
    assert "eager" in candidates("cpu", FP32)
    assert "compiled" not in candidates("cpu", FP32)
    assert next(candidates("cuda:0", Precision("fp16", "fp16"))) == "eager"
    assert next(candidates("cpu", FP32, file_format="onnx")) == "onnxruntime"
    assert list(candidates("cpu", FP32, file_format="safetensors")) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_too_little_memory_is_a_memory_error(monkeypatch, tiny_single, error):
    def compute(_):
        raise error

    session = HostSession(compute, {"device": "cpu", "library": "torch"})
    monkeypatch.setattr(predictors, "open_model", lambda *_, **__: (RUNTIMES["eager"], session))
    found = predictor_for(EAGER, tiny_single("sr"))
    with pytest.raises(MemoryError, match="1x1x8x8"):
        found.run(image(1, 1, 8, 8))


class LibraryError(Exception):
    """As ONNX Runtime's, which share no base but Exception."""


@pytest.mark.parametrize("kind", [RuntimeError, LibraryError])
def test_any_other_error_of_a_library_is_ours_and_tells_its_own(monkeypatch, tiny_single, kind):
    def compute(_):
        raise kind("shapes do not match")

    session = HostSession(compute, {"device": "cpu", "library": "torch"})
    monkeypatch.setattr(predictors, "open_model", lambda *_, **__: (RUNTIMES["eager"], session))
    with pytest.raises(ExportError, match="failed on an input of 1x1x8x8 on cpu: shapes do not"):
        predictor_for(EAGER, tiny_single("sr")).run(image(1, 1, 8, 8))


def test_a_fault_of_python_stays_what_it_is(monkeypatch, tiny_single):
    def compute(_):
        raise AttributeError("a fault in unifmir")

    session = HostSession(compute, {"device": "cpu", "library": "torch"})
    monkeypatch.setattr(predictors, "open_model", lambda *_, **__: (RUNTIMES["eager"], session))
    with pytest.raises(AttributeError):
        predictor_for(EAGER, tiny_single("sr")).run(image(1, 1, 8, 8))


def test_a_fallback_is_an_error_where_the_device_was_named(monkeypatch, tiny_single, caplog):
    session = HostSession(lambda x: x, {"device": "cpu"}, ("CUDA was asked for, CPU was used",))
    monkeypatch.setattr(predictors, "open_model", lambda *_, **__: (RUNTIMES["eager"], session))
    with pytest.raises(BenchmarkError, match="CPU was used"):
        predictor_for(EAGER, tiny_single("sr"))
    assert predictor_for(replace(EAGER, device="auto"), tiny_single("sr")).device == "cpu"
    assert "CPU was used" in caplog.text


@pytest.mark.parametrize(
    ("choice", "error", "told"),
    [
        (replace(EAGER, device="gpu"), BenchmarkError, "unknown device 'gpu'"),
        (replace(EAGER, runtime="eagr"), UnknownNameError, "did you mean 'eager'"),
        (replace(EAGER, precision="int8"), UnifmirError, "fp32, fp16, bf16"),
        (replace(EAGER, precision="fp16"), UnifmirError, "eager does not run fp16-compute on cpu"),
        (replace(EAGER, runtime="onnxruntime"), BenchmarkError, "runs a file"),
    ],
)
def test_what_cannot_be_is_refused_with_advice(tiny_single, choice, error, told):
    with pytest.raises(error, match=told):
        predictor_for(choice, tiny_single("sr"))


@pytest.mark.slow  # measures value ranges and the picture on several inputs
def test_bf16_is_computed_in_where_the_picture_stays_the_same(tiny_single):
    try:
        found = predictor_for(replace(EAGER, precision="bf16"), tiny_single("sr"))
    except ExportError as error:
        assert "not the same picture" in str(error)  # noqa: PT017 - either is right, by the weights
        return
    assert "bfloat16" in found.ran["element_type"]


@pytest.mark.parametrize("runtime", ["eager", "native"])
def test_a_light_field_network_is_told_where_its_tile_lies(tiny_single, runtime):
    choice = replace(EAGER, runtime=runtime)
    found = predictor_for(choice, tiny_single("volume"))
    assert found.run_placed is not None
    views = image(1, 9, 16, 16)
    whole = found.run_placed(views, Placement((0, 0), (16, 16)))
    np.testing.assert_allclose(whole, found.run(views), atol=1e-5)
    eager = predictor_for(EAGER, tiny_single("volume")).run_placed
    assert eager is not None
    tile, place = views[..., 2:, 4:], Placement((2, 4), (16, 16))
    np.testing.assert_allclose(found.run_placed(tile, place), eager(tile, place), atol=1e-5)


def test_networks_of_other_tasks_need_not_be_told_where_a_tile_lies(tiny_single):
    assert predictor_for(EAGER, tiny_single("sr")).run_placed is None
