"""Convolutions of unifmir.native: PyTorch's, and in bf16 with no larger errors than rounding's."""

import copy
import inspect
import re
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers.native_marks import (
    every_compiler,
    every_instruction,
    needs_bf16,
    needs_compiler,
)
from tests.helpers.threads import on_threads
from unifmir import native
from unifmir.errors import ExportError
from unifmir.export.runtimes import RUNTIMES
from unifmir.interfaces import shape_of
from unifmir.native import packing, rounding
from unifmir.native.convolutions import NativeConv, NativeWinograd, NativeWinogradBf16

CONVOLUTIONS = [
    NativeConv,
    NativeWinograd,
    pytest.param(NativeWinogradBf16, marks=needs_bf16),
]


@needs_compiler
@every_compiler
@pytest.mark.parametrize("kernel", [NativeConv, NativeWinograd])
@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 150),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch=st.integers(1, 3),
    slope=st.sampled_from([None, 0.0, 0.01]),
)
def test_a_convolution_of_any_size_is_pytorchs(kernel, height, width, channels, batch, slope):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels[0], channels[1], 3, padding=1)
    image = torch.randn(batch, channels[0], height, width)
    add = torch.randn(batch, channels[1], height, width)
    with torch.inference_mode():
        wanted = conv(image)
        if slope is not None:
            wanted = torch.where(wanted > 0, wanted, wanted * slope)
        found = kernel(conv, slope=slope)(image, add)
    torch.testing.assert_close(found, wanted + add, rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("kernel", CONVOLUTIONS)
def test_images_of_one_channel_may_have_been_the_channels_of_one(kernel):
    """PyTorch calls them contiguous, and the distance of their channels is any."""
    conv = nn.Conv2d(1, 6, 3, padding=1)
    images = torch.rand(1, 3, 8, 8).transpose(0, 1)
    assert images.is_contiguous()
    assert images.stride(1) == 3 * 64
    with torch.inference_mode():
        # Other distances would be other pixels.
        close = 5e-2 if kernel is NativeWinogradBf16 else 1e-5
        torch.testing.assert_close(kernel(conv)(images), conv(images), rtol=close, atol=close)


def points_of(points):
    """Cook-Toom matrices of a correlation with three taps: for image, kernel and outputs."""
    known, many = np.array(points), len(points) - 1
    image = [[*np.poly(np.delete(known, i))[::-1], 0] for i in range(len(known))]
    scale = [np.prod(p - np.delete(known, i)) for i, p in enumerate(known)]
    kernel = [[p**k / s for k in range(3)] for p, s in zip(known, scale, strict=True)]
    out = [[*known**k, float(k == many - 1)] for k in range(many)]
    matrices = [*image, np.poly(known)[::-1]], [*kernel, [0, 0, 1]], out
    return [torch.tensor(np.array(one)) for one in matrices]


def most_bf16_errs(weight, image, centre):
    """Bound of the error of each output, where every number is rounded to bf16 at the points.

    Half a unit in the last of 8 places, 2^-9, of the kernel and of the image.
    """
    (b, g, a), (b2, g2, a2) = (points_of(p) for p in (packing.POINTS_DOWN, packing.POINTS_ACROSS))
    height, width = image.shape[2:]
    padded = nn.functional.pad(image, (1, 1 + width % 2, 1, 1 + -height % 4))
    tiles = (padded - centre[:, None, None]).unfold(2, 6, 4).unfold(3, 4, 2)
    sums = torch.einsum("ocij,nchwij->nohwij", (g @ weight @ g2.T).abs(), (b @ tiles @ b2.T).abs())
    outputs = (a.abs() @ sums @ a2.abs().T).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return outputs[:, :, :height, :width] * 2**-8


@needs_bf16
@every_compiler
@every_instruction
@pytest.mark.parametrize(
    ("channels", "size", "batch", "slope"),
    [
        ((1, 1), (1, 1), 1, None),
        ((3, 7), (5, 9), 2, 0.0),
        ((8, 12), (4, 2), 1, 0.01),
        # More tiles across than are computed together; and one, two and three vectors of them.
        ((5, 13), (6, 131), 1, None),
        ((40, 6), (16, 32), 1, 0.0),
        ((2, 6), (17, 19), 3, None),
    ],
)
def test_a_convolution_in_bf16_errs_no_more_than_its_rounding_can(channels, size, batch, slope):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels[0], channels[1], 3, padding=1).double()
    image = torch.randn(batch, channels[0], *size).double() + 1
    centre = image.mean((0, 2, 3)).float().double()
    add = torch.randn(batch, channels[1], *size)
    with torch.inference_mode():
        wanted = conv(image)
        if slope is not None:
            wanted = torch.where(wanted > 0, wanted, wanted * slope)
        bound = most_bf16_errs(conv.weight, image, centre)
        found = NativeWinogradBf16(conv.float(), slope=slope, centre=centre)(image.float(), add)
    error = (found - wanted - add).abs()
    # Products of two roundings, and sums in fp32.
    assert (error <= 1.01 * bound + 1e-5).all()


@needs_bf16
@every_compiler
@every_instruction
def test_tiles_err_by_what_independent_roundings_say():
    """Of white noise by 2.85 times a convolution written out: sqrt(1.67 across * 4.88 down)."""
    torch.manual_seed(0)
    conv, image = nn.Conv2d(64, 24, 3, padding=1), torch.randn(1, 64, 40, 48)
    rounded = copy.deepcopy(conv)
    with torch.inference_mode():
        rounded.weight.copy_(conv.weight.bfloat16())
        wanted = conv(image)
        written_out = (rounded(image.bfloat16().float()) - wanted).square().mean().sqrt()
        error = (NativeWinogradBf16(conv)(image) - wanted).square().mean().sqrt()
    assert 2.5 < error / written_out < 3.1


@needs_bf16
@every_compiler
@every_instruction
def test_the_number_of_threads_does_not_change_a_bit_of_bf16():
    conv = NativeWinogradBf16(nn.Conv2d(7, 9, 3, padding=1))
    image = torch.randn(2, 7, 33, 140)
    assert torch.equal(*on_threads(lambda: conv(image), (1, 3)))


@needs_bf16
def test_what_pixels_have_in_common_is_not_rounded_in_a_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(12, 12, 3, padding=1)
    image = 5 + 0.01 * torch.rand(1, 12, 20, 20)
    with torch.inference_mode():
        wanted = conv(image)[..., 4:-4, 4:-4]
        errors = [
            (NativeWinogradBf16(conv, centre=known)(image)[..., 4:-4, 4:-4] - wanted).abs().max()
            for known in (None, image.double().mean((0, 2, 3)))
        ]
    assert errors[1] < errors[0] / 100


@needs_bf16
@pytest.mark.parametrize(
    ("task", "places", "convolution"),
    [
        # Of a residual block and of a level: (its name in both networks, of the convolution here,
        # and there).
        ("projection", r".*\.(first|second)", ("second", "body.2")),
        ("volume", r"conv_first0\.(encoder|decoder)\.\d+", ("decoder.1", "decoder_layers.1.0")),
    ],
)
def test_wide_convolutions_multiply_in_bf16(tiny_single, task, places, convolution, monkeypatch):
    monkeypatch.setattr("unifmir.native.convolutions.NARROWEST_WINOGRAD", 1)
    network = tiny_single(task)
    image = torch.rand(shape_of(network.config, "network", batch=1, size=(1, 16, 16)))
    fast = native.accelerate(network, precision="bf16", example=image)
    kinds = {name: type(m) for name, m in fast.named_modules() if isinstance(m, NativeConv)}
    in_bf16 = {name for name, kind in kinds.items() if kind is NativeWinogradBf16}
    assert in_bf16
    assert in_bf16 == {name for name in kinds if re.fullmatch(places, name)}
    reads = rounding.measure_moments(network, image)
    ours, theirs = convolution
    name = next(name for name in in_bf16 if name.endswith(ours))
    watched = f"{name.removesuffix(ours)}{theirs}"
    seen = []
    handle = network.get_submodule(watched).register_forward_pre_hook(
        lambda _conv, args: seen.append(args[0])
    )
    with torch.inference_mode():
        network(image)
    handle.remove()
    centre = fast.get_submodule(name).centre
    torch.testing.assert_close(centre, seen[0].mean((0, 2, 3)))
    assert reads[watched].shape == (1, len(centre) + 1)


@needs_bf16
@pytest.mark.parametrize("task", ["projection", "volume"])
def test_convolutions_that_are_not_accurate_in_bf16_stay_in_fp32(tiny_single, monkeypatch, task):
    monkeypatch.setattr("unifmir.native.convolutions.NARROWEST_WINOGRAD", 1)
    network = tiny_single(task)
    tried = []

    def one_failure(_network, fast, _images):
        tried.append(any(isinstance(part, NativeWinogradBf16) for part in fast.modules()))
        return ["unfitted PSNR is 50 dB"] if tried[-1] else []

    monkeypatch.setattr("unifmir.export.runtimes.native._failures", one_failure)
    fast = RUNTIMES["native-bf16"].prepare(network)
    assert tried == [True, False]
    assert not any(isinstance(part, NativeWinogradBf16) for part in fast.modules())
    assert any(getattr(part, "bf16", False) for part in fast.modules()), "Swin blocks are"


@needs_compiler
@pytest.mark.parametrize("kernel", CONVOLUTIONS)
def test_a_convolution_reads_no_other_images_than_its_own(kernel):
    native_conv = kernel(nn.Conv2d(3, 6, 3, padding=1))
    # Without the check of annotations, which only tests make.
    convolve = partial(inspect.unwrap(kernel.forward), native_conv)
    for wrong in (torch.rand(1, 3, 8, 8).double(), torch.rand(1, 3, 8, 8).half()):
        with pytest.raises(ExportError, match=f"found {wrong.dtype}"):
            convolve(wrong)
    with pytest.raises(ExportError, match=r"images of 3 channels, found torch\.float32 of 2"):
        convolve(torch.rand(1, 2, 8, 8))


@needs_compiler
@every_compiler
@pytest.mark.parametrize(
    ("kernel", "pixels"),
    [
        (NativeConv, 9),
        (NativeWinograd, 25),
        pytest.param(NativeWinogradBf16, 15, marks=needs_bf16),
    ],
)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_spreads_over_tiles_of_winograd(kernel, pixels, bad):
    conv = nn.Conv2d(32, 8, 3, padding=1)
    image = torch.rand(1, 32, 24, 24)
    image[0, 0, 8, 8] = bad  # the corner of a tile, which three others read
    with torch.inference_mode():
        spread = ~torch.isfinite(kernel(conv)(image)).all(1)[0]
        assert int((~torch.isfinite(conv(image)).all(1)).sum()) == 9
    assert int(spread.sum()) == pixels
    assert spread[7:10, 7:10].all()
    assert not spread[:, 12:].any()
