"""The cover picture: input and output side by side, 2:1, under 500 kB whatever is on it."""

import io

import numpy as np
from PIL import Image
from torch import nn

from unifmir.config import SingleConfig
from unifmir.export.formats.bioimageio.package_axes import tile_rule
from unifmir.export.formats.bioimageio.tensors import restore, test_image
from unifmir.tasks import TASKS

PANEL_PX = 480
"""Two 8-bit panels hold 460,800 bytes before compression: noise cannot exceed the 500 kB."""
LIMIT_BYTES = 500_000
_STRETCH = (0.5, 99.7)
"""Percentiles shown as black and white."""
_GAP_PX = 4


def cover_png(module: nn.Module, config: SingleConfig, image: np.ndarray) -> bytes:
    """Restore a crop of a real image and show it beside the result.

    Parameters
    ----------
    module : module
        The image interface with the weights as stored.
    image : ndarray
        Raw, in the task's input axes.
    """
    task = TASKS[config.task]
    raw = test_image(image, _crop_sizes(config, image), multiple_of=tile_rule(config).step)
    restored = restore(module, raw, task.normalization)
    left, right = _plane(raw, config), _plane(restored, config)
    panels = np.concatenate([_panel(left), _panel(right)], axis=1)
    panels[:, PANEL_PX - _GAP_PX // 2 : PANEL_PX + _GAP_PX // 2] = 255
    file = io.BytesIO()
    Image.fromarray(panels).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _crop_sizes(config: SingleConfig, image: np.ndarray) -> tuple[int, ...]:
    """What is affordable within seconds at the paper's size, square in the plane shown."""
    if config.task == "volume":
        n = tile_rule(config).step
        side = min(*image.shape, 24 * n) // n * n
        return (side, side)
    if config.task == "isotropic":
        # 60 cubed is 120 sections of 60 x 60: about 10 s on two cores.
        return (min(60, *image.shape),) * 3
    planes = min(16, len(image)) if config.signature.volumetric else config.signature.channels
    if config.task == "projection":
        planes = len(image) if config.signature.volumetric else planes
        return (planes,) + (min(96, *image.shape[1:]),) * 2
    side = min(120 if config.task == "sr" else 160, *image.shape[-2:])
    return (side, side) if image.ndim == 2 else (planes, side, side)


def _plane(image: np.ndarray, config: SingleConfig) -> np.ndarray:
    """The plane worth showing: a section along z for isotropic, a projection for volumes."""
    spatial: np.ndarray = image[0, 0]
    if spatial.ndim == 2:
        return spatial
    if config.task == "isotropic":
        section: np.ndarray = spatial[:, spatial.shape[1] // 2, :]
        return section
    if config.task == "denoise":
        middle: np.ndarray = spatial[spatial.shape[0] // 2]
        return middle
    brightest: np.ndarray = spatial.max(axis=0)
    return brightest


def _panel(plane: np.ndarray) -> np.ndarray:
    """A plane stretched to 8 bits and to a square."""
    low, high = np.percentile(plane, _STRETCH)
    shown = np.clip((plane - low) / max(float(high - low), 1e-12), 0, 1)
    picture = Image.fromarray((shown * 255).round().astype(np.uint8))
    # Hard edges show the sampling, but only whole factors keep pixels equally large.
    whole = PANEL_PX % picture.width == 0 and PANEL_PX % picture.height == 0
    method = Image.Resampling.NEAREST if whole else Image.Resampling.BICUBIC
    square: np.ndarray = np.asarray(picture.resize((PANEL_PX, PANEL_PX), method), np.uint8).copy()
    return square
