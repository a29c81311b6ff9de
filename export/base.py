"""What the formats have in common: the job, the artifact, and what it says of itself."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from unifmir.errors import ExportError
from unifmir.machine import versions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unifmir.export.verification import Report
    from unifmir.networks.base import Network
    from unifmir.precision import PrecisionPlan

Variant = Literal["stored", "computing"]
"""`stored`: weights in the precision, arithmetic in fp32. `computing`: arithmetic in it too."""

Runner = Callable[[np.ndarray], np.ndarray]
"""float32 array in, float32 array out, by the artifact's own runtime on the CPU."""

LINEAGE_SCHEMA = 1
IMAGE, RESTORED = "image", "restored"
"""Names of an artifact's one input and one output."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an artifact says of itself: enough to verify it again with nothing but its parent."""

    task: str
    interface: str
    precision: str
    variant: Variant
    config: dict[str, Any]
    """The configuration's `to_dict()`."""
    scale: int
    """Lateral magnification, output pixels per input pixel."""
    input_axes: tuple[str, ...]
    output_axes: tuple[str, ...]
    normalization: dict[str, Any]
    size_rule: dict[str, Any]
    parent: dict[str, str]
    """`name` and `sha256` of the fp32 single-task safetensors it was made from."""
    versions: dict[str, str]
    schema: int = LINEAGE_SCHEMA

    def to_strings(self) -> dict[str, str]:
        """One string per field, for metadata that holds nothing else."""
        return {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_strings(cls, strings: dict[str, str], name: str) -> Self:
        """Inverse of `to_strings`; ExportError if `name` carries no lineage of ours."""
        texts = {"task", "interface", "precision", "variant"}
        values: dict[str, Any] = {}
        for field in cls.__dataclass_fields__:
            if field not in strings:
                raise ExportError(
                    f"{name}: its metadata has no {field!r}, so it was not exported by unifmir; "
                    "expected a file made by `unifmir export`"
                )
            values[field] = strings[field] if field in texts else json.loads(strings[field])
        for field in ("input_axes", "output_axes"):
            values[field] = tuple(values[field])
        if values["schema"] != LINEAGE_SCHEMA:
            raise ExportError(
                f"{name}: its metadata has schema {values['schema']}, this unifmir reads "
                f"{LINEAGE_SCHEMA}; update unifmir or export again"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Credit:
    """Whose the weights are: what a published package must say and no checkpoint knows."""

    authors: tuple[str, ...] = ()
    """Of the weights; the paper's when empty, as for the official checkpoints."""
    licence: str = ""
    """SPDX identifier; CC-BY-4.0, the official packages' own, when empty."""
    training_data: str = ""
    """In words; "not recorded" when empty."""
    github_user: str = "unifmir"
    """Packager and maintainer."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """Everything a format needs to write one file."""

    network: "Network"
    """The fp32 single-task network."""
    module: "nn.Module"
    """What is exported: the network behind the wanted interface, in the wanted variant."""
    example: "Tensor"
    """Batch 2, not square: sizes 1 and squares hide baked-in dimensions."""
    lineage: Lineage
    plan: "PrecisionPlan"
    opset: int
    credit: Credit
    reports: tuple["Report", ...] = ()
    """Verifications of the files made before this one, for the package's README."""
    options: object | None = None
    """What was asked of this format beyond the rest, in a type of its own; None: nothing."""
    calibration: tuple[str, ...] = ()
    """Files that value ranges were measured on, as the user named them."""


class Exporter(Protocol):
    """One export format. A row of `unifmir.export.formats.FORMATS`."""

    name: str
    suffix: str
    """End of the file name, with the dot."""
    variants: tuple[Variant, ...]
    """Which variants the format has when the precision is not fp32."""
    wrapped_only: bool
    """Whether the format always carries the image interface."""

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the artifact to a temporary name; it is published after verification.

        Returns
        -------
        dict
            JSON values worth telling the user beyond the verification, such as a score.
        """

    def runner(self, path: Path) -> Runner:
        """Load the artifact into its own runtime."""

    def lineage(self, path: Path) -> Lineage:
        """Read what the artifact says of itself; ExportError if it is not one of ours."""


@runtime_checkable
class VariesByPrecision(Exporter, Protocol):
    """A format that has other variants in one precision than in another."""

    def variants_of(self, precision: str) -> tuple[Variant, ...]:
        """Instead of `variants`; not asked for fp32."""


@runtime_checkable
class EngineFormat(Exporter, Protocol):
    """A format whose files fit certain machines and sizes, and carry the proof made there.

    Files that `write` puts beside its path, named by it and a further suffix, are published too.
    Where its result has an entry `unverified`, a reason, the file is published without having
    been run: that must have been asked for in the options.
    """

    def require(self, options: object | None) -> None:
        """Refuse what cannot be made or verified here before anything takes time."""

    def shapes(self, path: Path) -> tuple[tuple[int, ...], ...]:
        """Input shapes it is verified at."""

    def verified(self, path: Path, report: "Report") -> None:
        """Record a verification that passed."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that was verified before it got its name."""

    format: str
    path: Path
    sha256: str
    size_bytes: int
    precision: str
    variant: Variant
    interface: str
    report: "Report"
    details: dict[str, Any]
    """What `Exporter.write` told."""
    companions: tuple[Path, ...] = ()
    """Files that belong to it and lie beside it."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the report in full."""
        return {
            "format": self.format,
            "path": str(self.path),
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "precision": self.precision,
            "variant": self.variant,
            "interface": self.interface,
            "details": self.details,
            "companions": [str(path) for path in self.companions],
            "report": self.report.to_dict(),
        }


def library_versions() -> dict[str, str]:
    """Versions that decide what an artifact looks like."""
    return versions("unifmir", "torch", "onnx", "onnxruntime", "numpy")
