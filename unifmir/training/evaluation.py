"""How good a model is on held-out simulated images, beside the simple methods of its task.

Every candidate, the model included, is granted the scale and offset that fit the truth best
(least squares): a filter is not punished for units, and a model not rewarded for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from unifmir.checkpoint.pruning import prune
from unifmir.config import MultiTaskConfig, SingleConfig
from unifmir.interfaces import reads_single_planes
from unifmir.metrics import METRICS
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.normalize import normalize
from unifmir.registry import resolve
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks import TASKS
from unifmir.training.pool import check_fits

Array = NDArray[np.float32]
Runner = Callable[[Array], Array]
HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the test images."""

    psnr_db: float
    ssim: float
    nrmse: float
    """Root of the mean squared error over the range of the truth."""
    slope: float
    """Of the line from the truth to the candidate as it is, in photons and before any fit: 1
    keeps intensities."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One task."""

    task: str
    images: int
    seed: int
    model: Score
    baselines: Mapping[str, Score]

    @property
    def best_baseline(self) -> str:
        """Name of the simple method with the highest PSNR."""
        return max(self.baselines, key=lambda name: self.baselines[name].psnr_db)

    @property
    def gain_db(self) -> float:
        """PSNR of the model minus that of the best simple method."""
        return self.model.psnr_db - self.baselines[self.best_baseline].psnr_db

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""

        def plain(score: Score) -> dict[str, float]:
            return {k: round(v, METRICS[k].decimals) for k, v in asdict(score).items()}

        return {
            "images": self.images,
            "seed": self.seed,
            "size": TASKS[self.task].evaluation.size,
            "model": plain(self.model),
            "baselines": {name: plain(score) for name, score in self.baselines.items()},
            "best_baseline": self.best_baseline,
            "gain_db": round(self.gain_db, 3),
        }


def evaluate(
    network: Network,
    task: str,
    *,
    images: int,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> Evaluation:
    """Evaluate a model on held-out simulated images of a task.

    Parameters
    ----------
    network : Network
        Multi-task, or single-task for `task`.
    images : int
        Test images; their random numbers are never used in training.
    seed : int

    Raises
    ------
    CheckpointError
        The model restores another task, or images of another make.
    """
    check_fits(network.config, task)
    single = prune(network, task) if isinstance(network.config, MultiTaskConfig) else network
    run, planes = runner_of(single), reads_single_planes(single.config)
    baselines = resolve(TASKS[task].evaluation.baselines)
    scores: dict[str, list[Score]] = {}
    for scene in held_out(task, images=images, seed=seed):
        candidates = {"model": restored(run, scene, planes=planes), **baselines(scene)}
        for name, candidate in candidates.items():
            scores.setdefault(name, []).append(score(candidate, scene.target))
        if on_image is not None:
            on_image()
    means = {name: mean_score(rows) for name, rows in scores.items()}
    return Evaluation(task, images, seed, means.pop("model"), means)


def quality(run: Runner, config: SingleConfig, *, images: int, seed: int = 0) -> Score:
    """How good one way of running a model is on the held-out images: any runtime or precision.

    Parameters
    ----------
    run : callable
        The image interface: float32 array in, float32 array out.
    config : SingleTaskConfig or ReferenceConfig
    """
    planes = reads_single_planes(config)
    return mean_score(
        [
            score(restored(run, scene, planes=planes), scene.target)
            for scene in held_out(config.task, images=images, seed=seed)
        ]
    )


def held_out(task: str, *, images: int, seed: int) -> Iterator[SimulatedPair]:
    """Test scenes; their random numbers are never used in training."""
    size = TASKS[task].evaluation.size
    for index in range(images):
        yield simulate_pair(task, generator(task, seed, HELD_OUT, index), size)


def runner_of(single: Network) -> Runner:
    """The network's image interface in eager PyTorch."""
    module = image_interface(single)

    def run(image: Array) -> Array:
        with torch.inference_mode():
            out: Array = module(torch.from_numpy(image)).numpy()
        return out

    return run


def restored(run: Runner, scene: SimulatedPair, *, planes: bool) -> Array:
    """What a model makes of a scene's whole image, mapped back to the image's intensities."""
    image, scaling = normalize(scene.image, TASKS[scene.task].normalization)
    image = np.ascontiguousarray(image, dtype=np.float32)
    out = run(image[:, None] if planes else image[None, None])
    return scaling.invert(out[:, 0] if planes else out[0, 0])


def mean_score(rows: Sequence[Score]) -> Score:
    """The mean of each figure."""
    return Score(*(float(np.mean(column)) for column in zip(*map(astuple, rows), strict=True)))


def score(candidate: Array, truth: Array) -> Score:
    """Compare an image with the truth, both in photons, by every metric of `METRICS`."""
    fitted = _fitted(candidate, truth)
    rows = (METRICS[field.name] for field in fields(Score))
    return Score(*(row.measure(fitted if row.fitted else candidate, truth) for row in rows))


def _fitted(candidate: Array, truth: Array) -> Array:
    x, y = candidate.astype(np.float64), truth.astype(np.float64)
    variance = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance > 0 else 0.0
    fitted: Array = (slope * (x - x.mean()) + y.mean()).astype(truth.dtype)
    return fitted
