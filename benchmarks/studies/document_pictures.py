"""Draw the pictures of the documents: each task's sample before and after the embedded model.

    python -m benchmarks.studies.document_pictures [TASK...]

writes docs/pictures/TASK.png. Both halves have one contrast, between percentiles of the raw image,
where the result is in its intensities; each its own where the result's values are relative.
"""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unifmir.atomic import writing
from unifmir.benchmarks.studies.document_tables import REPO
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TaskSpec
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.files import restore

PICTURES = REPO / "docs" / "pictures"
CONTRAST_PERCENT = (1.0, 99.8)
"""Percentiles shown as black and white, as in Fiji's automatic contrast."""
HEIGHT_PX = 320
"""Least height of a picture: small images are enlarged, pixel by pixel."""


def main() -> None:
    """Draw the tasks named, or all."""
    for task in sys.argv[1:] or multitask_parts():
        spec = TASKS[task]
        raw = sample(task).image
        # The sample of isotropic is interpolated along z already.
        options = Options(z_factor=1.0) if spec.isotropic_sampling else Options()
        restored = restore(raw, EMBEDDED, task=task, options=options)
        _save(task, spec, raw, restored)


def _save(task: str, spec: TaskSpec, raw: NDArray[Any], restored: NDArray[Any]) -> None:
    before, after = shown_plane(raw, spec), shown_plane(restored, spec)
    limits = np.percentile(before, CONTRAST_PERCENT)
    shown = [shown_greys(before, limits)]
    if spec.normalization.invertible:
        shown.append(shown_greys(after, limits))
    else:
        shown.append(shown_greys(after, np.percentile(after, CONTRAST_PERCENT)))
    height = max(HEIGHT_PX, *(image.shape[0] for image in shown))
    halves = [_enlarged(image, height) for image in shown]
    width = sum(half.width for half in halves) + 8
    whole = Image.new("L", (width, height), 255)
    whole.paste(halves[0], (0, 0))
    whole.paste(halves[1], (halves[0].width + 8, 0))
    data = io.BytesIO()
    whole.save(data, "PNG", optimize=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with writing(PICTURES / f"{task}.png") as aside:
        aside.write_bytes(data.getvalue())


def shown_plane(image: NDArray[Any], spec: TaskSpec) -> NDArray[Any]:
    """Plane of an image, any axes and range, as the cover of a package shows its task."""
    if image.ndim == 2:
        return image
    if spec.cover.view == "section":
        section: NDArray[Any] = image[:, image.shape[1] // 2]
        return section
    if spec.cover.view == "maximum":
        highest: NDArray[Any] = image.max(axis=0)
        return highest
    middle: NDArray[Any] = image[image.shape[0] // 2]
    return middle


def shown_greys(image: NDArray[Any], limits: NDArray[Any]) -> NDArray[np.uint8]:
    """Greys of a plane of shape (y, x), any real values, black and white at two limits."""
    low, high = (float(limit) for limit in limits)
    return (np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)


def _enlarged(image: NDArray[np.uint8], height: int) -> Image.Image:
    rows, columns = image.shape
    return Image.fromarray(image).resize(
        (round(columns * height / rows), height), Image.Resampling.NEAREST
    )


if __name__ == "__main__":
    main()
