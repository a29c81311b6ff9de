"""Simulated pairs as a lab would have them: two folders of TIFF files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unifmir.file_locks import held
from unifmir.images.image_files import write_tiff
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks import TASKS
from unifmir.tasks.base import Lens

INPUT, TRUTH = "input", "truth"
SPLIT = "lab"
"""Scenes of their own: neither those of training nor the held-out ones."""
DENSITY_COUNTS = 10_000
"""Counts for a density of 1, the truth of a light field."""


def simulate_folder(
    out: Path,
    task: str,
    *,
    images: int,
    size: int | None = None,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> list[Path]:
    """Write simulated pairs of a task, as uint16 counts of a camera, with their pixel sizes.

    Light fields say none: they are simulated in pixels, which no lens has given a size.
    The same arguments give the same bytes; files that are there are replaced one by one.

    Parameters
    ----------
    out : Path
        A folder; `input/` and `truth/` are made in it, with files of the same names.
    task : str
    images : int
    size : int, optional
        Side of the input in pixels, lenses for light fields; None: the task's evaluation size.
    seed : int

    Returns
    -------
    list of Path
        All files, inputs and truths in turn.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    InUseError
        Another process is writing it.
    """
    row = TASKS[task]
    side = row.evaluation.size if size is None else size
    digits = max(4, len(str(images - 1)))
    written = []
    with held(out / INPUT):
        for index in range(images):
            scene = simulate_pair(task, generator(task, seed, SPLIT, index), side)
            counts = DENSITY_COUNTS if row.normalization.inside else 1
            pairs = (
                (INPUT, scene.image, row.input_axes, 1),
                (TRUTH, scene.target * counts, row.output_axes, _magnification(scene)),
            )
            for folder, values, axes, finer in pairs:
                path = out / folder / f"{index:0{digits}d}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(values.round(), 0, 65535).astype(np.uint16)
                pixel_um, z_step_um = _sampling(scene.lens, finer)
                write_tiff(path, pixels, axes, pixel_um, z_step_um=z_step_um)
                written.append(path)
            if on_image is not None:
                on_image()
    return written


def _magnification(scene: SimulatedPair) -> int:
    """How much more finely the truth is sampled."""
    return int(scene.target.shape[-1] // scene.image.shape[-1])


def _sampling(lens: Lens | None, finer: int) -> tuple[float | None, float | None]:
    """Pixel size and distance of planes, in um."""
    if lens is None:
        return None, None
    return lens.pixel_um / finer, lens.z_step_um or lens.pixel_um
