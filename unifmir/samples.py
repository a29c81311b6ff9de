"""Real microscopy images that ship with the package, one for each task.

They are what a model is measured and verified on when no image is given. Sources, licences and
how each was cut are in `TaskSpec.sample` and data/NOTICE.txt;
benchmarks/studies/make_samples.py makes them again.
"""

import io
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import numpy as np
import tifffile
from jaxtyping import Float32

from unifmir.errors import ImageError
from unifmir.tasks import TASKS
from unifmir.tasks.base import SampleFile


@dataclass(frozen=True, slots=True)
class Sample:
    """One shipped image."""

    image: Float32[np.ndarray, "*axes"]
    """Raw intensities in `TaskSpec.input_axes`."""
    file: SampleFile
    """Description, origin and licence of the image."""


def sample(task: str) -> Sample:
    """Read the sample image of a task.

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
    shipped = TASKS[task].sample
    data = (files("unifmir") / "data" / shipped.file).read_bytes()
    if sha256(data).hexdigest() != shipped.sha256:
        raise ImageError(
            f"the shipped sample {shipped.file} is damaged: its SHA-256 is not the recorded one. "
            "Install unifmir again"
        )
    return Sample(tifffile.imread(io.BytesIO(data)).astype(np.float32), shipped)
