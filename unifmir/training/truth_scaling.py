"""Choice of how a training scales its truths: by their own percentiles, or by their inputs'."""

import logging
from collections.abc import Iterable, Sequence

from unifmir.config import ModelConfig, MultiTaskConfig
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TruthScaling

logger = logging.getLogger(__name__)


def chosen_intensities(
    wanted: TruthScaling | None,
    config: ModelConfig,
    tasks: Sequence[str],
    datasets: Iterable[StoredDataset],
    *,
    fresh: bool,
) -> TruthScaling:
    """How the truths of a training are scaled.

    Parameters
    ----------
    wanted : {"own", "shared"}, optional
        What the user says; None: as the model was trained, and shared from random weights.
    config : ModelConfig
        Of the network that is trained.
    tasks : sequence of str
        Tasks that are trained.
    datasets : iterable of StoredDataset
        What they are trained on, where that is not simulated.
    fresh : bool
        Whether the weights are random.

    Raises
    ------
    CheckpointError
        No image of the tasks has intensities that could be shared; a dataset has lost them; or
        results of tasks that are not trained would change their units.
    """
    trained = [task for task in tasks if TASKS[task].normalization.invertible]
    if not trained:
        if wanted == "shared":
            raise CheckpointError(
                f"{' and '.join(tasks)} gives relative values, which have no intensities to "
                "share: leave --intensities out"
            )
        return config.intensities
    chosen = wanted or ("shared" if fresh else config.intensities)
    stored = [one for one in datasets if one.task.name in trained]
    if chosen == "shared":
        lost = [one.path.name for one in stored if not one.keeps_intensities]
        if lost and (wanted or not fresh):
            raise CheckpointError(
                f"{' and '.join(lost)} holds images that were normalised before, input and truth "
                "each by its own percentiles: they cannot share intensities; use --intensities own"
            )
        if lost:
            logger.warning(
                "trained with --intensities own: the images of %s were normalised before, input "
                "and truth each by its own percentiles",
                " and ".join(lost),
            )
            return "own"
        for one in stored:
            _tell_other_units(one)
    if chosen != config.intensities and not fresh:
        _check_change(chosen, config, trained)
    return chosen


def _check_change(chosen: TruthScaling, config: ModelConfig, trained: Sequence[str]) -> None:
    """Refuse a change of units for tasks that are not trained, and say it for those that are."""
    others = [
        task
        for task in multitask_parts()
        if task not in trained and TASKS[task].normalization.invertible
    ]
    if isinstance(config, MultiTaskConfig) and others:
        raise CheckpointError(
            f"the model was trained with --intensities {config.intensities}, and so are its "
            f"results for {', '.join(others)}, which are not trained now: cut the task out first "
            "(unifmir prune), or leave --intensities out"
        )
    logger.warning(
        "the model was trained with intensities %s, and is now with %s: its results change their "
        "units",
        config.intensities,
        chosen,
    )


def _tell_other_units(dataset: StoredDataset) -> None:
    """Say where truths have other units than their inputs, such as another exposure."""
    gain = dataset.range_gain
    if gain is not None and not dataset.shares_units:
        logger.warning(
            "%s: the range of its truths is %.3g times that of its inputs, and the model will "
            "learn to scale so; if only exposure or units differ, scale them to one another "
            "before, or train with --intensities own",
            dataset.path.name,
            gain,
        )
