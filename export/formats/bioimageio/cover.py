"""The cover picture: input and output side by side, 2:1, under 500 kB whatever is on it."""

import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from unifmir.config import SingleConfig
from unifmir.export.formats.bioimageio.package_axes import tile_rule
from unifmir.export.formats.bioimageio.tensors import (
    Batch,
    RawImage,
    preprocess,
    restore,
    test_image,
)
from unifmir.interfaces import interface_of
from unifmir.tasks import TASKS

PANEL_PX = 480
"""Two 8-bit panels hold 460,800 bytes before compression: noise cannot exceed the 500 kB."""
LIMIT_BYTES = 500_000
_STRETCH = (0.5, 99.7)
"""Percentiles shown as black and white."""
_GAP_PX = 4


def cover_png(
    module: nn.Module,
    config: SingleConfig,
    image: RawImage,
    tested: tuple[Batch, Batch] | None = None,
) -> bytes:
    """PNG of a crop of a real image beside its restoration.

    Parameters
    ----------
    module : module
        The image interface with the weights as stored.
    image : array
        Raw intensities in the task's input axes.
    tested : pair of arrays, optional
        A crop of the image and its restoration. Where the task shows one section of a cube, it is
        theirs: another cube takes as long to restore as the test image.
    """
    task = TASKS[config.task]
    if tested is not None and task.cover.view == "section":
        # Test images go beyond a small image by reflection; that is not shown.
        side = min(*tested[0].shape[2:], *image.shape)
        raw, restored = (one[..., :side, :side, :side] for one in tested)
    else:
        # On the grid of attention windows, or of lenses.
        raw = test_image(image, _crop_sizes(config, image), multiple_of=tile_rule(config).step)
        restored = restored_view(module, config, raw)
    left, right = (shown_plane(one[0, 0], config.task) for one in (raw, restored))
    panels = np.concatenate([_panel(left), _panel(right)], axis=1)
    panels[:, PANEL_PX - _GAP_PX // 2 : PANEL_PX + _GAP_PX // 2] = 255
    file = io.BytesIO()
    Image.fromarray(panels).save(file, format="PNG", optimize=True)
    return file.getvalue()


def restored_view(module: nn.Module, config: SingleConfig, raw: Batch) -> Batch:
    """Restoration of a crop; of one window of planes its middle one alone, which is what is shown.

    Parameters
    ----------
    module : module
        The image interface.
    config : SingleConfig
    raw : array
        Raw intensities, (1, 1, y, x) or (1, 1, z, y, x).

    Returns
    -------
    array
        In normalised units: the interface's result, or (1, 1, y, x) of the middle plane where it
        would restore all of them, in as many times the time.
    """
    normalization = config.normalization
    if not interface_of(config).neighbours or TASKS[config.task].cover.view != "middle":
        return restore(module, raw, normalization)
    network: nn.Module = module.network  # type: ignore[assignment]  # the interface's
    window = torch.from_numpy(preprocess(raw, normalization)[:, 0])
    with torch.inference_mode():
        plane: Batch = network(window).numpy()
    return plane


def _crop_sizes(config: SingleConfig, image: RawImage) -> tuple[int, ...]:
    """Sizes of the crop: restored within seconds at the paper's size, square in the view."""
    cover, row = TASKS[config.task].cover, interface_of(config)
    lens = row.lens_px(config.signature)
    side = min(cover.side * lens, *image.shape[-2:]) // lens * lens
    if image.ndim == 2:
        return (side, side)
    planes = min(cover.planes or len(image), len(image))
    if cover.view == "section":
        side = planes = min(side, planes)
    elif row.neighbours or row.depth == "fixed":
        planes = config.signature.channels
    return (planes, side, side)


def shown_plane(image: RawImage, task: str) -> np.ndarray:
    """The plane of an image or stack that shows what a task is about; any axes, dtype and range."""
    view = TASKS[task].cover.view
    if image.ndim == 2:
        return image
    if view == "section":
        return np.asarray(image[:, image.shape[1] // 2])
    return np.asarray(image[len(image) // 2] if view == "middle" else image.max(axis=0))


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
