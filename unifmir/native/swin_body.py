"""A Swin body whose forward is calls into the C library. Inference on the CPU only."""

import ctypes
from typing import cast

from torch import nn

from unifmir.native import packing
from unifmir.native.compilation import Block, load_library
from unifmir.native.convolutions import NativeWinograd
from unifmir.native.memory import Images, Packed, empty_planes, floats, on_all_threads
from unifmir.native.rounding import Moments, moments_inside
from unifmir.networks.swin import ResidualGroup, SwinBlock, SwinBody


class NativeBlock(Packed):
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
            self.pointer("proj_exact"),
        )
        lib, count, (n, _, height, width) = load_library(), ctypes.c_int64(0), images.shape
        need = lib.swin_work(block)
        masks, at = self.pointer("masks"), images.data_ptr()

        def work() -> None:
            memory = floats(need)
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

        on_all_threads(work)
        return images


class NativeNorm(Packed):
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

        on_all_threads(work)
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
        out: Images = self.conv(self.blocks(empty_planes(images.shape).copy_(images)), images)
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
        enhanced: Images = self.conv(x, features if residual else None)
        return enhanced
