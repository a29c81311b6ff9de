"""Hyper-parameters of the networks as plain values. Nothing here imports torch.

A configuration names every constructor argument of its network class, so the paper's size, the
official files and a small network are the same classes with other numbers.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import isqrt
from typing import Any, Self, TypeVar

from unifmir.errors import CheckpointError
from unifmir.reference import REFERENCES
from unifmir.reference.base import SIZE_MULTIPLE
from unifmir.signature import Signature

Option = int | bool | tuple[int, ...]
"""Value of a constructor argument of a reference model."""

MAX_OPTION = 4096
"""No layer of a reference model is wider; files can say anything."""


@dataclass(frozen=True, slots=True)
class BodyConfig:
    """The Swin body all tasks share."""

    embed_dim: int = 90
    depths: tuple[int, ...] = (6, 6, 6)
    num_heads: tuple[int, ...] = (6, 6, 6)
    window_size: int = 8
    """Pixels."""
    mlp_hidden: int = 180


@dataclass(frozen=True, slots=True)
class ProjectorConfig:
    """The network that projects a stack onto one plane."""

    planes: int = 50
    features: int = 256
    blocks: int = 64
    match_features: int = 64
    random_features: int = 128


@dataclass(frozen=True, slots=True)
class ViewUNetConfig:
    """The U-Net from light-field views to a volume."""

    views: int = 121
    planes: int = 61
    stem_features: int = 128
    entry_features: int = 64
    encoder: tuple[int, ...] = (128, 256, 512, 512, 512)


@dataclass(frozen=True, slots=True)
class SingleTaskConfig:
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

    @property
    def grid_px(self) -> int:
        """Side of an attention window, in pixels of the network's input."""
        return self.body.window_size

    @property
    def signature(self) -> Signature:
        """What the plain network reads and gives."""
        if self.projector is not None:
            return Signature(channels=self.projector.planes)
        if self.view_unet is not None:
            views = self.view_unet.views
            return Signature(views, self.view_unet.planes, scale=isqrt(views))
        return Signature(self.in_channels, self.out_channels, scale=self.scale)

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of the network class, plain values only."""
        swin: dict[str, Any] = {
            **_plain(self.body),
            "tail_features": self.tail_features,
            "body_residual": self.body_residual,
        }
        if self.projector is not None:
            return {**_plain(self.projector), **swin}
        if self.view_unet is not None:
            return {**_plain(self.view_unet), **swin}
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            **swin,
            "scale": self.scale,
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; CheckpointError on unknown or missing names."""
        return cls(**_parts(cls, data))


@dataclass(frozen=True, slots=True)
class MultiTaskConfig:
    """The multi-task network: one body, five heads and tails."""

    body: BodyConfig
    projector: ProjectorConfig
    view_unet: ViewUNetConfig
    tail_features: int = 32
    volume_tail_features: int = 90
    sr_channels: int = 1
    sr_scale: int = 2
    denoise_channels: int = 5
    isotropic_channels: int = 1

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of `unifmir.networks.multitask.UniFMIR`."""
        unet = _plain(self.view_unet)
        unet["volume_planes"] = unet.pop("planes")
        own = {f.name: getattr(self, f.name) for f in fields(self)[3:]}
        return {**_plain(self.body), **_plain(self.projector), **unet, **own}

    def single(self, task: str) -> SingleTaskConfig:
        """Configuration of the single-task network that pruning to `task` gives."""
        if task == "volume":
            return SingleTaskConfig(
                task,
                self.body,
                in_channels=self.view_unet.planes,
                out_channels=self.view_unet.planes,
                tail_features=self.volume_tail_features,
                body_residual=False,
                view_unet=self.view_unet,
            )
        if task == "projection":
            return SingleTaskConfig(
                task,
                self.body,
                tail_features=self.tail_features,
                body_residual=False,
                projector=self.projector,
            )
        channels = {
            "sr": self.sr_channels,
            "denoise": self.denoise_channels,
            "isotropic": self.isotropic_channels,
        }
        return SingleTaskConfig(
            task,
            self.body,
            in_channels=channels[task],
            tail_features=self.tail_features,
            scale=self.sr_scale if task == "sr" else 1,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; CheckpointError on unknown or missing names."""
        return cls(**_parts(cls, data))


@dataclass(frozen=True, slots=True)
class ReferenceConfig:
    """A reference model for one task."""

    model: str
    """Name in `unifmir.reference.REFERENCES`."""
    task: str
    options: tuple[tuple[str, Option], ...] = ()
    """Constructor arguments that differ from the published network's."""

    @property
    def grid_px(self) -> int:
        """Pixels that the network's sides are padded to a multiple of, at most."""
        return SIZE_MULTIPLE

    @property
    def signature(self) -> Signature:
        """What the plain network reads and gives: the published one's, with the options."""
        published = REFERENCES[self.model].signature
        if self.task != "sr":
            # A network that keeps the sampling reads an enlarged image for super-resolution only.
            published = replace(published, enlarge=1)
        return _with_options(published, dict(self.options))

    def network_kwargs(self) -> dict[str, Any]:
        """Constructor arguments of the network class."""
        return _plain({**REFERENCES[self.model].options, **dict(self.options)})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"model": self.model, "task": self.task, "options": _plain(dict(self.options))}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; CheckpointError on unknown or missing names."""
        values = _checked(cls, data)
        name, task = values["model"], values["task"]
        if name not in REFERENCES or task not in REFERENCES[name].tasks:
            raise CheckpointError(f"no reference model {name!r} for {task!r}; update unifmir?")
        return cls(name, task, _checked_options(name, values.get("options", {})))


SingleConfig = SingleTaskConfig | ReferenceConfig
"""Of a network for one task."""
UniFMIRConfig = SingleTaskConfig | MultiTaskConfig
ModelConfig = SingleConfig | MultiTaskConfig
_T = TypeVar("_T")


def kind_of(config: ModelConfig | None) -> str:
    """`multitask`, `single` or `reference`, as files and zoo entries call it."""
    if isinstance(config, MultiTaskConfig):
        return "multitask"
    return "reference" if isinstance(config, ReferenceConfig) else "single"


def config_from_dict(data: dict[str, Any]) -> ModelConfig:
    """The configuration that a `to_dict` wrote; CheckpointError on anything else."""
    if "model" in data:
        return ReferenceConfig.from_dict(data)
    if "body" not in data:
        raise CheckpointError(
            "a configuration names a `body`, or the `model` it is a reference for"
        )
    if "task" in data:
        return SingleTaskConfig.from_dict(data)
    return MultiTaskConfig.from_dict(data)


def _plain(config: Any) -> dict[str, Any]:
    """A dataclass, or a dictionary, as JSON values: tuples become lists."""

    def listed(value: Any) -> Any:
        if isinstance(value, tuple):
            return list(value)
        if isinstance(value, dict):
            return {key: listed(item) for key, item in value.items()}
        return value

    plain: dict[str, Any] = listed(config if isinstance(config, dict) else asdict(config))
    return plain


def _parts(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of a configuration that holds a body, a projector and a U-Net."""
    return _checked(
        cls,
        data,
        body=_build(BodyConfig, data.get("body")),
        projector=_build(ProjectorConfig, data.get("projector")),
        view_unet=_build(ViewUNetConfig, data.get("view_unet")),
    )


def _build(cls: type[_T], data: dict[str, Any] | None) -> Any:
    return None if data is None else cls(**_checked(cls, data))


def _checked(cls: Any, data: dict[str, Any], **built: Any) -> dict[str, Any]:
    """`data` with lists as tuples and nested parts replaced, refused if the names differ."""
    names = {f.name for f in fields(cls)}
    if unknown := set(data) - names:
        raise CheckpointError(
            f"configuration has unknown entries {sorted(unknown)} for {cls.__name__}; "
            f"known: {sorted(names)}. Was the file written by a newer unifmir?"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return {**values, **{k: v for k, v in built.items() if k in names}}


def _checked_options(name: str, options: dict[str, Any]) -> tuple[tuple[str, Option], ...]:
    """Constructor arguments as sorted pairs, refused if the reference model has no such one."""
    known = REFERENCES[name].options
    if unknown := set(options) - set(known):
        raise CheckpointError(
            f"configuration has unknown options {sorted(unknown)} for {name}; "
            f"known: {sorted(known)}. Was the file written by a newer unifmir?"
        )
    pairs = []
    for key, value in options.items():
        option = tuple(value) if isinstance(value, list) else value
        numbers = option if isinstance(option, tuple) else (option,)
        fits = type(option) is type(known[key]) and all(isinstance(n, int) for n in numbers)
        if not fits or not all(0 <= n <= MAX_OPTION for n in numbers):
            raise CheckpointError(
                f"option {key} of {name} is {value!r}; expected one like {known[key]!r}, "
                f"up to {MAX_OPTION}"
            )
        pairs.append((key, option))
    return tuple(sorted(pairs))


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
