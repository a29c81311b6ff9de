"""How intensities come back: error to the truth on held-out images, and totals of real ones.

    python -m benchmarks.studies.intensities [--images N]

writes benchmarks/results/intensities-MODEL.json; `make tables` then writes docs/restore.md.
"""

import argparse
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
from scipy.ndimage import gaussian_filter

from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.images.arrays import ArraySource
from unifmir.interfaces import interface_of
from unifmir.metrics.base import RestoredImage
from unifmir.metrics.intensity_slope import intensity_slope
from unifmir.metrics.nrmse import nrmse
from unifmir.metrics.scores import fitted_to
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.geometry import whole_box
from unifmir.restoration.low_frequencies import ImagePart
from unifmir.restoration.recorded_sampling import RecordedSampling, recorded_view
from unifmir.restoration.resampling import Axes, Resampled
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.restoration.tile_plan import plan_restoration
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity
from unifmir.training.evaluation import simulate_held_out
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for

SEED = 0
DARKEST_PERCENT = 25
"""Background: the part of the recorded pixels that is darkest once noise is smoothed away."""
SMOOTHED_PX = 4.0
"""Standard deviation of the Gaussian that smooths it."""


def main() -> None:
    """Measure every task whose intensities come back, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12, help="held-out images per task")
    images = parser.parse_args().images
    tasks = [name for name, task in TASKS.items() if task.normalization.invertible]
    document = {
        **provenance(f"python -m benchmarks.studies.intensities --images {images}"),
        "model": EMBEDDED,
        "images": images,
        "seed": SEED,
        "rows": [row for task in tasks for row in measured(task, images)],
    }
    write_result(f"intensities-{EMBEDDED}.json", document)


def measured(task: str, images: int) -> Iterator[dict[str, Any]]:
    """Rows of a task: the raw image, and each way in which intensities come back."""
    predictor = predictor_for(ModelChoice(model=EMBEDDED, task=task, device="cpu"))
    scenes = list(simulate_held_out(task, images=images, seed=SEED))
    truths = [scene.target for scene in scenes]
    raws = [raw_at_result(scene.image, predictor) for scene in scenes]
    yield {"task": task, "intensity": "raw", "held_out": errors(raws, truths), "sample": None}
    for intensity in get_args(Intensity):
        options = options_of(task, intensity)
        restored = [restore_array(scene.image, predictor, options=options) for scene in scenes]
        yield {
            "task": task,
            "intensity": intensity,
            "low_frequency_px": TASKS[task].low_frequency_px,
            "default": intensity == intensity_of(predictor.config, Options()),
            "held_out": errors(restored, truths),
            "sample": of_sample(task, predictor, intensity),
        }


def options_of(task: str, intensity: Intensity) -> Options:
    """Options for images whose planes are interpolated already, where the task wants that."""
    factor = 1.0 if TASKS[task].isotropic_sampling else None
    return Options(intensity=intensity, z_factor=factor)


def errors(images: list[RestoredImage], truths: list[RestoredImage]) -> dict[str, float]:
    """Means over images: NRMSE as they are and once a line fits them to the truth, and slope."""
    pairs = [(image.astype(np.float64), truth) for image, truth in zip(images, truths, strict=True)]
    return {
        "nrmse": float(np.mean([nrmse(image, truth) for image, truth in pairs])),
        "nrmse_fitted": float(np.mean([nrmse(fitted_to(i, truth), truth) for i, truth in pairs])),
        "slope": float(np.mean([intensity_slope(image, truth) for image, truth in pairs])),
    }


def of_sample(task: str, predictor: Predictor, intensity: Intensity) -> dict[str, float]:
    """Total and background of the packaged real image, restored over raw."""
    image = sample(task).image
    restored = restore_array(image, predictor, options=options_of(task, intensity))
    raw, sampling = held_against(image, predictor)
    result = at(restored.reshape(sampling.result), sampling.to_recorded)
    smooth = gaussian_filter(raw.astype(np.float64), (0, SMOOTHED_PX, SMOOTHED_PX))
    dark = smooth <= np.percentile(smooth, DARKEST_PERCENT)
    return {
        "raw_mean": float(raw.mean(dtype=np.float64)),
        "mean": float(result.mean(dtype=np.float64)),
        "raw_background": float(raw[dark].mean(dtype=np.float64)),
        "background": float(result[dark].mean(dtype=np.float64)),
    }


def raw_at_result(image: RestoredImage, predictor: Predictor) -> RestoredImage:
    """The image that a result is held against, at the result's sampling, linear between pixels."""
    raw, sampling = held_against(image, predictor)
    enlarged = at(raw, sampling.to_result)
    flat = enlarged.shape[0] == 1
    return enlarged[0] if flat else enlarged


def held_against(
    image: RestoredImage, predictor: Predictor
) -> tuple[RestoredImage, RecordedSampling]:
    """The image that a raw image's result is held against, and the two samplings."""
    source = ArraySource(image, "zyx"[-image.ndim :])
    plan = plan_restoration(source, predictor, options_of(predictor.config.task, "percentile"))
    view = recorded_view(source, 0, 0, interface_of(predictor.config).counterpart)
    return view.read(whole_box(view.size)).astype(np.float32), plan.sampling


def at(stack: RestoredImage, axes: Axes) -> RestoredImage:
    """A whole stack at another sampling."""
    depth, rows, columns = stack.shape
    size = (depth, rows, columns)
    view = Resampled(ImagePart(stack.astype(np.float32), whole_box(size), size), axes)
    return view.read(whole_box(view.size))


if __name__ == "__main__":
    main()
