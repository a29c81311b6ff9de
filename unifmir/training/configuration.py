"""Configuration of a training: what a file and the options of a command say of it.

A file is TOML, or JSON with the same names. Presets are such files, in `unifmir/training/presets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from unifmir.errors import CheckpointError
from unifmir.json_values import Between, JsonValues, Matching, read_values
from unifmir.plain_text_values import MAX_TOML_BYTES, read_json, read_toml
from unifmir.tasks import TASKS
from unifmir.tasks.base import TrainingRecipe, TruthScaling

PRESETS = Path(__file__).parent / "presets"
SUFFIXES = (".toml", ".json")
WARM_UP_STEPS = 100
AVERAGE_DECAY = 0.998
"""The last steps of a short training are noisy; the paper names no average."""
CLIP_NORM = 1.0
"""Largest norm of gradients; the paper names no limit."""

Stage = Literal["pretrain", "finetune", "self-supervised"]
Supervision = Literal["pairs", "blind-spots", "repeats"]
"""Truths of the images; or, of noisy images alone, hidden pixels (Noise2Void) or other frames of
the same field (Noise2Noise)."""
ProductType = Literal["fp32", "bf16"]
"""Element type of the products of a step; weights, sums and the optimiser are fp32 in both."""
Rates = Literal["cosine", "halved"]
"""`cosine`: a short warm-up, then half a cosine down to a hundredth. `halved`: the paper's, one
rate that is halved once."""
Frozen = Literal["nothing", "others", "body"]
"""Weights that are not trained: none; those that another task of the model uses too, so that its
pictures stay as they are; or the body that all tasks share."""
Loss = Literal["mixed", "l1", "cobi"]
"""`mixed`: L1 and L2, each weighted by half unless a recipe says otherwise. `cobi`: the contextual
bilateral loss, for truths that lie beside their inputs."""
Place = Annotated[str, Matching(r"[^\x00]{0,1000}", "a name of at most 1,000 characters")]
Share = Annotated[float, Between(0, 1)]
Weight = Annotated[float, Between(0, 1000)]
Positive = Annotated[int, Between(1, 1e9)]
Side = Annotated[int, Between(1, 4096)]


@dataclass(frozen=True, slots=True)
class RecipeChange(JsonValues):
    """Changes of a task's own `TrainingRecipe`; None: as there."""

    batch: Annotated[int, Between(1, 4096)] | None = None
    """Patches a step."""
    patch: Side | None = None
    """Side of a patch: pixels of the network's input, or lenses."""
    scenes: Annotated[int, Between(1, 1e6)] | None = None
    """Simulated images that a step draws from."""
    fresh_scenes: Annotated[float, Between(0, 100)] | None = None
    """New simulated images for each step of the task, in place of the oldest."""
    scene_size: Side | None = None
    """Side of a simulated image: pixels, or lenses."""
    l1_share: Share | None = None
    """Weight of L1 in the mixed loss."""
    equal_weight: bool | None = None
    """Whether sparse and dense patches count alike."""
    first_stage_weight: Weight | None = None
    pretraining_first_stage_weight: Weight | None = None

    def applied(self, recipe: TrainingRecipe) -> TrainingRecipe:
        """The recipe with these changes."""
        return replace(recipe, **{k: v for k, v in self.to_dict().items() if v is not None})


@dataclass(frozen=True, slots=True)
class TrainingConfig(JsonValues):
    """Everything that decides which weights a training gives, but the images in a dataset."""

    stage: Stage
    tasks: list[Place] = field(default_factory=list)
    """Repeated to weight a task; none: those of `data`, or all of the model."""
    model: Literal["small", "paper"] = "small"
    """Size of a network from random weights: that of the embedded model, or the paper's."""
    init: Place = ""
    """Checkpoint or zoo id to start from; empty: random weights."""
    data: list[Place] = field(default_factory=list)
    """Prepared datasets, at most one a task, which take the place of simulated images."""
    with_simulated: bool = False
    """Whether the simulated images of the tasks of `data` are learned from as well."""
    supervision: Supervision = "pairs"
    renew: list[Place] = field(default_factory=list)
    """Tasks whose own layers start from random weights although there is `init`."""
    freeze: Frozen = "nothing"
    adapters: Annotated[int, Between(0, 256)] = 0
    """Rank of the changes that the body's layers learn in place of their weights; 0: none. They
    are merged in the end; a model of several tasks is pruned to the one that is trained."""
    steps: Positive | None = None
    """Optimiser steps over all tasks; None: `epochs` decide."""
    epochs: Positive | None = None
    """Passes over all pairs, each patch drawn at random; None: `steps` decide."""
    learning_rate: Annotated[float, Between(1e-9, 1)] = 1e-3
    """Adam's; of a schedule with a warm-up the highest."""
    schedule: Rates = "cosine"
    halve_at: Share = 0.4
    """Share of the training after which `halved` halves the rate; the paper: 200 of 500 epochs."""
    warm_up: Annotated[int, Between(0, 1e9)] = WARM_UP_STEPS
    """Steps over which `cosine` brings the rate up from 0."""
    clip_norm: Annotated[float, Between(0, 1e9)] = CLIP_NORM
    """Norm that the gradients of a step are clipped to; 0: they are not clipped."""
    average_decay: Annotated[float, Between(0, 0.999999)] = AVERAGE_DECAY
    """Decay per step of the running average of the weights, which is what is kept; 0: the last
    weights are kept."""
    loss: Loss = "mixed"
    features: Place = ""
    """File of VGG-19's weights for `cobi`; empty: the published file, which is fetched once."""
    intensities: TruthScaling | None = None
    """Whose percentiles scale a truth: `own`, the paper's, or `shared` with its input; None: as the
    model of `init` was trained, and shared from random weights."""
    seed: Annotated[int, Between(0, 2**63 - 1)] = 0
    precision: Literal["auto", ProductType] = "auto"
    """Element type of the products of a step; `auto`: bf16 where the device multiplies in it."""
    accumulate: Annotated[int, Between(1, 4096)] = 1
    """Parts that a batch is taken in, one after the other, whose gradients are added: the same
    step in less memory. Batches of networks that normalise by them are taken whole."""
    recipes: dict[Place, RecipeChange] = field(default_factory=dict)
    """Changes of a task's own recipe."""

    def recipe(self, task: str) -> TrainingRecipe:
        """A task's recipe with the changes of this training."""
        return self.recipes.get(task, RecipeChange()).applied(TASKS[task].training)

    def checked(self) -> "TrainingConfig":
        """Itself, if its entries go together.

        Raises
        ------
        CheckpointError
            A task is unknown, or two entries contradict each other.
        """
        self._check_names()
        if (self.steps is None) == (self.epochs is None):
            raise CheckpointError("give the length either as `steps` or as `epochs`")
        if self.with_simulated and not self.data:
            raise CheckpointError(
                "`with_simulated` goes with `data`: simulated images are the default"
            )
        if (self.stage == "self-supervised") == (self.supervision == "pairs"):
            raise CheckpointError(
                f"the stage {self.stage!r} does not learn from {self.supervision!r}; "
                "`self-supervised` learns from `blind-spots` or `repeats`, others from `pairs`"
            )
        if self.stage == "self-supervised" and (len(self.data) > 1 or self.with_simulated):
            raise CheckpointError(
                "self-supervised training is of one dataset, and not of simulated images"
            )
        if self.loss == "cobi" and self.supervision != "pairs":
            raise CheckpointError("the loss `cobi` needs truths: train from `pairs`")
        if self.features and self.loss != "cobi":
            raise CheckpointError("`features` are for the loss `cobi`, and another is chosen")
        if (self.stage == "self-supervised" or self.adapters) and len(self.tasks) != 1:
            what = "self-supervised training" if not self.adapters else "training of adapters"
            raise CheckpointError(f"{what} is of one task: name it in `tasks` (--task)")
        if self.stage != "pretrain" and not self.init:
            raise CheckpointError("fine-tuning starts from a model: name it as `init` (--init)")
        needs = {"renew": self.renew, "adapters": self.adapters}
        needs["freeze"] = self.freeze != "nothing"
        if not self.init and any(needs.values()):
            name = next(name for name, wanted in needs.items() if wanted)
            raise CheckpointError(f"`{name}` is for the model of `init`, and none is given")
        return self

    def _check_names(self) -> None:
        """Refuse tasks that there are not."""
        for name, tasks in (
            ("tasks", self.tasks),
            ("renew", self.renew),
            ("recipes", self.recipes),
        ):
            if unknown := [task for task in tasks if task not in TASKS]:
                raise CheckpointError(
                    f"{name} has {unknown[0]!r:.80}; expected some of {', '.join(TASKS)}"
                )


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> TrainingConfig:
    """A configuration from a TOML or JSON file.

    Parameters
    ----------
    path : Path
    changes : mapping, optional
        Entries that take the place of the file's.

    Raises
    ------
    CheckpointError
        The file is missing, has another ending, or an entry that does not fit.
    """
    if path.suffix not in SUFFIXES:
        raise CheckpointError(f"{path.name}: a configuration ends in {' or '.join(SUFFIXES)}")
    try:
        values = (
            read_json(path, limit=MAX_TOML_BYTES) if path.suffix == ".json" else read_toml(path)
        )
        if not isinstance(values, dict):
            raise CheckpointError(f"{path.name} is a {type(values).__name__}; expected entries")
        return read_values(TrainingConfig, {**values, **(changes or {})}).checked()
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from error
    except CheckpointError as error:
        what = f"{path.name} with the options given" if changes else path.name
        raise CheckpointError(f"{what} is no configuration of a training: {error}") from error


def preset_names() -> list[str]:
    """Names of the presets, in order."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_path(name: str) -> Path:
    """File of a preset.

    Raises
    ------
    CheckpointError
        There is none of that name.
    """
    if name not in preset_names():
        raise CheckpointError(f"no preset {name!r:.80}; there are {', '.join(preset_names())}")
    return PRESETS / f"{name}.toml"


def as_toml(config: TrainingConfig) -> str:
    """A configuration with all its entries as TOML, which `read_config` reads.

    What is no printable character is written as TOML's escapes, so that it is shown as it is.
    """
    import tomli_w

    # TOML has no null: an entry that is left out is None.
    given = {name: value for name, value in config.to_dict().items() if value is not None}
    given["recipes"] = {
        task: {name: value for name, value in change.items() if value is not None}
        for task, change in given["recipes"].items()
    }
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"\\U{ord(letter):08x}"
        for letter in tomli_w.dumps(given)
    )
