"""A part of a file's result, in a file of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unifmir.images.base import Region, whole_region
from unifmir.images.open_files import create_sink
from unifmir.restoration.region import RestoredRegion, restore_region
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, OnProgress
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.restored_file import provenance_of


@dataclass(frozen=True, slots=True)
class RegionFile:
    """A file that holds a part of a result, and how it was restored."""

    job: Job
    part: RestoredRegion
    ran: Mapping[str, Any]
    """Facts of what ran, as those of `RestoredFile`."""

    def to_dict(self) -> dict[str, Any]:
        """Facts as JSON values; shapes and the region of the whole result are (T, C, Z, Y, X)."""
        plan, part = self.part.plan, self.part
        return {
            "status": "restored",
            "input": str(self.job.source),
            "output": str(self.job.target),
            "region": [[one.start, one.stop] for one in part.region],
            "shape": list(plan.shape),
            "out_shape": list(part.values.shape),
            "tiles": part.tiles,
            "seconds": round(part.seconds, 3),
            "sampling": part.sampling,
            **plan.intensity_facts(),
            "notes": list(plan.notes),
            "ran": dict(self.ran),
        }


def restore_region_file(
    job: Job,
    choice: ModelChoice,
    options: Options,
    region: Region,
    *,
    on_progress: OnProgress | None = None,
) -> RegionFile:
    """Restore what lies in a region of a file's image to a file of real numbers.

    Nothing is kept of a run that is interrupted.

    Raises
    ------
    ImageError
        The image does not fit the task, or the region does not lie in it.
    UnifmirError
        The model cannot be had or run, or the file cannot be written.
    """
    predictor = predictor_for(choice)
    source = job.opened()
    try:
        told = None if on_progress is None else partial(on_progress, job)
        part = restore_region(source, region, predictor, options, on_progress=told)
    finally:
        source.close()
    info = replace(part.info, provenance=provenance_of(part.plan, predictor.ran, options))
    sink = create_sink(job.target, part.values.shape, np.dtype(np.float32), info)
    sink.write(whole_region(sink.shape), part.values)
    sink.publish()
    return RegionFile(job, part, predictor.ran)
