"""Output of a restored file: the image, its journal, and what became of the file."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.images.base import Shape, Sink
from unifmir.images.open_files import create_sink
from unifmir.restoration.journal import Journal
from unifmir.restoration.tile_plan import RestorationPlan
from unifmir.zoo.restore.outputs import Job, journal_path

logger = logging.getLogger(__name__)

MAX_CHUNK: Shape = (1, 1, 64, 1024, 1024)
"""Largest chunk of an OME-Zarr image: viewers load whole chunks."""


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """A file that was restored, and how."""

    job: Job
    plan: RestorationPlan
    tiles_resumed: int
    """Finished by an earlier run that was interrupted."""
    seconds: float
    """Restoring, without loading and planning."""
    peak_memory_bytes: int
    """Largest resident set of the process, or on a cluster of the largest worker."""
    ran: dict[str, Any]
    """Facts of what ran: `model`, `runtime`, `library`, `device`, `provider`, `precision`..."""

    @property
    def tiles(self) -> int:
        """Tiles of the plan, resumed ones included."""
        return len(self.plan.tiles)

    @property
    def megapixels_per_second(self) -> float:
        """Source pixels restored by this run, over its time."""
        fresh = prod(self.plan.shape) * (1 - self.tiles_resumed / max(1, self.tiles))
        return fresh / 1e6 / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Facts as JSON values; shapes are (T, C, Z, Y, X)."""
        plan = self.plan
        return {
            "input": str(self.job.source),
            "output": str(self.job.target),
            "shape": list(plan.shape),
            "out_shape": list(plan.out_shape),
            "tile_shape": list(plan.tile_shape),
            "halo": list(plan.geometry.halo),
            "tiles": self.tiles,
            "tiles_resumed": self.tiles_resumed,
            "pixels": prod(plan.shape),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "ran": self.ran,
        }


def create_output(target: Path, plan: RestorationPlan) -> Sink:
    """Create the file that a plan is written to, float32, in chunks that no two tiles share."""
    return create_sink(
        target,
        plan.out_shape,
        np.dtype(np.float32),
        plan.out_info,
        chunks=output_chunks(plan.tile_shape),
    )


def output_chunks(tile_shape: Shape) -> Shape:
    """The largest chunks that divide a tile and are not too large to look at."""
    t, c, z, y, x = (
        next(length // n for n in range(1, length + 1) if length % n == 0 and length // n <= most)
        for length, most in zip(tile_shape, MAX_CHUNK, strict=True)
    )
    return t, c, z, y, x


def open_journal(job: Job, ran: Mapping[str, Any]) -> Journal:
    """Open the journal of which tiles of this very work are finished."""
    return Journal(journal_path(job.target), source=source_identity(job), model=model_identity(ran))


def warn_if_begun_anew(job: Job, journal: Journal) -> None:
    """Say that an interrupted run was not gone on with, and why."""
    if journal.ignored:
        logger.warning("%s is begun anew: %s", job.target.name, journal.ignored)


def source_identity(job: Job) -> str:
    """Axes, name, size and modification time of a file, or of what describes an OME-Zarr image."""
    path = job.source
    described = [path / name for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray")]
    file = next((one for one in described if one.is_file()), path)
    found = file.stat()
    return f"{path.name} {job.axes or ''} {found.st_size} {found.st_mtime_ns}"


def model_identity(ran: Mapping[str, Any]) -> str:
    """Text of all that decides the numbers: weights, precision, runtime and its library."""
    names = ("weights", "task", "precision", "fast", "runtime", "library", "version", "provider")
    return json.dumps({name: ran.get(name) for name in names}, sort_keys=True)
