"""Pictures of the sample image of a task, before a model and after it."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from unifmir.export.formats.bioimageio.cover import shown_plane
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.tasks.base import TaskSpec

CONTRAST_PERCENT = (1.0, 99.8)
"""Percentiles shown as black and white, as in Fiji's automatic contrast."""
Plane = Shaped[np.ndarray, "rows columns"]
Greys = UInt8[np.ndarray, "rows columns"]


def write_pictures(model: str, predictor: Predictor, folder: Path) -> dict[str, Any]:
    """Restore a task's sample image and write it before and after as PNG.

    Parameters
    ----------
    folder : Path
        Of the site.

    Returns
    -------
    dict
        `before` and `after`, paths in the site; `width` and `height` in pixels of the latter.
    """
    task = TASKS[predictor.config.task]
    options = Options(z_factor=task.sample.z_factor)
    raw = sample(task.name).image
    pixels = before_and_after(raw, restore_array(raw, predictor, options=options), task)
    paths = f"pictures/{task.name}.png", f"pictures/{model}/{task.name}.png"
    for path, shown in zip(paths, pixels, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shown).save(folder / path, optimize=True)
    height, width = pixels[1].shape
    return {"before": paths[0], "after": paths[1], "width": width, "height": height}


def before_and_after(
    raw: Shaped[np.ndarray, "..."], restored: Shaped[np.ndarray, "..."], task: TaskSpec
) -> tuple[Greys, Greys]:
    """Greys of an image and its result, any axes and range.

    Both have one contrast, between percentiles of the raw image, where the result is in its
    intensities; each its own where the result's values are relative.
    """
    before, after = shown_plane(raw, task.name), shown_plane(restored, task.name)
    limits = np.percentile(before, CONTRAST_PERCENT)
    own = limits if task.normalization.invertible else np.percentile(after, CONTRAST_PERCENT)
    return shown_greys(before, limits), shown_greys(after, own)


def shown_greys(image: Plane, limits: Shaped[np.ndarray, "2"]) -> Greys:
    """Greys of a plane of any real values, black and white at two limits."""
    low, high = (float(limit) for limit in limits)
    share = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    return (share * 255).astype(np.uint8)
