"""3 x 3 convolutions whose forward is a call into the C library. Inference on the CPU only."""

import copy
import ctypes
from typing import cast

import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.native import packing
from unifmir.native.compilation import Conv, load_library
from unifmir.native.memory import (
    Images,
    Packed,
    empty,
    empty_planes,
    floats,
    lies_in_planes,
    on_all_threads,
)
from unifmir.native.rounding import Moments, centre_of
from unifmir.networks.projection import RESIDUAL_SHARE, ResidualBlock

WIDEST_DIRECT = 128
"""Input channels up to which a convolution written out is faster here than PyTorch's."""
NARROWEST_WINOGRAD = 32
"""Channels in and out from which a convolution is faster by Winograd's algorithm than written
out."""


class NativeConv(Packed):
    """A 3 x 3 convolution with padding 1, and what follows it.

    Parameters
    ----------
    conv : Conv2d
    slope : float, optional
        Slope of a LeakyReLU after the convolution; 0 is a ReLU.
    """

    def __init__(self, conv: nn.Conv2d, *, slope: float | None = None) -> None:
        super().__init__(
            {
                "kernel": self._pack(conv.weight),
                "bias": packing.pack_bias(conv.bias, conv.out_channels),
            }
        )
        self.channels = conv.in_channels, conv.out_channels
        self.slope = slope

    @staticmethod
    def _pack(weight: Tensor) -> Tensor:
        return packing.pack_kernel(weight)

    def forward(
        self, images: Float32[Tensor, "n channels h w"], add: Images | None = None
    ) -> Images:
        """Features of any real value, convolved; contiguous.

        `add`, of the shape of the result, is added at the end; the result lies as it does.

        Raises
        ------
        ExportError
            They are not float32, or have other channels than the kernel: C would read what is not
            there.
        """
        if images.dtype != torch.float32 or images.shape[1] != self.channels[0]:
            raise ExportError(
                f"native convolutions take float32 images of {self.channels[0]} channels, found "
                f"{images.dtype} of {images.shape[1]}"
            )
        if not lies_in_planes(images):
            # contiguous() would leave the distance of an only channel as it is, whatever it is.
            images = images.clone(memory_format=torch.contiguous_format)
        n, _, height, width = images.shape
        shape = (n, self.channels[1], height, width)
        out = empty(shape) if add is None or add.is_contiguous() else empty_planes(shape)
        after, slope = (0, 0.0) if self.slope is None else (1, self.slope)
        conv = Conv(
            *self.channels,
            self.pointer("kernel"),
            self.pointer("bias"),
            after,
            slope,
        )
        self._run(
            conv,
            images.data_ptr(),
            images.stride(1),
            n,
            height,
            width,
            None if add is None else add.data_ptr(),
            out.data_ptr(),
            out.stride(1),
        )
        return out

    def _run(self, conv: Conv, *images: int | None) -> None:
        lib, count = load_library(), ctypes.c_int64(0)
        need = lib.conv_work(conv)
        on_all_threads(
            lambda: lib.conv_images(conv, *images, ctypes.addressof(count), floats(need))
        )


class NativeWinograd(NativeConv):
    """A convolution of many channels by a quarter of the products: winograd.c.

    The points of its kernel are computed anew for each image: they would take four times the
    memory of the weights, and computing them takes a hundredth of the time.
    """

    @staticmethod
    def _pack(weight: Tensor) -> Tensor:
        return packing.pack_winograd(weight)

    def _run(self, conv: Conv, *images: int | None) -> None:
        lib = load_library()
        points = floats(lib.winograd_kernel_size(conv), "points")
        made, done = ctypes.c_int64(0), ctypes.c_int64(0)
        need = lib.winograd_work(conv, images[4])
        on_all_threads(lambda: lib.winograd_kernel(conv, points, ctypes.addressof(made)))
        on_all_threads(
            lambda: lib.winograd_images(conv, points, *images, ctypes.addressof(done), floats(need))
        )


class NativeWinogradBf16(NativeConv):
    """A convolution of many channels by a third of the products, in bf16: winograd_bf16.c.

    Parameters
    ----------
    conv : Conv2d
    slope : float, optional
        As for `NativeConv`.
    centre : Tensor, optional
        Mean of each channel it reads, of any real value, which is taken off before rounding.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        slope: float | None = None,
        centre: Float64[Tensor, " in"] | None = None,
    ) -> None:
        Packed.__init__(self, packing.pack_winograd_bf16(conv, centre))
        self.channels = conv.in_channels, conv.out_channels
        self.slope = slope

    def _run(self, conv: Conv, *images: int | None) -> None:
        lib, count = load_library(), ctypes.c_int64(0)
        need, centre = lib.winograd_bf16_work(conv), self.pointer("centre")
        on_all_threads(
            lambda: lib.winograd_bf16_images(
                conv, centre, *images, ctypes.addressof(count), floats(need)
            )
        )


class NativeResidual(nn.Module):
    """A residual block of the projector: its share is in the weights, its input is added in C.

    Parameters
    ----------
    block : ResidualBlock
    bf16 : bool
        Multiply in bf16, with sums and the image in fp32.
    moments : mapping
        Of what its convolutions read, used for bf16. See `unifmir.native.rounding`.
    """

    def __init__(self, block: ResidualBlock, bf16: bool, moments: Moments) -> None:
        super().__init__()
        first, _, second = cast(tuple[nn.Conv2d, nn.ReLU, nn.Conv2d], block.body)
        second = copy.deepcopy(second)
        for values in second.parameters():
            values.mul_(RESIDUAL_SHARE)
        if bf16:
            centres = {name: centre_of(values) for name, values in moments.items()}
            self.first: NativeConv = NativeWinogradBf16(
                first, slope=0.0, centre=centres.get("body.0")
            )
            self.second: NativeConv = NativeWinogradBf16(second, centre=centres.get("body.2"))
        else:
            self.first = NativeWinograd(first, slope=0.0)
            self.second = NativeWinograd(second)

    def forward(self, images: Images) -> Images:
        """Features of any real value, refined; contiguous."""
        images = images.contiguous()
        out: Tensor = self.second(self.first(images), images)
        return out


def kernel_of(conv: nn.Conv2d) -> type[NativeConv] | None:
    """Choose the kernel of a convolution in fp32; None where PyTorch is to compute it."""
    if not (
        conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.padding == (1, 1)
        and conv.dilation == (1, 1)
        and conv.groups == 1
    ):
        return None
    if is_wide(conv):
        return NativeWinograd
    return NativeConv if conv.in_channels <= WIDEST_DIRECT else None


def is_wide(conv: nn.Conv2d) -> bool:
    """Whether a convolution has channels enough for Winograd's algorithm."""
    return min(conv.in_channels, conv.out_channels) >= NARROWEST_WINOGRAD
