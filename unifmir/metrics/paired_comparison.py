"""Whether one set of restored images is nearer to the truth than another, image by image."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from unifmir.json_values import JsonOutput
from unifmir.metrics.scores import Score

LEVEL = 0.95
"""Share of repetitions in which a confidence interval holds the true value."""
RESAMPLES = 9999
SEED = 20240412
LEAST_FOR_TEST = 6
"""Pairs from which on the signed-rank test can reach 5 %: 2 of the 2^6 signs are as extreme."""


@dataclass(frozen=True, slots=True)
class PairedDifference(JsonOutput):
    """Difference of one metric between two sets of images of the same truths."""

    images: int
    mean: float
    """Mean of first minus second."""
    low: float | None
    high: float | None
    """Ends of its 95 % interval, by the bootstrap over images (BCa, Efron 1987); None for fewer
    than two images, or where all differences are alike."""
    p: float | None
    """Two-sided p of Wilcoxon's signed-rank test; None for fewer than six images, which cannot
    reach 5 %, or where nothing differs."""


def compare_scores(
    first: Mapping[str, Score], second: Mapping[str, Score]
) -> dict[str, PairedDifference]:
    """Compare scores of the images that both sets have, by their names.

    Parameters
    ----------
    first, second : mapping of image name to score
        Figures in the units of each metric.

    Returns
    -------
    dict
        Metric name -> first minus second. Empty where no image is in both.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return {}
    return {
        metric: _difference([_less(first[name][metric], second[name][metric]) for name in shared])
        for metric in first[shared[0]]
    }


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of a mean over images, by the bootstrap (BCa); None where there is none."""
    if len(values) < 2 or min(values) == max(values) or not np.isfinite(values).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.asarray(values),),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            random_state=np.random.default_rng(SEED),
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():
        return None
    return float(found.low), float(found.high)


def _less(one: float, other: float) -> float:
    """One less the other; 0 where both are infinite, as the PSNR of two exact images."""
    return 0.0 if one == other else one - other


def _difference(differences: Sequence[float]) -> PairedDifference:
    interval = interval_of_mean(differences)
    tested = len(differences) >= LEAST_FOR_TEST and any(differences)
    return PairedDifference(
        images=len(differences),
        mean=float(np.mean(differences)),
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        p=float(stats.wilcoxon(differences).pvalue) if tested else None,
    )
