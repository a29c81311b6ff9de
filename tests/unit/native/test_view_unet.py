"""The light field's U-Net in C: PyTorch's pooling and resizing, and the same volume."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers.native_marks import every_compiler, needs_bf16, needs_compiler
from tests.helpers.threads import on_threads
from unifmir.compare import FP32, compare
from unifmir.native import acceleration, rounding
from unifmir.native.view_unet import Affine, NativeViewUNet, channels, pooled, resize
from unifmir.networks.volume import ViewUNet

SIZES = [(3, 3), (4, 5), (7, 8), (23, 47), (40, 33)]


def trained_unet(seed=0):
    """A small U-Net whose normalisations have seen images, as a trained one's have."""
    torch.manual_seed(seed)
    unet = ViewUNet(9, 5, 64, 33, (40, 40, 48, 64, 64))
    for norm in unet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
            norm.running_mean = torch.randn(norm.num_features)
            norm.running_var = torch.empty(norm.num_features).uniform_(0.5, 2)
    return unet.eval()


@needs_compiler
@every_compiler
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("narrow", [2, 6])
def test_pooling_is_pytorchs_of_a_sum(size, narrow):
    torch.manual_seed(0)
    image, more = torch.randn(1, 6, *size), torch.randn(1, narrow, *size)
    wanted = F.max_pool2d(image + F.pad(more, (0, 0, 0, 0, 0, 6 - narrow)), 3, stride=2)
    assert torch.equal(pooled(image, more), wanted)


@needs_compiler
@every_compiler
def test_pooling_keeps_what_is_not_a_number():
    image, more = torch.rand(1, 2, 9, 9), torch.zeros(1, 1, 9, 9)
    image[0, 1, 4, 4] = float("nan")
    wanted = F.max_pool2d(image, 3, stride=2)
    torch.testing.assert_close(pooled(image, more), wanted, rtol=0, atol=0, equal_nan=True)


@needs_compiler
@every_compiler
@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("new", SIZES)
def test_resizing_is_pytorchs_after_a_normalisation(old, new):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3).eval()
    norm.running_mean = torch.randn(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    image, plain, mapped = torch.randn(1, 3, *old), torch.empty(1, 3, *new), torch.empty(1, 3, *new)
    resize(image, plain)
    resize(image, mapped, Affine(norm))
    resized = [F.interpolate(one, new, mode="bilinear") for one in (image, norm(image))]
    torch.testing.assert_close(plain, resized[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mapped, resized[1], rtol=1e-5, atol=1e-5)


@needs_compiler
def test_channels_in_the_middle_of_others_are_resized_in_place():
    joined = torch.zeros(1, 5, 6, 8)
    resize(torch.ones(1, 2, 3, 4), channels(joined, 2, 4))
    assert torch.equal(joined.sum((0, 2, 3)), torch.tensor([0.0, 0, 48, 48, 0]))


@needs_compiler
@every_compiler
@pytest.mark.parametrize("batch", [1, 2])
def test_the_volume_is_the_same_on_any_number_of_threads(batch):
    unet = trained_unet()
    views = torch.randn(batch, 9, 8, 10)
    fast = NativeViewUNet(copy.deepcopy(unet), False, {})
    for parent in list(fast.modules()):
        acceleration._replace_convolutions(parent)
    results = on_threads(lambda: fast(views), (1, 3))
    assert torch.equal(*results)
    with torch.inference_mode():
        assert not FP32.failures(compare(unet(views).numpy(), results[0].numpy()))


@needs_bf16
@every_compiler
def test_the_volume_in_bf16_is_the_same_picture():
    unet, views = trained_unet(), torch.randn(1, 9, 8, 8)
    moments = rounding.measure_moments(unet, views)
    fast = NativeViewUNet(copy.deepcopy(unet), True, rounding.moments_inside(moments, ""))
    with torch.inference_mode():
        found = compare(unet(views).numpy(), fast(views).numpy())
    assert found.psnr_db > 45, "of white noise in and random weights"
