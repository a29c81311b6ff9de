"""Image interfaces: how a network reads the image that a user holds, one row each.

A row says everything that depends on the interface: the wrapper around the network, axes in and
out, lateral scale, how tiles are cut, read and written, and how training patches are cut.
`interface_of` is the only place that chooses one. Nothing here imports torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import isqrt
from typing import TYPE_CHECKING, Literal

from unifmir.errors import UnknownNameError
from unifmir.signature import Signature
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from torch import nn

    from unifmir.config import SingleConfig

InputKind = Literal["network", "image", "raw"]
"""`network`: the plain network, (N, C, H, W). `image`: the network in its image interface, on
normalised images. `raw`: the image interface on whole images as a microscope writes them."""

FIXED = "="
"""Marks an axis of one size in an axis name: `channel=1`."""
LENS_MULTIPLE = 8
"""Lenses: whole attention windows, before and after the magnification by the views."""
NORMALISED_RANGE = (-0.1, 1.2)
"""Values of a test input: beyond [0, 1] on both sides, as percentile normalisation gives."""

Shape = tuple[int, ...]
Counterpart = Literal["stack", "maximum"]
"""Image that a result is held against: the raw stack, or its maximum along z."""
Depth = Literal["none", "free", "fixed"]
"""Axis z of an image: it has none, any number of planes, or as many as the network's channels."""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Image sizes that a network takes. Pixels."""

    minimum: int
    multiple_of: int = 1
    """Divisor of every size; 1: any size from the minimum on, padded inside the network."""


@dataclass(frozen=True, slots=True)
class EngineSizes:
    """Sizes that a TensorRT engine takes by default: smallest, the one it is tuned for, largest.

    The largest are what the restoring of large images by tiles needs; memory on the GPU is taken
    for them. A tile of 128 pixels is where GPUs are busy.
    """

    batch: tuple[int, int, int] = (1, 1, 4)
    depth: tuple[int, int, int] = (1, 8, 16)
    lateral: tuple[int, int, int] = (8, 128, 256)
    """Pixels of the network's input, so lenses of a light field."""


_STACKS = EngineSizes(batch=(1, 1, 3))
_ISOTROPIC = EngineSizes((1, 1, 3), (1, 64, 64), (4, 64, 96))
"""A stack is height + width slices for the network."""
_PROJECTED = EngineSizes(batch=(1, 1, 3), lateral=(4, 128, 192))
"""A whole stack at full resolution passes the first layers."""
_LENSES = EngineSizes(batch=(1, 1, 3), lateral=(2, 16, 32))
"""Sizes of the views, since the network works at 11 times their sampling."""


@dataclass(frozen=True, slots=True)
class ImageInterface:
    """One way in which a network reads a user's image. A row of `INTERFACES`."""

    name: str
    wrapper: str
    """`module:class` of the module around the network."""
    fits: Callable[[Signature], bool]
    """Whether a network of this signature can be read so."""
    tiles: str
    """`module:function` that restores a block of an image with the plain network."""
    image_tiles: str
    """`module:function` that restores a block of an image with the module or file that takes
    images."""
    patch: str
    """`module:function` that cuts a training patch from a normalised pair."""
    depth: Depth = "none"
    """Planes of the image."""
    depth_out: Depth = "none"
    """Planes of the result; `fixed`: the network's output channels."""
    argument: Callable[[Signature], int] | None = None
    """Second constructor argument of the wrapper; None: it takes the network alone."""
    argument_text: str = ""
    """Expression of that argument by the network's constructor arguments; empty: the number."""
    lenses: bool = False
    """Whether an image is a raw light field, whose lateral unit is a lens."""
    cuts_depth: bool = False
    """Whether tiles may be cut along z, with a halo, as they are laterally."""
    whole_depth: bool = False
    """Whether the network reads all planes of a stack at once."""
    axial: bool = False
    """Whether the plain network reads axial slices: rows y or x, columns z."""
    neighbours: bool = False
    """Whether each plane is restored from as many planes around it as the network has channels."""
    counterpart: Counterpart = "stack"
    """Image that the result is held against."""
    square_root: bool = False
    """Whether the result is the square root of a product, of infinite slope at 0: equal passes
    may differ by any part of the standard deviation there."""
    global_statistics: bool = False
    """Whether the whole image reaches every pixel, so that no halo makes tiles exact."""
    case_divisor: tuple[int, int] = (1, 1)
    """Heights and widths of verification cases are divided by it: network, image."""
    whole_row: bool = False
    """Whether the row of windows among these cases may be as long as if nothing were divided."""
    engine_sizes: tuple[EngineSizes, EngineSizes] = (EngineSizes(), EngineSizes())
    """Sizes of a TensorRT engine: network, image."""
    network_range: tuple[float, float] = NORMALISED_RANGE
    """Smallest and largest value of a random network input."""
    image_range: tuple[float, float] = NORMALISED_RANGE
    """Smallest and largest value of a random image, as the wrapper takes it."""

    def wrap(self, network: "nn.Module", signature: Signature) -> "nn.Module":
        """The network in its image interface, in eval mode; the weights are shared."""
        module, _, name = self.wrapper.partition(":")
        extra = () if self.argument is None else (self.argument(signature),)
        wrapped: nn.Module = getattr(import_module(module), name)(network, *extra)
        return wrapped.eval()

    def argument_source(self, signature: Signature) -> str:
        """The second constructor argument as Python source; empty if there is none."""
        return self.argument_text or (
            "" if self.argument is None else str(self.argument(signature))
        )

    def lens_px(self, signature: Signature) -> int:
        """Pixels behind a lens along y and x; 1 for images without lenses."""
        return isqrt(signature.channels) if self.lenses else 1

    def grid_px(self, config: "SingleConfig") -> int:
        """Pixels of the image: a tile that starts on this grid has its windows where it has them.

        Whole attention windows, or what a reference model halves its images by.
        """
        if self.lenses:
            return LENS_MULTIPLE * self.lens_px(config.signature)
        return config.grid_px

    def slices(self, signature: Signature) -> int:
        """Planes that are read around each restored one, itself included."""
        return signature.channels if self.neighbours else 1

    def result_planes(self, signature: Signature) -> int | None:
        """Planes of the result; None: as many as the image has."""
        if self.depth_out == "fixed":
            return signature.out_channels
        return 1 if self.depth_out == "none" and self.depth != "none" else None

    def scale(self, signature: Signature, kind: InputKind) -> int:
        """Lateral magnification, output pixels per input pixel."""
        if kind == "network":
            return signature.scale
        return 1 if self.lenses else signature.scale * signature.enlarge

    def size_rule(self, signature: Signature, kind: InputKind) -> SizeRule:
        """Heights and widths that are taken, in pixels."""
        unit = 1 if kind == "network" else self.lens_px(signature)
        return SizeRule(minimum=unit, multiple_of=unit)

    def axes(
        self, signature: Signature, kind: InputKind
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Axis names of the input and the output; `name=size` where the size is fixed."""
        scale = self.scale(signature, kind)
        lateral: tuple[str, ...] = ("height", "width")
        magnified = lateral if scale == 1 else tuple(f"{name}_x{scale}" for name in lateral)
        channels, planes = signature.channels, signature.out_channels
        if kind == "network":
            deep = ("depth",) if signature.volumetric else ()
            deep_out = ("depth",) if signature.volumetric_output else ()
            return (
                ("batch", f"channel={channels}", *deep, *lateral),
                ("batch", f"channel={planes}", *deep_out, *magnified),
            )
        start = ("batch", "channel=1")
        return (
            (*start, *_depth_axis(self.depth, channels), *lateral),
            (*start, *_depth_axis(self.depth_out, planes), *magnified),
        )

    def input_shape(
        self, signature: Signature, kind: InputKind, *, batch: int, size: Sequence[int]
    ) -> Shape:
        """Shape of an input for `size` = (depth, height, width); fixed axes keep their own size.

        Heights and widths are given in network pixels: a raw light field is n times larger.
        """
        depth, height, width = size
        unit = 1 if kind == "network" else self.lens_px(signature)
        free = {"batch": batch, "depth": depth, "height": height * unit, "width": width * unit}
        return tuple(
            int(name.split(FIXED)[1]) if FIXED in name else free[name]
            for name in self.axes(signature, kind)[0]
        )


def _depth_axis(depth: Depth, planes: int) -> tuple[str, ...]:
    return {"none": (), "free": ("depth",), "fixed": (f"depth={planes}",)}[depth]


_WRAPPERS = "unifmir.networks.interface"
_TILES = "unifmir.restoration.tile_inference"
_PATCHES = "unifmir.training.patches"
_VOLUMETRIC = ImageInterface(
    name="volumetric",
    wrapper=f"{_WRAPPERS}:VolumetricInterface",
    fits=lambda s: s.volumetric and s.volumetric_output,
    tiles=f"{_TILES}:restore_volume",
    image_tiles=f"{_TILES}:restore_volume",
    patch=f"{_PATCHES}:slab_patch",
    depth="free",
    depth_out="free",
    whole_depth=True,
    engine_sizes=(_STACKS, _STACKS),
)

INTERFACES: dict[str, ImageInterface] = {
    row.name: row
    for row in (
        ImageInterface(
            name="planes",
            wrapper=f"{_WRAPPERS}:PlaneInterface",
            fits=lambda s: not s.volumetric and s.channels == 1 and s.enlarge == 1,
            tiles=f"{_TILES}:restore_planes",
            image_tiles=f"{_TILES}:restore_planes",
            patch=f"{_PATCHES}:plane_patch",
        ),
        ImageInterface(
            name="enlarged",
            wrapper=f"{_WRAPPERS}:EnlargingInterface",
            fits=lambda s: not s.volumetric and s.channels == 1 and s.enlarge > 1,
            tiles=f"{_TILES}:restore_enlarged_planes",
            image_tiles=f"{_TILES}:restore_planes",
            patch=f"{_PATCHES}:enlarged_patch",
            argument=lambda s: s.enlarge,
        ),
        ImageInterface(
            name="windows",
            wrapper=f"{_WRAPPERS}:StackInterface",
            fits=lambda s: not s.volumetric and s.channels > 1,
            tiles=f"{_TILES}:restore_windows",
            image_tiles=f"{_TILES}:restore_sub_stacks",
            patch=f"{_PATCHES}:window_patch",
            depth="free",
            depth_out="free",
            argument=lambda s: s.channels,
            argument_text="in_channels",
            neighbours=True,
            engine_sizes=(_STACKS, _STACKS),
        ),
        ImageInterface(
            name="isotropic",
            wrapper=f"{_WRAPPERS}:IsotropicInterface",
            fits=lambda s: not s.volumetric,
            tiles=f"{_TILES}:restore_isotropic",
            image_tiles=f"{_TILES}:restore_volume",
            patch=f"{_PATCHES}:axial_patch",
            depth="free",
            depth_out="free",
            cuts_depth=True,
            square_root=True,
            axial=True,
            case_divisor=(1, 2),
            engine_sizes=(_STACKS, _ISOTROPIC),
        ),
        ImageInterface(
            name="projection",
            wrapper=f"{_WRAPPERS}:ProjectionInterface",
            fits=lambda s: not s.volumetric,
            tiles=f"{_TILES}:restore_channels",
            image_tiles=f"{_TILES}:restore_volume",
            patch=f"{_PATCHES}:projection_patch",
            counterpart="maximum",
            case_divisor=(1, 2),
            whole_row=True,
            depth="fixed",
            whole_depth=True,
            global_statistics=True,
            engine_sizes=(_PROJECTED, _PROJECTED),
        ),
        ImageInterface(
            name="light-field",
            wrapper=f"{_WRAPPERS}:LightFieldInterface",
            fits=lambda s: not s.volumetric,
            tiles=f"{_TILES}:restore_light_field",
            image_tiles=f"{_TILES}:restore_channels",
            patch=f"{_PATCHES}:light_field_patch",
            depth_out="fixed",
            argument=lambda s: isqrt(s.channels),
            argument_text="round(views**0.5)",
            lenses=True,
            global_statistics=True,
            case_divisor=(4, 4),
            network_range=(-1.0, 1.0),
            image_range=(0.0, 4095.0),
            engine_sizes=(_LENSES, _LENSES),
        ),
        _VOLUMETRIC,
        replace(
            _VOLUMETRIC,
            name="volumetric-isotropic",
            case_divisor=(1, 2),
            engine_sizes=(_STACKS, _ISOTROPIC),
        ),
        replace(
            _VOLUMETRIC,
            name="volumetric-projection",
            fits=lambda s: s.volumetric and not s.volumetric_output,
            patch=f"{_PATCHES}:stack_projection_patch",
            counterpart="maximum",
            depth_out="none",
            engine_sizes=(_PROJECTED, _PROJECTED),
        ),
    )
}


def interface_of(config: "SingleConfig") -> ImageInterface:
    """The image interface of a single-task network.

    Raises
    ------
    UnknownNameError
        No interface of the task fits the network's signature.
    """
    names = TASKS[config.task].interfaces
    for name in names:
        if INTERFACES[name].fits(config.signature):
            return INTERFACES[name]
    raise UnknownNameError(
        f"no image interface of {config.task} ({', '.join(names)}) fits a network with "
        f"{config.signature}"
    )


def shape_of(config: "SingleConfig", kind: InputKind, *, batch: int, size: Sequence[int]) -> Shape:
    """Input shape of a single-task network, or of its image interface: `input_shape` of its row."""
    return interface_of(config).input_shape(config.signature, kind, batch=batch, size=size)


def dynamic_axes(names: Sequence[str]) -> dict[int, str]:
    """Position -> name of the axes whose size is free."""
    return {index: name for index, name in enumerate(names) if FIXED not in name}


def reads_single_planes(config: "SingleConfig") -> bool:
    """Whether the task is for stacks and the network for planes: a stack is a batch of them."""
    row = interface_of(config)
    return "z" in TASKS[config.task].input_axes and row.depth == "none"
