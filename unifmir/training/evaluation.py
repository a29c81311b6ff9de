"""How good a model is on held-out simulated images, beside the simple methods of its task.

Every candidate, the model included, is granted the scale and offset that fit the truth best
(least squares): a filter is not punished for units, and a model not rewarded for them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from unifmir.checkpoint.pruning import prune
from unifmir.config import MultiTaskConfig, SingleConfig
from unifmir.interfaces import reads_single_planes
from unifmir.metrics import METRICS
from unifmir.metrics.base import RestoredImage
from unifmir.metrics.scores import RANKED_BY, Score, best_by, mean_score, score
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.normalize import normalize
from unifmir.registry import resolve
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks import TASKS
from unifmir.training.pool import check_fits

Batch = Float32[np.ndarray, "n 1 *axes"]
Runner = Callable[[Batch], Batch]
"""One way of running a network in its image interface; what it takes and gives is normalised."""
HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """Scores of one held-out image."""

    kind: str
    """Name of its structure (`SimulatedPair.kind`)."""
    model: Score
    baselines: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a model and of simple methods on one task."""

    task: str
    images: int
    seed: int
    model: Score
    baselines: Mapping[str, Score]
    scored: tuple[ScoredImage, ...] = ()
    """Every image, in order."""

    @property
    def best_baseline(self) -> str:
        """Name of the simple method with the highest PSNR."""
        return best_by(self.baselines)

    @property
    def gain_db(self) -> float:
        """PSNR of the model minus that of the best simple method."""
        return self.model[RANKED_BY] - self.baselines[self.best_baseline][RANKED_BY]

    @property
    def kinds(self) -> Mapping[str, Score]:
        """Kind of structure -> images of it, mean PSNR, and mean gain over the best method."""
        found: dict[str, list[ScoredImage]] = {}
        for image in self.scored:
            found.setdefault(image.kind, []).append(image)
        best = self.best_baseline
        return {
            kind: {
                "images": len(rows),
                RANKED_BY: float(np.mean([row.model[RANKED_BY] for row in rows])),
                "gain_db": float(
                    np.mean([row.model[RANKED_BY] - row.baselines[best][RANKED_BY] for row in rows])
                ),
            }
            for kind, rows in sorted(found.items())
        }

    def to_dict(self) -> dict[str, object]:
        """JSON values of the figures, rounded."""

        def plain(score: Score) -> dict[str, float]:
            return {k: round(v, METRICS[k].decimals) for k, v in score.items()}

        return {
            "images": self.images,
            "seed": self.seed,
            "size": TASKS[self.task].evaluation.size,
            "model": plain(self.model),
            "baselines": {name: plain(score) for name, score in self.baselines.items()},
            "best_baseline": self.best_baseline,
            "gain_db": round(self.gain_db, 3),
            "kinds": {
                kind: {name: round(value, 3) for name, value in row.items()}
                for kind, row in self.kinds.items()
            },
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
    run = make_runner(single)
    baselines = resolve(TASKS[task].evaluation.baselines)
    scored = []
    for scene in simulate_held_out(task, images=images, seed=seed):
        simple = {name: score(result, scene.target) for name, result in baselines(scene).items()}
        restored = score(restore_scene(run, scene, single.config), scene.target)
        scored.append(ScoredImage(scene.kind, restored, simple))
        if on_image is not None:
            on_image()
    means = {
        name: mean_score([image.baselines[name] for image in scored])
        for name in scored[0].baselines
    }
    model = mean_score([image.model for image in scored])
    return Evaluation(task, images, seed, model, means, tuple(scored))


def score_runner(run: Runner, config: SingleConfig, *, images: int, seed: int = 0) -> Score:
    """How good one way of running a model is on the held-out images: any runtime or precision.

    Parameters
    ----------
    run : callable
    config : SingleTaskConfig or ReferenceConfig
    """
    return mean_score(
        [
            score(restore_scene(run, scene, config), scene.target)
            for scene in simulate_held_out(config.task, images=images, seed=seed)
        ]
    )


def simulate_held_out(task: str, *, images: int, seed: int) -> Iterator[SimulatedPair]:
    """Test scenes; their random numbers are never used in training."""
    size = TASKS[task].evaluation.size
    for index in range(images):
        yield simulate_pair(task, generator(task, seed, HELD_OUT, index), size)


def make_runner(single: Network) -> Runner:
    """The network's image interface in eager PyTorch."""
    module = image_interface(single)

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            out: np.ndarray = module(torch.from_numpy(image)).numpy()
        return out

    return run


def restore_scene(run: Runner, scene: SimulatedPair, config: SingleConfig) -> RestoredImage:
    """Restore a scene's whole image, and map it back to the image's intensities."""
    planes = reads_single_planes(config)
    image, scaling = normalize(scene.image, config.normalization)
    image = np.ascontiguousarray(image, dtype=np.float32)
    out = run(image[:, None] if planes else image[None, None])
    return scaling.invert(out[:, 0] if planes else out[0, 0])
