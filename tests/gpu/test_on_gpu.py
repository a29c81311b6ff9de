"""What only a machine with an NVIDIA GPU can tell: `make gpu-check` runs it there."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import unifmir
from unifmir.cli.main import app
from unifmir.compare import FP32, LOW_PRECISION, compare
from unifmir.devices import CUDA, device_named
from unifmir.errors import MissingExtraError
from unifmir.export.case_sizes import fixed_cases, verified_shapes
from unifmir.export.cases import calibration_inputs, cases
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.tensorrt import passport as passports
from unifmir.export.runtimes.tensorrt.library import library
from unifmir.model import image_interface
from unifmir.precision.planning import plan_precision
from unifmir.precision.variants import computing
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.training_setup import set_up

pytestmark = pytest.mark.gpu
DEVICE = "cuda:0"
FILES = ("torchscript", "onnx")
ON_GPU = tuple(name for name in RUNTIMES if RUNTIMES[name].precisions(DEVICE))


@pytest.fixture(scope="module")
def network(request):
    """The embedded model for the task that the test is for."""
    return unifmir.load("unifmir-small-sim", task=request.param)


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """Its exported files, by format."""
    folder = tmp_path_factory.mktemp(network.task)
    made = unifmir.export(network, folder, formats=FILES, task=network.task)
    return {artifact.format: artifact.path for artifact in made}


def opened(name, network, files, tmp_path):
    """A session on the GPU; the test is skipped where this machine lacks the library."""
    row = RUNTIMES[name]
    try:
        row.require()
    except MissingExtraError as error:
        pytest.skip(str(error))
    source: torch.nn.Module | Path
    if row.format is None:
        source = image_interface(unifmir.load("unifmir-small-sim", task=network.task))
    elif row.format in files:
        source = files[row.format]
    else:
        (artifact,) = unifmir.export(network, tmp_path, formats=(row.format,), task=network.task)
        source = artifact.path
    session = row.open(source, device=DEVICE, threads=1)
    if session.fallbacks:
        pytest.skip(session.fallbacks[0])
    return session


@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("network", TASKS, indirect=True)
def test_every_runtime_gives_the_picture_of_fp32_on_the_cpu(name, network, files, tmp_path):
    session = opened(name, network, files, tmp_path)
    module = image_interface(network)
    largest = fixed_cases(verified_shapes(network.config, "image")[-1:])
    for case in cases(network.config, "image", sample(network.task).image, largest):
        with torch.inference_mode():
            expected = module(torch.from_numpy(case.image)).numpy()
        found = session.run(case.image)
        if network.task == "isotropic":
            # Its output is a square root, whose slope is infinite at 0.
            expected, found = np.square(expected), np.square(found)
        assert not FP32.failures(compare(expected, found)), case.source
    timing = session.timed(case.image)
    assert 0 < timing.device_ms <= timing.wall_ms
    assert device_named(session.ran["device"]).kind is CUDA
    assert session.ran["tf32"] is False


@pytest.mark.parametrize("network", TASKS, indirect=True)
def test_fp16_arithmetic_that_is_accepted_on_the_cpu_is_the_same_picture_here(network):
    inputs = calibration_inputs(network.config, "network", [sample(network.task).image])
    plan = plan_precision(network, "fp16", inputs, variants=("computing",))
    if not plan.passed:
        pytest.skip(f"fp16 is refused for {network.task}: {plan.failures[0]}")
    module = computing(network, plan.recipe).to(DEVICE)
    for image in inputs:
        with torch.inference_mode():
            expected = network(image).numpy()
            found = module(image.to(DEVICE)).float().cpu().numpy()
        assert not LOW_PRECISION.failures(compare(expected, found))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("network", TASKS, indirect=True)
def test_tensorrt_builds_verifies_and_certifies(network, precision, tmp_path):
    try:
        library()
    except MissingExtraError as error:
        pytest.skip(str(error))
    inputs = calibration_inputs(network.config, "network", [sample(network.task).image])
    plan = plan_precision(network, precision, inputs, variants=("computing",))
    if not plan.passed:
        pytest.skip(f"{precision} is refused for {network.task}: {plan.failures[0]}")
    (artifact,) = unifmir.export(
        network, tmp_path, formats=("tensorrt",), precision=precision, task=network.task
    )
    assert artifact.report.passed
    passport = passports.read_passport(artifact.path)
    assert passport.verification is not None
    assert passport.engine_types
    assert unifmir.verify(artifact.path).passed


@pytest.mark.parametrize("task", TASKS)
def test_a_training_step_on_the_gpu_has_the_loss_and_gradients_of_the_cpu(task):
    recipe = RecipeChange(batch=2, scenes=2)
    config = TrainingConfig("pretrain", [task], steps=1, precision="fp32", recipes={task: recipe})
    losses, gradients = [], []
    for device in ("cpu", DEVICE):
        training, _ = set_up(config, None, device)
        training.run()
        losses += training.losses[task]
        learned = [weight.grad for weight in training.network.parameters()]
        gradients.append(torch.cat([one.flatten().cpu() for one in learned if one is not None]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    # Adam's first step moves each weight by the rate, whatever its gradient: so these are compared.
    difference = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert difference < 1e-3


def test_restoring_on_the_gpu_gives_the_picture_of_the_cpu(tmp_path):
    image = sample("denoise").image[:6, :96, :96]
    tifffile.imwrite(tmp_path / "noisy.tif", image, imagej=True, metadata={"axes": "ZYX"})
    found = {}
    for device in ("cpu", DEVICE):
        command = ["restore", str(tmp_path / "noisy.tif"), "--task", "denoise", "--json"]
        command += ["--device", device, "--out", str(tmp_path / device)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        json.loads(done.stdout)
        (result,) = (tmp_path / device).glob("*.tif")
        found[device] = tifffile.imread(result).astype(np.float32)
    # Stored in the image's own type, so a grey value of rounding is no difference.
    assert np.abs(found["cpu"] - found[DEVICE]).max() <= 1
