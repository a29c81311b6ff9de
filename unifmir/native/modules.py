"""Modules whose forward is a call into the C library. Inference on the CPU only."""

import copy
import ctypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.native import packing
from unifmir.native.compilation import Block, Conv, Matrix, load_library
from unifmir.native.rounding import Moments, centre_of, moments_inside
from unifmir.networks.projection import RESIDUAL_SHARE, ResidualBlock
from unifmir.networks.swin import ResidualGroup, SwinBlock, SwinBody

GAP = 272
"""Floats between two channels of an image: 17 lines of a cache."""
Images = Float32[Tensor, "n c h w"]
_memory = threading.local()


class _Packed(nn.Module):
    """Holds packed weights as buffers, so that they are copied and pickled like others."""

    def __init__(self, parts: dict[str, Tensor]) -> None:
        super().__init__()
        for name, values in parts.items():
            self.register_buffer(name, values.detach(), persistent=False)

    def pointer(self, name: str) -> int:
        """Address of a buffer."""
        return cast(Tensor, getattr(self, name)).data_ptr()

    def matrix(self, name: str) -> Matrix:
        """A matrix with its bias."""
        return Matrix(self.pointer(name), self.pointer(f"{name}_bias"))


class NativeBlock(_Packed):
    """A Swin block, in place.

    Parameters
    ----------
    swin : SwinBlock
        With a window of 8 pixels.
    bf16 : bool
        Multiply in bf16, with sums, LayerNorm, softmax, GELU and the image in fp32.
    moments : mapping
        As for `packing.pack_block`.
    """

    def __init__(self, swin: SwinBlock, bf16: bool, moments: Moments) -> None:
        super().__init__({**packing.pack_block(swin, bf16, moments), "masks": packing.make_masks()})
        self.shift = swin.shift
        self.heads, self.width = swin.attn.num_heads, swin.attn.head_dim
        self.hidden = swin.mlp.fc1.out_features
        self.bf16 = bf16

    def forward(self, images: Images) -> Images:
        """Change features from `empty_planes` in place; sides are multiples of 8."""
        block = Block(
            self.heads * self.width,
            self.heads,
            self.width,
            self.hidden,
            int(self.bf16),
            self.pointer("norm1"),
            self.pointer("norm2"),
            *(self.matrix(name) for name in ("qkv", "proj", "fc1", "fc2")),
            self.pointer("position"),
            self.pointer("centre"),
        )
        lib, count, (n, _, height, width) = load_library(), ctypes.c_int64(0), images.shape
        need = lib.swin_work(block)
        masks, at = self.pointer("masks"), images.data_ptr()

        def work() -> None:
            memory = _floats(need)
            lib.swin_block(
                block,
                at,
                images.stride(1),
                n,
                height,
                width,
                self.shift,
                masks,
                ctypes.addressof(count),
                memory,
            )

        _on_all_threads(work)
        return images


class NativeNorm(_Packed):
    """LayerNorm over the channels of images."""

    def __init__(self, layer: nn.LayerNorm) -> None:
        super().__init__({"norm": packing.pack_norm(layer)})
        self.channels = layer.normalized_shape[0]

    def forward(self, images: Images) -> Images:
        """Normalised features; in and out as `empty_planes` lays them, H * W a multiple of 64."""
        out = empty_planes(images.shape)
        lib, count, pixels = load_library(), ctypes.c_int64(0), images.shape[2] * images.shape[3]

        def work() -> None:
            lib.norm_images(
                self.pointer("norm"),
                self.channels,
                images.data_ptr(),
                images.stride(1),
                images.shape[0],
                pixels,
                out.data_ptr(),
                out.stride(1),
                ctypes.addressof(count),
            )

        _on_all_threads(work)
        return out


class NativeConv(_Packed):
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
        out = torch.empty(shape) if add is None or add.is_contiguous() else empty_planes(shape)
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
        _on_all_threads(
            lambda: lib.conv_images(conv, *images, ctypes.addressof(count), _floats(need))
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
        points = _floats(lib.winograd_kernel_size(conv), "points")
        made, done = ctypes.c_int64(0), ctypes.c_int64(0)
        need = lib.winograd_work(conv, images[4])
        _on_all_threads(lambda: lib.winograd_kernel(conv, points, ctypes.addressof(made)))
        _on_all_threads(
            lambda: lib.winograd_images(
                conv, points, *images, ctypes.addressof(done), _floats(need)
            )
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
        _Packed.__init__(self, packing.pack_winograd_bf16(conv, centre))
        self.channels = conv.in_channels, conv.out_channels
        self.slope = slope

    def _run(self, conv: Conv, *images: int | None) -> None:
        lib, count = load_library(), ctypes.c_int64(0)
        need, centre = lib.winograd_bf16_work(conv), self.pointer("centre")
        _on_all_threads(
            lambda: lib.winograd_bf16_images(
                conv, centre, *images, ctypes.addressof(count), _floats(need)
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


class NativeGroup(nn.Module):
    """Swin blocks and a convolution, with a residual around all of it."""

    def __init__(self, group: ResidualGroup, bf16: bool, moments: Moments) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                NativeBlock(block, bf16, moments_inside(moments, name))
                for name, block in group.named_modules()
                if isinstance(block, SwinBlock)
            )
        )
        self.conv = NativeWinograd(group.conv)

    def forward(self, images: Images) -> Images:
        """Features of any real value, refined."""
        out: Tensor = self.conv(self.blocks(empty_planes(images.shape).copy_(images)), images)
        return out


class NativeBody(nn.Module):
    """The layers of `SwinBody.enhance` in C."""

    def __init__(self, body: SwinBody, bf16: bool, moments: Moments) -> None:
        super().__init__()
        self.first_norm = NativeNorm(body.patch_embed.norm)
        self.groups = nn.Sequential(
            *(
                NativeGroup(
                    cast(ResidualGroup, group), bf16, moments_inside(moments, f"layers.{index}")
                )
                for index, group in enumerate(body.layers)
            )
        )
        self.norm = NativeNorm(body.norm)
        self.conv = NativeWinograd(body.conv_after_body)

    def forward(self, features: Images, residual: bool) -> Images:
        """Features of any real value, enhanced; `residual`: added to themselves."""
        features = features.contiguous()
        x = self.norm(self.groups(self.first_norm(features)))
        enhanced: Tensor = self.conv(x, features if residual else None)
        return enhanced


def empty_planes(shape: Sequence[int]) -> Images:
    """Memory for images, any values in it, with a gap between two channels.

    Without it, at sides that are powers of two, the channels of a pixel fall into the same few
    lines of a cache, which then holds none of them.
    """
    n, channels, height, width = shape
    plane = height * width + GAP
    flat = torch.empty(n * channels * plane)
    return flat.as_strided((n, channels, height, width), (channels * plane, plane, width, 1))


def lies_in_planes(image: Images) -> bool:
    """Whether an image of any range lies as the C code reads it.

    That is, with its channels at equal distances, and rows joined.
    """
    n, channels, _, width = image.shape
    plane = image.stride(1)
    return image.stride() == (channels * plane, plane, width, 1) and n > 0


def _floats(count: int, use: str = "work") -> int:
    """Address of memory for this thread and use, kept from call to call."""
    held: Tensor | None = getattr(_memory, use, None)
    if held is None or held.numel() < count:
        held = torch.empty(count)
        setattr(_memory, use, held)
    return held.data_ptr()


def _on_all_threads(work: Callable[[], None]) -> None:
    """Call `work` on as many threads as PyTorch would use; they share a counter of what is done.

    ctypes gives the interpreter's lock back while C runs.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        work()
        return
    for done in [_pool(threads).submit(work) for _ in range(threads)]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="unifmir-native")
