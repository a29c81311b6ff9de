"""Cases that an artifact is verified on: real and random images, of the sizes that are wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unifmir.config import SingleConfig
from unifmir.export.case_sizes import SizedCase, Sizing, case_size, verified_shapes
from unifmir.images import read_image
from unifmir.interfaces import InputKind, interface_of, shape_of
from unifmir.networks.interface import BRIGHTEST_FRACTION
from unifmir.normalize import normalize
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from torch import Tensor

SEED = 20240412
RAW_COUNTS = (100.0, 4095.0)
"""Smallest and largest count of a random raw image: a camera's offset, and twelve bits."""
TRACED = (3, 9, 17)
"""Depth, height and width of the image that graphs are traced with, in network pixels."""
CALIBRATION_CROPS = 4
"""Crops that value ranges are measured on."""
CALIBRATION_SIDE = 64
"""Their height and width."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input of a verification."""

    source: str
    """`real` or `random`."""
    image: np.ndarray
    """float32, in the shape the artifact takes."""
    sizing: Sizing


def example(config: SingleConfig, interface: InputKind) -> "Tensor":
    """Tensor that a module is exported with: float32 in [0, 1], its shape of unlike sizes."""
    return _filled(verified_shapes(config, interface)[0])


def traced_example(config: SingleConfig, interface: InputKind) -> "Tensor":
    """Tensor that a graph is traced with: float32 in [0, 1], its shape of small, unlike sizes."""
    return _filled(shape_of(config, interface, batch=2, size=case_size(config, interface, TRACED)))


def _filled(shape: tuple[int, ...]) -> "Tensor":
    import torch

    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def cases(
    config: SingleConfig,
    interface: InputKind,
    real: np.ndarray,
    sized: Sequence[SizedCase],
    *,
    seed: int = 0,
) -> list[Case]:
    """Inputs for an artifact of `config`.

    Parameters
    ----------
    config : SingleConfig
    interface : {"network", "image", "raw"}
    real : ndarray
        A raw image in the task's input axes, any numeric type and range.
    sized : sequence of SizedCase
        Shapes of the inputs.
    seed : int
        Of what fills those that are not fixed.
    """
    row = interface_of(config)
    low, high = {
        "network": row.network_range,
        "image": row.image_range,
        "raw": RAW_COUNTS,
    }[interface]
    always, anew = np.random.default_rng(SEED), np.random.default_rng((SEED, seed))
    found = []
    for one in sized:
        rng = always if one.sizing == "fixed" else anew
        for source in one.sources:
            if source == "random":
                image = low + (high - low) * rng.random(one.shape, dtype=np.float32)
                # Counts are whole numbers, of which many are equal.
                image = image.round() if interface == "raw" else image
            else:
                image = real_input(config, interface, real, one.shape, rng)
            found.append(Case(source, image.astype(np.float32, copy=False), one.sizing))
    return found


def real_input(
    config: SingleConfig,
    interface: InputKind,
    raw: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Crops of a real image, float32, in the artifact's input shape.

    Normalised as the task does, but for `raw`, which takes them as they are.
    Where the image is smaller than the wanted size it is continued by reflection.
    """
    image = raw if interface == "raw" else normalize(raw, config.normalization)[0]
    row = interface_of(config)
    if row.lenses:
        n = row.lens_px(config.signature)
        crops = [_light_field_crop(n, interface, image, shape, rng) for _ in range(shape[0])]
    elif interface == "network" and row.axial:
        # The network sees slices with rows y (or x) and columns z.
        crops = [_crop(image.transpose(2, 1, 0), shape[1:], rng) for _ in range(shape[0])]
    elif image.ndim == len(shape) - 1:
        crops = [_crop(image, shape[1:], rng) for _ in range(shape[0])]
    else:
        crops = [_crop(image, shape[2:], rng)[None] for _ in range(shape[0])]
    return np.ascontiguousarray(np.stack(crops), dtype=np.float32)


def named(item: str | Path | np.ndarray) -> str:
    """Name of a calibration image, as a command would give it.

    An array, of any shape, dtype and range, is named by its shape.
    """
    if isinstance(item, np.ndarray):
        return f"ARRAY-{'x'.join(map(str, item.shape))}.tif"
    return str(item)


def calibration_image(item: str | Path | np.ndarray, task: str) -> np.ndarray:
    """A calibration image, raw intensities of any dtype, in the shape of the task's input axes."""
    if isinstance(item, np.ndarray):
        return item
    return read_image(Path(item), TASKS[task].input_axes)


def calibration_inputs(
    config: SingleConfig,
    interface: InputKind,
    images: list[np.ndarray],
    *,
    count: int = CALIBRATION_CROPS,
    side: int = CALIBRATION_SIDE,
) -> "list[Tensor]":
    """Inputs to measure value ranges on: crops of the raw images, of moderate size.

    They are `count` together, or one of each image where that is more, and `side` network pixels
    high and wide, or what `case_size` makes of it. Each is float32, normalised, in the input shape
    of the interface.
    """
    import torch

    rng = np.random.default_rng(SEED)
    size = case_size(config, interface, (5, side, side))
    inputs = []
    for raw in images:
        for _ in range(max(1, count // len(images))):
            shape = shape_of(config, interface, batch=1, size=size)
            inputs.append(torch.from_numpy(real_input(config, interface, raw, shape, rng)))
    return inputs


def _crop(image: np.ndarray, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random crop, continued by reflection where the image is too small."""
    padding = [(0, max(0, want - have)) for want, have in zip(size, image.shape, strict=True)]
    image = np.pad(image, padding, mode="symmetric")
    starts = [int(rng.integers(0, h - w + 1)) for w, h in zip(size, image.shape, strict=True)]
    return image[tuple(slice(s, s + w) for s, w in zip(starts, size, strict=True))]


def _light_field_crop(
    n: int,
    interface: InputKind,
    image: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """A crop that begins with a whole lens, as raw light field or as views in [-1, 1]."""
    rows, columns = image.shape[0] // n, image.shape[1] // n
    lenses = image[: rows * n, : columns * n].reshape(rows, n, columns, n)
    height, width = shape[-2:] if interface == "network" else (shape[-2] // n, shape[-1] // n)
    # Axes (row of lenses, column of lenses, row of view, column of view): whole lenses are cut.
    cut = _crop(lenses.transpose(0, 2, 1, 3), (height, width, n, n), rng)
    if interface != "network":
        return cut.transpose(0, 2, 1, 3).reshape(1, height * n, width * n)
    views = cut.transpose(2, 3, 0, 1).reshape(n * n, height, width)
    return views / (BRIGHTEST_FRACTION * max(float(views.max()), 1e-6)) - 1
