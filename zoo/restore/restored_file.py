"""Output of a restored file: the image, its journal, and what became of the file."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.addresses import url_of
from unifmir.images.base import Shape, Sink
from unifmir.images.open_files import create_sink
from unifmir.images.rounded_output import RoundingSink
from unifmir.json_values import json_form
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan
from unifmir.shown_text import without_secrets
from unifmir.tasks import TASKS
from unifmir.version import __version__
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
    clipped: int
    """Pixels that were clipped to what the result's type holds, by all processes and runs."""
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
            "status": "restored",
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
            "clipped_pixels": self.clipped,
            "sampling": plan.result_sampling,
            **plan.intensity_facts(),
            "notes": list(plan.notes),
            "ran": self.ran,
        }


def create_output(
    job: Job, plan: RestorationPlan, ran: Mapping[str, Any], options: Options
) -> Sink:
    """Create the file that a plan is written to, in chunks that no two tiles share.

    Parameters
    ----------
    job : Job
        Target, and which pixels: float32, or those of the source.
    ran : mapping
        Facts of what runs, for the provenance in the file's metadata.
    options : Options
        The user's, for the provenance too.

    Raises
    ------
    ImageError
        The file cannot hold the image, or the result has no pixels of the source's type.
    """
    _warn_of_time_like_planes(job, plan)
    dtype = np.dtype(np.float32) if job.pixels == "float32" else _source_dtype(job, plan)
    sink = create_sink(
        job.target,
        plan.out_shape,
        dtype,
        replace(plan.out_info, provenance=provenance_of(plan, ran, options)),
        chunks=output_chunks(plan.tile_shape),
    )
    return RoundingSink(sink, job.target.name) if dtype.kind in "iu" else sink


def _source_dtype(job: Job, plan: RestorationPlan) -> np.dtype[Any]:
    if not TASKS[plan.config.task].normalization.invertible:
        raise ImageError(
            f"{job.source.name}: {plan.config.task} gives relative values from 0 to 1, which are "
            "no intensities of the image: leave --dtype input out"
        )
    source = job.opened()
    source.close()
    if source.dtype.kind == "b":
        raise ImageError(
            f"{job.source.name}: pixels of one bit hold no restored intensity: leave --dtype "
            "input out"
        )
    return source.dtype


def _warn_of_time_like_planes(job: Job, plan: RestorationPlan) -> None:
    """Say that a stack is restored plane by plane, as a time series: many are saved as one."""
    times, _, planes, *_ = plan.shape
    task = TASKS[plan.config.task]
    if job.axes is None and times > 1 and planes == 1 and "z" in task.input_axes:
        told = plan.out_info.axes.replace("z", "").replace("t", "z")
        logger.warning(
            "%s is read as %d time points of one plane each; if they are the planes of a stack, "
            "say so: --axes %s",
            job.source.name,
            times,
            told,
        )


def provenance_of(plan: RestorationPlan, ran: Mapping[str, Any], options: Options) -> str:
    """How a result is made, as JSON: version, task, model, weights and settings.

    It names what decides the pixels and nothing else, so that a run that goes on writes the same.
    """
    names = ("precision", "fast", "runtime", "library")
    settings = {name: ran.get(name) for name in names}
    settings["library_version"] = ran.get("version")
    chosen = asdict(replace(options, batch=None, max_memory_bytes=None))
    default = asdict(Options())
    settings |= {name: value for name, value in chosen.items() if value != default[name]}
    said = {
        "version": __version__,
        "task": plan.config.task,
        "model": ran.get("model"),
        "weights_sha256": ran.get("weights"),
        "settings": settings,
        **plan.intensity_facts(),
    }
    return json.dumps(json_form(said), default=str)


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
    """Axes, series, channel, name, size and time of change of a file or of a Zarr's own words."""
    path = job.source
    if (url := url_of(path)) is not None:
        # The journal is a file: no password of an address goes there.
        return f"{without_secrets(url)} {job.axes or ''} {_chosen(job)}"
    described = [path / name for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray")]
    file = next((one for one in described if one.is_file()), path)
    found = file.stat()
    return f"{path.name} {job.axes or ''} {_chosen(job)} {found.st_size} {found.st_mtime_ns}"


def _chosen(job: Job) -> str:
    series = "" if job.series is None else f"{job.series}"
    return series if job.channel is None else f"{series} channel {job.channel}"


def model_identity(ran: Mapping[str, Any]) -> str:
    """Text of all that decides the numbers: weights, precision, runtime and its library."""
    names = ("weights", "task", "precision", "fast", "runtime", "library", "version", "provider")
    return json.dumps({name: ran.get(name) for name in names}, sort_keys=True)
