"""Real microscopy images that ship with the package, one for each task.

They are what a model is measured and verified on when no image is given. Sources, licences and
how each was cut are in data/samples.json and data/NOTICE.txt; benchmarks/make_samples.py makes
them again.
"""

import io
import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.tasks import TASKS


@dataclass(frozen=True, slots=True)
class Sample:
    """One shipped image."""

    image: NDArray[np.float32]
    """Raw intensities in `TaskSpec.input_axes`."""
    name: str
    description: str
    """What it shows, and what was done to it."""
    source: str
    """Package, version and file it was cut from."""
    licence: str
    """SPDX identifier."""
    authors: tuple[str, ...]
    pixel_size_um: float | None
    """Lateral; None where the source does not say."""


def sample_names() -> tuple[str, ...]:
    """The tasks that have a sample: all of them."""
    return tuple(TASKS)


def sample(task: str) -> Sample:
    """The sample image of a task.

    Parameters
    ----------
    task : str
        A name in `TASKS`.

    Raises
    ------
    UnknownNameError
        No such task.
    ImageError
        The installed file is not the one that was shipped.
    """
    spec = TASKS[task]
    row = manifest()[spec.name]
    data = (files("unifmir") / "data" / row["file"]).read_bytes()
    if sha256(data).hexdigest() != row["sha256"]:
        raise ImageError(
            f"the shipped sample {row['file']} is damaged: its SHA-256 is not the recorded one. "
            "Install unifmir again"
        )
    image = tifffile.imread(io.BytesIO(data)).astype(np.float32)
    return Sample(
        image=image,
        name=row["name"],
        description=row["description"],
        source=row["source"],
        licence=row["licence"],
        authors=tuple(row["authors"]),
        pixel_size_um=row["pixel_size_um"],
    )


def manifest() -> dict[str, dict[str, Any]]:
    """data/samples.json: by task, the file, its SHA-256, shape, dtype, origin and licence."""
    text = (files("unifmir") / "data" / "samples.json").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = json.loads(text)
    return rows
