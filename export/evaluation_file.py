"""Result file of `unifmir evaluate --json`, as evidence of a model's restoration quality."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from unifmir.errors import CheckpointError, ExportError
from unifmir.export.credit import ImageQuality
from unifmir.json_values import Between, JsonValues, read_values
from unifmir.metrics import METRICS
from unifmir.plain_text_values import read_json

MAX_BYTES = 1_000_000
"""Limit of a file, which has about 5,000."""
_SHORT = {"psnr_db": "PSNR", "ssim": "SSIM", "nrmse": "NRMSE"}
"""Metrics that a description gives, after the fit, by names of at most 16 characters."""
_Figures = dict[str, Annotated[float, Between(-1e6, 1e6)]]
_ROUNDED = 0.002
"""Tolerance of a gain: its figures are rounded, and so is it."""


@dataclass(frozen=True, slots=True)
class TaskScores(JsonValues):
    """Figures of one task in the file."""

    images: Annotated[int, Between(1, 1e9)]
    seed: Annotated[int, Between(0)]
    size: Annotated[int, Between(1, 1e9)]
    """Side of the images: pixels, or lenses for light fields."""
    model: _Figures
    baselines: dict[str, _Figures]
    best_baseline: str
    gain_db: float
    kinds: dict[str, _Figures] = field(default_factory=dict)
    """Figures by kind of structure; files of earlier versions have none."""


@dataclass(frozen=True, slots=True)
class EvaluationFile(JsonValues):
    """Content of the file."""

    model: str
    sha256: str
    tasks: dict[str, TaskScores]


def read_quality(path: Path, task: str, sha256: str) -> ImageQuality:
    """Figures of a task in a result file.

    Parameters
    ----------
    path : Path
        What `unifmir evaluate MODEL --json` printed.
    task : str
    sha256 : str
        Hash of the checkpoint that is exported.

    Raises
    ------
    ExportError
        It is no such file, has nothing of the task, or is of another model.
    """
    try:
        found = read_values(EvaluationFile, read_json(path, limit=MAX_BYTES))
    except (CheckpointError, OSError) as error:
        raise ExportError(
            f"{path.name}: expected what `unifmir evaluate MODEL --json` printed: {error}"
        ) from error
    if found.sha256 != sha256:
        raise ExportError(
            f"{path.name} is of a model of SHA-256 {found.sha256[:80]}, and {sha256} is exported: "
            "evaluate that"
        )
    if task not in found.tasks:
        raise ExportError(f"{path.name} has no figures of {task}: `unifmir evaluate` it")
    scores = found.tasks[task]
    _check_gain(path, scores)
    figures = tuple(
        (short, METRICS[name].title, scores.model[name])
        for name, short in _SHORT.items()
        if name in scores.model
    )
    return ImageQuality(
        dataset=(
            f"{scores.images} held-out images simulated by unifmir, side {scores.size}, seed "
            f"{scores.seed}; fitted PSNR {scores.gain_db:+.2f} dB against the best simple method, "
            f"{scores.best_baseline[:60]}"
        ),
        sample_count=scores.images,
        figures=figures,
        source=f"`unifmir evaluate --task {task} --images {scores.images} --seed {scores.seed}`",
    )


def _check_gain(path: Path, scores: TaskScores) -> None:
    """Hold the gain, and what it is against, to the figures."""
    by = {name: figures.get("psnr_db", -1e6) for name, figures in scores.baselines.items()}
    best = by.get(scores.best_baseline)
    if best is None or best < max(by.values()):
        raise ExportError(
            f"{path.name}: its best simple method {scores.best_baseline[:60]!r} is not the one "
            "with the highest PSNR there: `unifmir evaluate` again"
        )
    gain = scores.model.get("psnr_db", -1e6) - best
    if abs(gain - scores.gain_db) > _ROUNDED:
        raise ExportError(
            f"{path.name}: its gain of {scores.gain_db:g} dB is not that of its figures, "
            f"{gain:.3f} dB: `unifmir evaluate` again"
        )
