"""Export formats in common: the job, the exporter, and the artifact."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from unifmir.export.credit import Credit
from unifmir.export.lineage import Lineage
from unifmir.export.verification_report import Report
from unifmir.json_values import JsonOutput
from unifmir.precision.element_types import Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unifmir.export.runtimes.base import Session
    from unifmir.networks.base import Network
    from unifmir.precision.recipe import PrecisionRecipe


class Traces:
    """Traces that the formats of one export share, by what they are of: each is made once.

    Parameters
    ----------
    folder : Path, optional
        Place for them, as those of large networks fill memory; None: they stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: dict[tuple[object, ...], bytes | Path] = {}

    def made(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """Content for a key, from `make` the first time."""
        if key in self._kept:
            kept = self._kept[key]
            return kept.read_bytes() if isinstance(kept, Path) else kept
        content = make()
        self._kept[key] = content
        if self._folder is not None:
            self._kept[key] = file = self._folder / f"trace-{len(self._kept)}"
            file.write_bytes(content)
        return content


@dataclass(frozen=True, slots=True)
class ExportJob:
    """Everything a format needs to write one file."""

    network: "Network"
    """The fp32 single-task network."""
    module: "nn.Module"
    """Module that is exported: the network behind the wanted interface, in the wanted variant."""
    example: "Tensor"
    """Batch 2, not square: sizes 1 and squares hide baked-in dimensions."""
    lineage: Lineage
    recipe: "PrecisionRecipe"
    opset: int
    credit: Credit
    reports: tuple[Report, ...] = ()
    """Verifications of the files made before this one, for the package's README."""
    options: object | None = None
    """Wishes for this format alone, of its type in `FORMAT_OPTIONS`; None: nothing."""
    calibration: tuple[str, ...] = ()
    """Files that value ranges were measured on, as the user named them."""
    traces: Traces = field(default_factory=Traces)


class Exporter(ABC):
    """One export format. A row of `unifmir.export.formats.FORMATS`."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    """End of the file name, with the dot."""
    runtime: ClassVar[str]
    """Row of `unifmir.export.runtimes.RUNTIMES` that its files are verified by."""
    variants: ClassVar[tuple[Variant, ...]] = ("stored",)
    """Variants that the format has when the precision is not fp32."""
    wrapped_only: ClassVar[bool] = False
    """Whether the format always carries the image interface."""
    holds_program: ClassVar[bool] = False
    """Whether its files are programs, which only run where they were written or are trusted."""
    holds_weights: ClassVar[bool] = False
    """Whether a program among them can be read for its weights alone, as a checkpoint."""
    lacks_raw: ClassVar[str] = ""
    """Reason why its files cannot take raw images; empty: they can."""

    def variants_of(self, element_type: str) -> tuple[Variant, ...]:
        """Variants that are written: most runtimes on CPUs have no arithmetic in bf16."""
        if element_type == "fp32" or (element_type == "bf16" and "stored" in self.variants):
            return ("stored",)
        return self.variants

    def require(self, options: object | None) -> None:  # noqa: B027 - most formats need nothing
        """Refuse what cannot be made or verified here before anything takes time."""

    @abstractmethod
    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the artifact to a temporary name; it is published after verification.

        Files put beside the path, named by it and a further suffix, are published too.

        Returns
        -------
        dict
            JSON values worth telling the user beyond the verification, such as a score. Where there
            is an entry `unverified`, a reason, the file is published without having been run: that
            must have been asked for in the options.
        """

    @abstractmethod
    def lineage(self, path: Path) -> Lineage:
        """Read the lineage from an artifact; ExportError if it is not one of ours."""

    def made(self, path: Path) -> bool:
        """Whether a file of this suffix is an artifact; False: others write such checkpoints."""
        return True

    @property
    def runnable_format(self) -> str | None:
        """Format of what `runnable` gives, for runtimes that read files; None: a module."""
        return self.name

    @contextmanager
    def runnable(self, path: Path) -> "Iterator[Path | nn.Module]":
        """Yield the file or module that a runtime opens for an artifact, inside the block only."""
        yield path

    def shapes(self, path: Path) -> tuple[tuple[int, ...], ...]:
        """Input shapes that an artifact is verified at; empty: those that every format takes."""
        return ()

    def structure_differences(
        self, path: Path, network: "Network", lineage: Lineage
    ) -> Iterator[str]:
        """Sentences on where a graph from elsewhere computes otherwise than its parent's export."""
        return iter(())

    def contradictions(
        self, path: Path, network: "Network", lineage: Lineage, *, own: bool
    ) -> Iterator[str]:
        """Sentences on what in an artifact, besides what is run, is not as its parent implies."""
        return iter(())

    def record_verification(  # noqa: B027 - as above
        self, path: Path, report: Report, opened: "Callable[[], Session]"
    ) -> None:
        """Write down a verification that passed, where the artifact carries its proof.

        `opened` opens it, here or in a process of its own, to be asked what it computes in.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(JsonOutput):
    """A file that was verified before it got its name."""

    format: str
    path: Path
    sha256: str
    size_bytes: int
    precision: str
    variant: Variant
    interface: str
    details: dict[str, Any]
    """JSON values that `Exporter.write` gave; below `kept_in_fp32`, where weights are in two bytes,
    the parts of the network that are not, and how many modules of each."""
    companions: tuple[Path, ...] = ()
    """Files that belong to it and lie beside it."""
    report: Report
