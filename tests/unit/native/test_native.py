"""unifmir.native: the same picture as the eager network, and what is refused."""

import copy
import pickle
import platform
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden.weights import filled
from tests.helpers.native_marks import (
    compute_with,
    every_compiler,
    every_instruction,
    needs_bf16,
    needs_compiler,
)
from tests.helpers.quick_rows import few_quick
from tests.helpers.threads import on_threads
from unifmir import native
from unifmir.compare import FP32, LOW_PRECISION, compare
from unifmir.config import (
    BodyConfig,
    MultiTaskConfig,
    ProjectorConfig,
    ReferenceConfig,
    SingleTaskConfig,
    ViewUNetConfig,
)
from unifmir.errors import BenchmarkError, ExportError, MissingExtraError
from unifmir.export.cases import calibration_inputs
from unifmir.export.runtimes import RUNTIMES
from unifmir.interfaces import shape_of
from unifmir.model import build, image_interface
from unifmir.native import compilation, packing, rounding
from unifmir.native.swin_body import NativeNorm
from unifmir.networks.swin import SwinBlock
from unifmir.samples import sample
from unifmir.simulate import generator, simulate_pair
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.load import load

ARCHITECTURES = ["native"]
if platform.machine() == "x86_64":
    # What processors without AVX-512, and without AVX, run.
    ARCHITECTURES += ["x86-64-v3", "x86-64"]
QUICK_ARCHITECTURES = [one for one in ARCHITECTURES if one != "x86-64-v3"]


def random_input(network, size, batch, seed=0):
    shape = shape_of(network.config, "network", batch=batch, size=(1, *size))
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def difference(network, fast, image):
    """Largest difference over the standard deviation."""
    with torch.inference_mode():
        return compare(network(image).numpy(), fast(image).numpy())


@pytest.fixture(params=few_quick(ARCHITECTURES, QUICK_ARCHITECTURES))
def architecture(request, compiler, monkeypatch):
    """Kernels compiled for another processor; they run on this one."""
    compute_with(compilation.load_library(request.param), monkeypatch)
    return request.param


@needs_compiler
@pytest.mark.parametrize(
    ("task", "size", "batch"),
    few_quick(
        [(task, *one) for task in TASKS for one in (((8, 8), 1), ((21, 40), 2))],
        [(task, (21, 40), 2) for task in TASKS if task != "volume"] + [("volume", (8, 8), 1)],
    ),
)
def test_every_task_is_the_same_picture(tiny_single, task, size, batch):
    network = tiny_single(task)
    fast = native.accelerate(network)
    found = difference(network, fast, random_input(network, size, batch))
    assert not FP32.failures(found)
    assert type(fast).forward is type(network).forward, "only the parts are replaced"
    assert fast.config is not None


@needs_compiler
@pytest.mark.usefixtures("architecture")
@pytest.mark.parametrize(
    "body",
    [
        BodyConfig(90, (2,), (6,), 8, 180),
        # Nothing here is a multiple of six rows or of five channels of a head.
        BodyConfig(28, (2, 1), (4, 2), 8, 50),
    ],
)
def test_every_processor_is_the_same_picture(body):
    network = build(SingleTaskConfig("sr", body, scale=2))
    network.load_state_dict(filled(network.state_dict(), seed=3))
    found = difference(network, native.accelerate(network), random_input(network, (24, 72), 1))
    assert not FP32.failures(found)


@needs_compiler
@every_compiler
def test_a_norm_over_channels_is_pytorchs():
    layer = nn.LayerNorm(13)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    image = torch.randn(2, 13, 8, 24) * 3 + 1
    with torch.inference_mode():
        wanted = layer(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(NativeNorm(layer)(image), wanted, rtol=1e-5, atol=1e-5)


@needs_compiler
@every_compiler
def test_the_number_of_threads_does_not_change_a_bit(tiny_single):
    network = tiny_single("denoise")
    fast, image = native.accelerate(network), random_input(network, (64, 70), 2)
    results = on_threads(lambda: fast(image), (1, 2, 3))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@needs_compiler
def test_the_network_itself_stays_as_it_was_and_copies_work(tiny_single):
    network = tiny_single("volume")
    before = copy.deepcopy(network.state_dict())
    fast = native.accelerate(network)
    assert network.state_dict().keys() == before.keys()
    image = random_input(network, (8, 8), 1)
    again = pickle.loads(pickle.dumps(fast))
    with torch.inference_mode():
        wanted = fast(image)
        assert torch.equal(again(image), wanted)
        assert torch.equal(copy.deepcopy(fast)(image), wanted)
    assert not any(p.requires_grad for p in fast.parameters())


@needs_compiler
@every_compiler
def test_not_a_number_stays_not_a_number(tiny_single):
    network = tiny_single("denoise")
    image = random_input(network, (16, 16), 1)
    image[0, 0, 3, 3] = torch.nan
    with torch.inference_mode():
        assert torch.isnan(native.accelerate(network)(image)).any()


@needs_bf16
@every_compiler
@every_instruction
@pytest.mark.parametrize(
    "task",
    [
        # The whole samples of these take seconds: theirs are stacks and light fields.
        pytest.param(task, marks=pytest.mark.slow if task in ("projection", "volume") else ())
        for task in TASKS
    ],
)
def test_bf16_of_the_embedded_model_is_the_same_picture(task):
    import unifmir

    network = unifmir.prune(load("unifmir-small-sim"), task)
    session = RUNTIMES["native-bf16"].open(network, device="cpu", threads=1)
    image = calibration_inputs(network.config, "network", [sample(task).image])[0]
    with torch.inference_mode():
        found = compare(network(image).numpy(), session.run(image.numpy()))
    assert not LOW_PRECISION.failures(found)
    assert not found.identical
    assert session.ran["element_type"] == "bf16"


@needs_bf16
@pytest.mark.parametrize(
    "task",
    [
        # U-Net and projector of the others are of minutes.
        pytest.param(task, marks=getattr(pytest.mark, "slow" if task == "denoise" else "long"))
        for task in TASKS
    ],
)
def test_bf16_at_full_size_is_the_same_picture_of_images_it_was_not_rounded_for(task):
    whole = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig()).single(task)
    network = build(whole).eval()
    network.load_state_dict(filled(network.state_dict(), seed=21))
    fast = RUNTIMES["native-bf16"].prepare(network)
    scene = simulate_pair(task, generator(task, 5, "test", 0), 16 if task == "volume" else 64)
    images = calibration_inputs(network.config, "network", [scene.image, sample(task).image])
    assert not [
        failure
        for image in images
        for failure in LOW_PRECISION.failures(difference(network, fast, image))
    ]


@needs_bf16
def test_bf16_that_is_another_picture_is_refused(tiny_single):
    network = tiny_single("denoise")
    with torch.no_grad():
        # Scores so large that their rounding decides which pixel attention takes.
        for block in network.modules():
            if isinstance(block, SwinBlock):
                block.attn.qkv.weight.mul_(30)
    with pytest.raises(ExportError, match="denoise in bf16 is not the same picture as in fp32"):
        RUNTIMES["native-bf16"].open(network, device="cpu", threads=1)


def test_what_inputs_have_in_common_is_told_from_how_they_vary():
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(50, 4)) + rng.normal(size=4))
    with_one = nn.functional.pad(inputs, (0, 1), value=1)
    found = rounding.Inputs.of(with_one.T @ with_one)
    torch.testing.assert_close(found.centre, inputs.mean(0))
    torch.testing.assert_close(found.spread, inputs.T.cov(correction=0) * 50)


@needs_bf16
@every_instruction
def test_what_inputs_have_in_common_is_not_rounded():
    """A block's bf16 error falls where it was rounded for images like those it gets."""
    torch.manual_seed(0)
    network = build(SingleTaskConfig("sr", BodyConfig(30, (2,), (2,), 8, 60))).eval()
    network.load_state_dict(filled(network.state_dict(), seed=3))
    # Hardly anything but background.
    image = 0.5 + 0.01 * torch.rand(1, 1, 16, 16)
    errors = [
        difference(network, native.accelerate(network, precision="bf16", example=known), image)
        for known in (None, image)
    ]
    assert errors[1].psnr_db > errors[0].psnr_db + 6


@needs_bf16
@every_instruction
def test_what_a_window_shares_behind_attention_is_multiplied_in_fp32():
    """On a flat image attention gives the same at all pixels, and its matrix costs no accuracy."""
    torch.manual_seed(0)
    network = build(SingleTaskConfig("sr", BodyConfig(30, (1,), (2,), 8, 60))).eval()
    network.load_state_dict(filled(network.state_dict(), seed=3))
    (block,) = (part for part in network.modules() if isinstance(part, SwinBlock))
    with torch.no_grad():
        # Each pixel takes the same of all, and values are biases that bf16 holds: what could be
        # rounded is the matrix behind attention.
        block.attn.qkv.weight.zero_()
        block.attn.qkv.bias.copy_(block.attn.qkv.bias.bfloat16())
        block.attn.relative_position_bias_table.zero_()
        block.mlp.fc2.weight.zero_()
    image = torch.full((1, 1, 16, 16), 0.5)
    with torch.inference_mode():
        error = native.accelerate(network, precision="bf16")(image) - network(image)
    assert float(error.abs().max()) < 1e-5


def test_rounding_for_real_inputs_errs_less_on_them_than_to_nearest():
    rng = np.random.default_rng(0)
    # Mostly one direction, as the pixels of a dark background are.
    inputs = torch.from_numpy(rng.normal(size=(500, 24)) * 0.2 + rng.normal(size=24))
    weight = torch.from_numpy(rng.normal(size=(30, 24)))
    fitted = rounding.round_to_bf16(weight, inputs.T @ inputs)
    assert torch.equal(fitted, fitted.bfloat16().double()), "elements are bf16 numbers"
    wanted = inputs @ weight.T
    nearest = (inputs @ weight.bfloat16().double().T - wanted).square().mean()
    assert (inputs @ fitted.T - wanted).square().mean() < 0.5 * nearest


@needs_compiler
def test_moments_are_those_of_what_norms_give(tiny_single):
    network = tiny_single("sr")
    image = random_input(network, (16, 16), 1)
    moments = rounding.measure_moments(network, image)
    norm = moments["layers.0.residual_group.blocks.0.norm1"]
    assert norm.shape == (25, 25)
    assert norm[-1, -1] == 16 * 16, "one for each pixel"


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(6, 4), (7, 5), (1, 1), (24, 30), (50, 33)])
def test_packing_keeps_every_weight_in_its_place(rows, columns, bf16):
    weight = torch.arange(1.0, rows * columns + 1).reshape(rows, columns)
    packed = packing.pack_matrix(weight, bf16).float()
    if bf16:
        # Bands of 48 rows, in each tiles of 16 pairs.
        found = packed.transpose(1, 2).flatten(2).flatten(0, 1)
        weight = weight.bfloat16().float()
    else:
        found = packed.transpose(1, 2).reshape(-1, packed.shape[1])
    assert torch.equal(found[:rows, :columns], weight)
    assert found.sum() == weight.sum(), "the rest is zeros"


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    compilation.load_library.cache_clear()
    told = r"need a C compiler.*'unifmir\[compiler\]'.*apt install gcc"
    try:
        with pytest.raises(MissingExtraError, match=told):
            RUNTIMES["native"].require()
    finally:
        compilation.load_library.cache_clear()


def test_what_the_kernels_cannot_do_is_refused(tiny_multitask, tiny_single):
    with pytest.raises(ExportError, match="prune it first"):
        native.accelerate(tiny_multitask)
    with pytest.raises(ExportError, match="windows of 8 pixels, this network 4"):
        native.accelerate(build(SingleTaskConfig("sr", BodyConfig(8, (1,), (2,), 4, 8))))
    with pytest.raises(ExportError, match=r"found torch\.float16 on cpu"):
        native.accelerate(tiny_single("sr").half())
    with pytest.raises(ExportError, match="fp32 or bf16, not in fp16"):
        native.accelerate(tiny_single("sr"), precision="fp16")
    with pytest.raises(ExportError, match="Swin blocks in bf16 and this network has none"):
        native.accelerate(build(ReferenceConfig("care-2d", "sr")), precision="bf16")


@needs_compiler
def test_the_runtime_takes_images_and_refuses_files_and_gpus(tiny_single, tmp_path):
    network = tiny_single("isotropic")
    row = RUNTIMES["native"]
    volume = np.random.default_rng(0).random((1, 1, 9, 10, 11), dtype=np.float32)
    with torch.inference_mode():
        wanted = image_interface(network)(torch.from_numpy(volume)).numpy()
    session = row.open(image_interface(network), device="cpu", threads=1)
    np.testing.assert_allclose(session.run(volume), wanted, atol=1e-4 * wanted.std())
    assert session.ran["library"] == "unifmir.native"
    assert row.precisions("cuda:0") == ()
    with pytest.raises(BenchmarkError, match="runs a module, not a file"):
        row.open(tmp_path / "model.onnx", device="cpu", threads=1)
    with pytest.raises(BenchmarkError, match="use --device cpu"):
        row.open(network, device="cuda:0", threads=1)
