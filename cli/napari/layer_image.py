"""A layer as an image: its axes, its place, and the file that is restored."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.base import AXES, Coordinates, ImageInfo, Region, Shape
from unifmir.images.open_files import create_sink

_WORDS = {
    "t": ("t", "time", "frame", "frames"),
    "c": ("c", "channel", "channels"),
    "z": ("z", "depth", "plane", "planes", "slice", "slices"),
    "y": ("y", "row", "rows", "height"),
    "x": ("x", "column", "columns", "width"),
}
_LETTER = {word: letter for letter, words in _WORDS.items() for word in words}
_BY_NUMBER = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
"""Axes of a layer whose labels say nothing, by their number."""
_WRITTEN = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Pixels that a TIFF takes as they are; others become real numbers."""


def named_axes(labels: tuple[str, ...]) -> str | None:
    """Letters of a layer's axes by its labels; None where these say nothing."""
    letters = "".join(_LETTER.get(label.lower().strip(), "?") for label in labels)
    known = "?" not in letters and len(set(letters)) == len(letters) and {"y", "x"} <= set(letters)
    return letters if known else None


def guessed_axes(labels: tuple[str, ...]) -> str:
    """Letters of a layer's axes: by its labels, else by their number; empty for another number."""
    return named_axes(labels) or _BY_NUMBER.get(len(labels), "")


@dataclass(frozen=True, slots=True, eq=False)
class LayerImage:
    """A layer of napari as it was when its restoration began: it may move, or go, meanwhile.

    Its pixels are read once, at the start.
    """

    name: str
    data: Any
    """An array, or what is computed where it is read (Dask)."""
    axes: str
    """Letters of `AXES`, one an axis of the data, in its order."""
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[Any, ...]
    """Units of the scale and translation, as napari has them (pint)."""
    labels: tuple[str, ...]
    shown: dict[str, Any]
    """How it is shown: names and values of napari's `add_image`."""
    turned: dict[str, Any]
    """Values of `rotate`, `shear` and `affine`, where they do something."""

    @classmethod
    def of(cls, layer: Any, axes: str | None = None) -> Self:
        """The image of a layer.

        Parameters
        ----------
        layer : napari.layers.Image
        axes : str, optional
            Of its data, as `zyx`; those that its labels say where not given.

        Raises
        ------
        ImageError
            It holds colours, or the axes do not fit it.
        """
        if layer.rgb:
            raise ImageError(
                f"{layer.name} is a colour picture: its three values are not channels of a "
                "microscope. Split it (right click > Split RGB), and restore one of them"
            )
        data = layer.data[0] if layer.multiscale else layer.data
        letters = guessed_axes(layer.axis_labels) if axes is None else axes.strip().lower()
        fits = len(letters) == data.ndim and len(set(letters)) == data.ndim
        if not fits or not {"y", "x"} <= set(letters) <= set(AXES):
            raise ImageError(
                f"axes are {letters or 'not known'!r}, expected {data.ndim} letters, one for each "
                f"axis of {layer.name}: some of {', '.join(AXES)}, each once, y and x among them"
            )
        words = ("colormap", "contrast_limits", "gamma", "blending", "interpolation2d")
        return cls(
            name=layer.name,
            data=data,
            axes=letters,
            scale=tuple(map(float, layer.scale)),
            translate=tuple(map(float, layer.translate)),
            units=tuple(layer.units),
            labels=tuple(layer.axis_labels),
            shown={word: getattr(layer, word) for word in words},
            turned=_turned(layer),
        )

    @property
    def shape(self) -> Shape:
        """Pixels along t, c, z, y and x."""
        lengths = dict(zip(self.axes, self.data.shape, strict=True))
        t, c, z, y, x = (lengths.get(axis, 1) for axis in AXES)
        return t, c, z, y, x

    @property
    def info(self) -> ImageInfo:
        """Metadata of its file: distances in micrometres and seconds, or without a unit."""
        sizes: dict[str, float] = {}
        unitless: dict[str, float] = {}
        for axis, step, unit in zip(self.axes, self.scale, self.units, strict=True):
            factor = _in_file_units(axis, unit)
            (unitless if factor is None else sizes)[axis] = step * (factor or 1.0)
        if set(map(abs, unitless.values())) <= {1.0}:
            unitless = {}  # nobody said anything
        t, z, y, x = (abs(unitless[axis]) if axis in unitless else None for axis in "tzyx")
        known: Coordinates = (t, z, y, x)
        return ImageInfo(
            name=self.name,
            axes="".join(axis for axis in AXES if axis in self.axes),
            pixel_size_um=(sizes.get("y"), sizes.get("x")),
            z_step_um=sizes.get("z"),
            frame_interval_s=sizes.get("t"),
            unitless=known,
        )

    def write(self, folder: Path) -> Path:
        """Write it to a TIFF, stack by stack; the file's path.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        name = re.sub(r"[^\w.-]+", "_", self.name).strip("._")[:60]
        path = folder / f"{name or 'layer'}.tif"
        dtype = np.dtype(self.data.dtype)
        dtype = np.dtype("uint8") if dtype.kind == "b" else dtype
        dtype = dtype if dtype.name in _WRITTEN else np.dtype(np.float32)
        sink = create_sink(path, self.shape, dtype.newbyteorder("="), self.info)
        for region, stack in self._stacks():
            sink.write(region, np.ascontiguousarray(stack, dtype=sink.dtype)[None, None])
        sink.publish()
        return path

    def _stacks(self) -> Iterator[tuple[Region, Any]]:
        """Each time point and channel: its region, and its pixels along z, y and x."""
        t, c, *spatial = self.shape
        z, y, x = (slice(0, length) for length in spatial)
        for at in np.ndindex(t, c):
            chosen = dict(zip("tc", at, strict=True))
            time, channel = (slice(one, one + 1) for one in at)
            index = tuple(chosen.get(axis, slice(None)) for axis in self.axes)
            left = [axis for axis in self.axes if axis not in "tc"]
            stack = np.asarray(self.data[index])
            stack = stack.transpose([left.index(axis) for axis in "zyx" if axis in left])
            yield (time, channel, z, y, x), stack.reshape(spatial)


def _in_file_units(axis: str, unit: Any) -> float | None:
    """Micrometres (or seconds) of a unit; None where it is no length (or time)."""
    wanted = "second" if axis == "t" else "micrometer"
    if not unit.is_compatible_with(wanted):
        return None
    return float((1 * unit).to(wanted).magnitude)


def _turned(layer: Any) -> dict[str, Any]:
    rotate, shear, affine = layer.rotate, layer.shear, np.asarray(layer.affine.affine_matrix)
    still = (
        np.allclose(rotate, np.eye(layer.ndim))
        and np.allclose(shear, 0)
        and np.allclose(affine, np.eye(layer.ndim + 1))
    )
    return {} if still else {"rotate": rotate, "shear": shear, "affine": affine}
