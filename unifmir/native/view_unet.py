"""The light field's U-Net, its normalisations in its convolutions, its levels joined in place."""

import ctypes
from typing import cast

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unifmir.native.compilation import Planes, load_library
from unifmir.native.convolutions import NativeWinogradBf16, is_wide
from unifmir.native.memory import empty, empty_planes, floats, on_all_threads
from unifmir.native.rounding import Moments, centre_of
from unifmir.networks.volume import ViewUNet

Image = Float32[Tensor, "1 _ _ _"]


class NativeViewUNet(nn.Module):
    """`ViewUNet` for inference, an image at a time.

    Convolutions in fp32 are PyTorch's still, for `accelerate` to replace. PyTorch's pooling,
    resizing and joining of levels took a quarter of the time of the whole network.

    Parameters
    ----------
    unet : ViewUNet
        It is used up.
    bf16 : bool
        Multiply in bf16 at its levels, with sums and the image in fp32.
    moments : mapping
        Of what their convolutions read, used for bf16. See `unifmir.native.rounding`.
    """

    def __init__(self, unet: ViewUNet, bf16: bool, moments: Moments) -> None:
        super().__init__()
        self.magnification = unet.magnification
        self.stem = nn.Sequential(unet.conv2d, *unet.layers, *_fused(unet.conv2d1))
        self.entry = _fused(unet.conv2d2)
        self.encoder = nn.ModuleList(_fused(level) for level in unet.encoder_layers)
        decoder = [cast(nn.Sequential, level) for level in unet.decoder_layers]
        self.decoder = nn.ModuleList(level[:2] for level in decoder)
        self.norms = nn.ModuleList(Affine(cast(nn.BatchNorm2d, level[2])) for level in decoder)
        convs = [cast(nn.Conv2d, part[0]) for part in (self.entry, *self.encoder)]
        self.skips = [conv.out_channels for conv in convs[:-1]]
        self.joined = [cast(nn.Conv2d, level[0]).in_channels for level in decoder[::-1]]
        """Channels of a level's input and of what comes from the level below, together."""
        if bf16:
            for levels, name in (self.encoder, "encoder_layers"), (self.decoder, "decoder_layers"):
                for index, level in enumerate(levels):
                    read = moments.get(f"{name}.{index}.0")
                    levels[index] = _narrowed(cast(nn.Sequential, level), read)

    def forward(self, views: Float32[Tensor, "n v h w"]) -> Float32[Tensor, "n planes up right"]:
        """Volumes in (-1, 1), n times as high and wide as the views, n * n of them, in [-1, 1]."""
        return torch.cat([self._restored(one) for one in views.split(1)])

    def _restored(self, views: Image) -> Image:
        height, width = (side * self.magnification for side in views.shape[2:])
        x = self.entry(self.stem(views))
        places = []
        for encode, skip, both in zip(self.encoder, self.skips, self.joined, strict=True):
            joined = empty_planes((1, both, *x.shape[2:]))
            channels(joined, 0, skip).copy_(x)
            places.append((joined, channels(joined, skip, both)))
            x = pooled(encode(x), x)
        above = places[-1][1]
        resize(x, above)
        for decode, norm in zip(self.decoder, self.norms, strict=True):
            x = decode(places.pop()[0])
            above = places[-1][1] if places else empty((1, x.shape[1], height, width))
            resize(x, above, cast(Affine, norm))
        return above.tanh_()


class Affine(nn.Module):
    """Batch normalisation at inference: a factor and a summand for each channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        mean, var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", (norm.bias - mean * scale).float(), persistent=False)


def _fused(layers: nn.Module) -> nn.Sequential:
    """A convolution with the normalisation after it in its weights, and its ReLU."""
    conv, norm, relu = cast(tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU], layers)
    return nn.Sequential(fuse_conv_bn_eval(conv, norm), relu)


def _narrowed(level: nn.Sequential, read: Tensor | None) -> nn.Module:
    """A level in bf16, where that is faster; `read`: moments of what it reads."""
    conv = cast(nn.Conv2d, level[0])
    if not is_wide(conv):
        return level
    return NativeWinogradBf16(conv, slope=0.0, centre=None if read is None else centre_of(read))


def channels(image: Image, first: int, end: int) -> Image:
    """Some of an image's channels, as an image of its own."""
    part = image[:, first:end]
    # The distance between two images is that of an image of so many channels.
    return part.as_strided(part.shape, (part.shape[1] * part.stride(1), *part.stride()[1:]))


def pooled(image: Image, more: Image) -> Image:
    """Maxima of 3 x 3 pixels at every second one; `more` is added to the first channels."""
    height, width = ((side - 3) // 2 + 1 for side in image.shape[2:])
    out = empty((1, image.shape[1], height, width))
    lib, count = load_library(), ctypes.c_int64(0)
    planes = _planes(image), _planes(more), _planes(out)
    on_all_threads(
        lambda: lib.pool_images(*planes, ctypes.addressof(count), floats(image.shape[3]))
    )
    return out


def resize(image: Image, out: Image, affine: Affine | None = None) -> None:
    """Fill `out` with an image of its size, linear between pixels, after an affine map."""
    lib, count = load_library(), ctypes.c_int64(0)
    need = lib.resize_work(image.shape[3], out.shape[3])
    maps = (None, None) if affine is None else (_address(affine.scale), _address(affine.shift))
    planes = _planes(image), _planes(out)
    on_all_threads(
        lambda: lib.resize_images(
            planes[0], *maps, planes[1], ctypes.addressof(count), floats(need)
        )
    )


def _address(values: Tensor | nn.Module) -> int:
    return cast(Tensor, values).data_ptr()


def _planes(image: Image) -> Planes:
    return Planes(image.data_ptr(), image.stride(1), *image.shape[1:])
