"""Draw the pictures of the documents: each task's sample before and after the embedded model.

    python -m benchmarks.studies.document_pictures [TASK...]

writes docs/pictures/TASK.png, in the contrast that the pictures of `unifmir zoo site` have.
"""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unifmir.atomic import writing
from unifmir.benchmarks.studies.result_files import REPO
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TaskSpec
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.files import restore
from unifmir.zoo.site.sample_pictures import before_and_after

PICTURES = REPO / "docs" / "pictures"
HEIGHT_PX = 320
"""Least height of a picture: small images are enlarged, pixel by pixel."""


def main() -> None:
    """Draw the tasks named, or all."""
    for task in sys.argv[1:] or multitask_parts():
        spec = TASKS[task]
        raw = sample(task).image
        options = Options(z_factor=spec.sample.z_factor)
        restored = restore(raw, EMBEDDED, task=task, options=options)
        _save(task, spec, raw, restored)


def _save(task: str, spec: TaskSpec, raw: NDArray[Any], restored: NDArray[Any]) -> None:
    shown = before_and_after(raw, restored, spec)
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


def _enlarged(image: NDArray[np.uint8], height: int) -> Image.Image:
    rows, columns = image.shape
    return Image.fromarray(image).resize(
        (round(columns * height / rows), height), Image.Resampling.NEAREST
    )


if __name__ == "__main__":
    main()
