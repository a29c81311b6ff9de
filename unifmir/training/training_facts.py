"""Record of a training, from the training itself."""

from unifmir.machine import description
from unifmir.tasks import TASKS
from unifmir.tasks.base import TrainingRecipe, TruthScaling
from unifmir.training.contextual_loss import SPATIAL_WEIGHT
from unifmir.training.trainer import Training
from unifmir.training.training_record import Setting, TrainingRecord


def record_of(training: Training, hours: float | None, evidence: str = "") -> TrainingRecord:
    """Facts of a training that has ended.

    Parameters
    ----------
    training : Training
    hours : float, optional
        Wall time; None where the training was interrupted, as earlier parts are not known.
    evidence : str
        Figures that speak for it, in words; empty if there are none.
    """
    recipes = {task: training.recipes[task] for task in dict.fromkeys(training.order)}
    batches = {recipe.batch for recipe in recipes.values()}
    sides = {recipe.patch for recipe in recipes.values()}
    betas: Setting = [float(beta) for beta in training.optimizer.defaults["betas"]]
    return TrainingRecord(
        optimizer="torch.optim.Adam",
        optimizer_settings={"betas": betas},
        learning_rate=training.schedule.learning_rate,
        learning_rate_schedule=training.schedule.words,
        loss=_loss_words(training),
        loss_settings=_loss_settings(training, recipes),
        steps=training.step,
        batch_size=batches.pop() if len(batches) == 1 else None,
        patch_px=sides.pop() if len(sides) == 1 else None,
        preprocessing=_preprocessing(recipes, training.network.config.intensities),
        regularization=_regularization(training),
        hours=None if hours is None else float(f"{hours:.3g}"),
        hardware=f"{_hardware(training)}; products in {training.processes.precision}",
        data="; ".join(
            [
                *(f"{task}: {training.pools[task].origin}" for task in recipes),
                *filter(None, [evidence]),
            ]
        ),
        source="written by `unifmir train`",
    )


def _loss_words(training: Training) -> str:
    if training.supervision == "blind-spots":
        return "L2 at hidden pixels (Noise2Void)"
    if training.supervision == "repeats":
        return "L2 to other frames (Noise2Noise)"
    if training.features is not None:
        weights = training.features.sha256
        return f"contextual bilateral loss of VGG features (weights {weights[:16]})"
    return "L1 and L2, mixed" if training.mixed_loss else "L1"


def _regularization(training: Training) -> str:
    clipped = f"gradients clipped to a norm of {training.clip_norm:g}"
    averaged = f"running average of the weights, decay {training.average_decay:g}, kept"
    return "; ".join(
        [
            clipped if training.clip_norm else "gradients not clipped",
            averaged if training.average_decay else "last weights kept",
        ]
    )


def _loss_settings(training: Training, recipes: dict[str, TrainingRecipe]) -> dict[str, Setting]:
    """Numbers of the loss: the share of L1 by task, or the weight of distances."""
    if training.features is not None:
        return {"spatial_weight": SPATIAL_WEIGHT}
    if not training.mixed_loss or training.supervision != "pairs":
        return {}
    return {f"l1_share_{task}": recipe.l1_share for task, recipe in recipes.items()}


def _preprocessing(recipes: dict[str, TrainingRecipe], intensities: TruthScaling) -> str:
    parts = [
        f"{task}: {TASKS[task].normalization.method} normalisation{_truths(task, intensities)}, "
        f"{recipe.batch} random patches of {recipe.patch} a step"
        for task, recipe in recipes.items()
    ]
    return "; ".join(parts) + "; each patch turned and flipped at random as its task allows"


def _truths(task: str, intensities: TruthScaling) -> str:
    """Scaling of the truths in words."""
    if not TASKS[task].normalization.invertible:
        return ""
    whose = "its own" if intensities == "own" else "its input's"
    return f" (intensities {intensities}: each truth scaled by {whose} percentiles)"


def _hardware(training: Training) -> str:
    facts, count = description(), training.processes.count
    gpu = facts.get("gpu")
    if training.processes.fabric.device.type == "cuda" and gpu:
        return f"{count} x {gpu}" if count > 1 else str(gpu)
    words = f"{facts['processor']}, {facts['cores']} cores"
    return f"{words}, {count} processes" if count > 1 else words
