"""Hyper-parameters of the networks as plain values. Nothing here imports torch.

A configuration names every constructor argument of its network class, so the paper's size, the
official files and a small network are the same classes with other numbers.
"""

from dataclasses import dataclass, field, fields, replace
from math import isqrt
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

from unifmir.errors import CheckpointError
from unifmir.json_values import STRICT, JsonValues, json_form, read_values
from unifmir.reference import REFERENCES
from unifmir.reference.base import SIZE_MULTIPLE
from unifmir.signature import Signature
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import FirstStage, Normalization, TruthScaling

Sharing = Literal["body", "nothing"]
Option = int | bool | tuple[int, ...]
"""Value of a constructor argument of a reference model."""

MAX_OPTION = 4096
"""No layer of a reference model is wider; files can say anything."""


@dataclass(frozen=True, slots=True)
class BodyConfig(JsonValues):
    """The Swin body all tasks share."""

    embed_dim: int = 90
    depths: tuple[int, ...] = (6, 6, 6)
    num_heads: tuple[int, ...] = (6, 6, 6)
    window_size: int = 8
    """Pixels."""
    mlp_hidden: int = 180


@dataclass(frozen=True, slots=True)
class ProjectorConfig(JsonValues):
    """The network that projects a stack onto one plane."""

    planes: int = 50
    features: int = 256
    blocks: int = 64
    match_features: int = 64
    random_features: int = 128


@dataclass(frozen=True, slots=True)
class ViewUNetConfig(JsonValues):
    """The U-Net from light-field views to a volume."""

    views: int = 121
    planes: int = 61
    stem_features: int = 128
    entry_features: int = 64
    encoder: tuple[int, ...] = (128, 256, 512, 512, 512)


@dataclass(frozen=True, slots=True)
class SingleTaskConfig(JsonValues):
    """A single-task network: one body, one head, one tail.

    `body_residual` is a fact of the checkpoint's origin, not of its shapes: the official
    single-task projection network adds the shallow features to the body's result, the same
    task inside the multi-task network does not (facts of the official files).
    """

    task: str
    body: BodyConfig
    in_channels: int = 1
    """Planes the Swin head reads: slices for denoise, the U-Net's planes for volume."""
    out_channels: int = 1
    tail_features: int = 32
    scale: int = 1
    """Lateral magnification of the Swin tail; a volume's comes from its views instead."""
    body_residual: bool = True
    projector: ProjectorConfig | None = None
    view_unet: ViewUNetConfig | None = None
    intensities: TruthScaling = "own"
    """Scaling of the truths that it was trained on; a file that says nothing has the paper's."""

    @property
    def normalization(self) -> Normalization:
        """How an image becomes the network's input, and how the output goes back."""
        return _normalization(self.task, self.intensities)

    @property
    def grid_px(self) -> int:
        """Side of an attention window, in pixels of the network's input."""
        return self.body.window_size

    @property
    def stage(self) -> FirstStage | None:
        """Field with the network before the Swin restoration, if there is one."""
        if self.projector is not None:
            return "projector"
        return None if self.view_unet is None else "view_unet"

    @property
    def signature(self) -> Signature:
        """Input and output of the plain network."""
        if self.projector is not None:
            return Signature(channels=self.projector.planes)
        if self.view_unet is not None:
            views = self.view_unet.views
            return Signature(views, self.view_unet.planes, scale=isqrt(views))
        return Signature(self.in_channels, self.out_channels, scale=self.scale)

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the fields."""
        return _written(JsonValues.to_dict(self))

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of the network class, plain values only."""
        swin: dict[str, Any] = {
            **self.body.to_dict(),
            "tail_features": self.tail_features,
            "body_residual": self.body_residual,
        }
        if self.projector is not None:
            return {**self.projector.to_dict(), **swin}
        if self.view_unet is not None:
            return {**self.view_unet.to_dict(), **swin}
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            **swin,
            "scale": self.scale,
        }


@dataclass(frozen=True, slots=True)
class MultiTaskConfig(JsonValues):
    """A multi-task network of a closed set of tasks: one body, or one for each."""

    body: BodyConfig
    projector: ProjectorConfig
    view_unet: ViewUNetConfig
    tail_features: int = 32
    volume_tail_features: int = 90
    sr_channels: int = 1
    sr_scale: int = 2
    denoise_channels: int = 5
    isotropic_channels: int = 1
    intensities: TruthScaling = "own"
    """Scaling of the truths, as in `SingleTaskConfig`; of tasks whose results have intensities."""
    sharing: Sharing = "body"
    """Weights that the tasks share: those of the body and of a tail, as in the official network; or
    nothing: each task has a network of its own, as fine-tuning each leaves them."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the fields."""
        return _written(JsonValues.to_dict(self))

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of `unifmir.networks.multitask.UniFMIR`."""
        unet = self.view_unet.to_dict()
        unet["volume_planes"] = unet.pop("planes")
        others = ("intensities", "sharing")
        own = {f.name: getattr(self, f.name) for f in fields(self)[3:] if f.name not in others}
        return {**self.body.to_dict(), **self.projector.to_dict(), **unet, **own}

    def single(self, task: str) -> SingleTaskConfig:
        """Configuration of the single-task network that pruning to `task` gives.

        Raises
        ------
        CheckpointError
            The multi-task network has no such task.
        """
        spec = TASKS[task]
        part = spec.multitask
        if part is None:
            raise CheckpointError(
                f"the multi-task network has no {task}, only {', '.join(multitask_parts())}: "
                f"{task} needs a checkpoint of its own"
            )
        stage = spec.shape.stage
        return SingleTaskConfig(
            task,
            self.body,
            in_channels=attrgetter(part.channels)(self) if part.channels else 1,
            out_channels=attrgetter(part.out_channels)(self) if part.out_channels else 1,
            tail_features=attrgetter(part.tail_features)(self),
            scale=attrgetter(part.scale)(self) if part.scale else 1,
            body_residual=part.body_residual,
            intensities=self.intensities if spec.normalization.invertible else "own",
            **({stage: attrgetter(stage)(self)} if stage else {}),
        )


@dataclass(frozen=True, slots=True)
class ReferenceConfig(JsonValues):
    """A reference model for one task."""

    model: str
    """Name in `unifmir.reference.REFERENCES`."""
    task: str
    options: tuple[tuple[str, Option], ...] = ()
    """Constructor arguments that differ from the published network's."""
    intensities: TruthScaling = "own"
    """Scaling of the truths that it was trained on, as in `SingleTaskConfig`."""

    @property
    def normalization(self) -> Normalization:
        """How an image becomes the network's input, and how the output goes back."""
        return _normalization(self.task, self.intensities)

    @property
    def grid_px(self) -> int:
        """Pixels that the network's sides are padded to a multiple of, at most."""
        return SIZE_MULTIPLE

    @property
    def signature(self) -> Signature:
        """Input and output of the plain network: the published one's, with the options."""
        published = REFERENCES[self.model].signature
        if not TASKS[self.task].shape.magnifies:
            # Only where the result has a finer sampling, a network that keeps it is shown an
            # enlarged image.
            published = replace(published, enlarge=1)
        return _with_options(published, dict(self.options))

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of the network class."""
        kwargs: dict[str, Any] = json_form({**REFERENCES[self.model].options, **dict(self.options)})
        return kwargs

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the fields, with the options by name."""
        return _written({**JsonValues.to_dict(self), "options": json_form(dict(self.options))})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; CheckpointError on anything else."""
        found = read_values(_ReferenceEntries, data)
        name, task = found.model, found.task
        if name not in REFERENCES or task not in REFERENCES[name].tasks:
            raise CheckpointError(f"no reference model {name!r} for {task!r}; update unifmir?")
        return cls(name, task, _read_options(name, found.options), found.intensities)


@dataclass(frozen=True, slots=True)
class _ReferenceEntries(JsonValues):
    """JSON form of a `ReferenceConfig`."""

    model: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)
    intensities: TruthScaling = "own"


SingleConfig = SingleTaskConfig | ReferenceConfig
"""Configuration of a network for one task."""
UniFMIRConfig = SingleTaskConfig | MultiTaskConfig
ModelConfig = SingleConfig | MultiTaskConfig
KeyLayout = Literal["multitask", "separate", "swin", FirstStage]
"""Names and nesting of the keys of a UniFMIR state dict: of the multi-task network, of one network
for each task, of a Swin restoration alone, or of one behind a first network."""


def kind_of(config: ModelConfig | None) -> str:
    """Name of a kind of network in files and zoo entries: `multitask`, `single` or `reference`."""
    if isinstance(config, MultiTaskConfig):
        return "multitask"
    return "reference" if isinstance(config, ReferenceConfig) else "single"


def layout_of(config: UniFMIRConfig) -> KeyLayout:
    """Layout of the keys of a configuration's network."""
    if isinstance(config, MultiTaskConfig):
        return "multitask" if config.sharing == "body" else "separate"
    return config.stage or "swin"


def config_from_dict(data: dict[str, Any]) -> ModelConfig:
    """The configuration that a `to_dict` wrote; CheckpointError on anything else."""
    config: ModelConfig
    if "model" in data:
        config = ReferenceConfig.from_dict(data)
    elif "body" not in data:
        raise CheckpointError(
            "a configuration names a `body`, or the `model` it is a reference for"
        )
    elif "task" not in data:
        return MultiTaskConfig.from_dict(data)
    else:
        config = SingleTaskConfig.from_dict(data)
    task = TASKS.get(config.task)
    if config.intensities != "own" and task and not task.normalization.invertible:
        raise CheckpointError(
            f"the configuration's intensities are {config.intensities!r}; {config.task} gives "
            "relative values, which have no intensities: expected 'own'"
        )
    return config


def _written(values: dict[str, Any]) -> dict[str, Any]:
    """JSON values of a configuration; what the official networks have is what a silent file has.

    Written out they would change every record, artifact and entry of networks that have them.
    """
    return {name: value for name, value in values.items() if (name, value) not in _OFFICIAL}


_OFFICIAL = (("intensities", "own"), ("sharing", "body"))


def _normalization(task: str, intensities: TruthScaling) -> Normalization:
    """The task's normalisation; a truth that shares the input's scaling may lie beyond [0, 1]."""
    rule = TASKS[task].normalization
    return replace(rule, clip=False) if intensities == "shared" else rule


def _read_options(name: str, options: dict[str, Any]) -> tuple[tuple[str, Option], ...]:
    """Constructor arguments of a reference model as sorted pairs, each like the published one."""
    from pydantic import Field, create_model

    number = Annotated[int, Field(ge=0, le=MAX_OPTION)]
    kinds = {bool: bool, int: number, tuple: tuple[number, ...]}
    fields: dict[str, Any] = {
        key: (kinds[type(value)], value) for key, value in REFERENCES[name].options.items()
    }
    model = create_model(f"options of {name}", __config__=STRICT, **fields)
    return tuple(sorted(read_values(model, options).model_dump(exclude_unset=True).items()))


def _with_options(published: Signature, options: dict[str, Any]) -> Signature:
    """A signature after the options that decide it, which mean the same in every row."""
    views = options.get("views", published.channels)
    scale = isqrt(views) if "views" in options else options.get("scale", published.scale)
    return replace(
        published,
        channels=options.get("in_channels", views),
        out_channels=options.get("out_channels", options.get("planes", published.out_channels)),
        scale=scale,
    )
