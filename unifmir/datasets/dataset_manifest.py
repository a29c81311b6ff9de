"""Manifest of a dataset: what was put in, from which files, and what was set aside and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from unifmir.datasets.pairing import Split
from unifmir.errors import CheckpointError, ImageError
from unifmir.json_values import Between, Count, JsonValues, Matching, Sha256, read_values
from unifmir.plain_text_values import read_json

SCHEMA = 1
MANIFEST = "manifest.json"
MOST_PATCHES = 10**9
_LARGEST = 2**40
_Length = Annotated[int, Between(1, _LARGEST)]
_Number = Annotated[float, Between(-3.5e38, 3.5e38)]
_Span = Annotated[float, Between(0, 3.5e38)]
_Folder = Annotated[str, Matching(r"[0-9]{6}", "six digits")]
Lengths = tuple[_Length, _Length, _Length]
"""Pixels along z, y and x."""


@dataclass(frozen=True, slots=True)
class ScalingRecord(JsonValues):
    """Scaling of one frame: the network reads (intensity - low) / span."""

    low: _Number
    span: _Span


@dataclass(frozen=True, slots=True)
class ImageRecord(JsonValues):
    """One file of a pair, as it was when the dataset was prepared."""

    name: str
    """Path below the folder that was prepared."""
    sha256: Sha256
    """Hash of the file; of an OME-Zarr folder that of the names and hashes of its files."""
    axes: Annotated[str, Matching("t?c?z?yx", "some of t, c, z, y, x in this order")]
    frames: _Length
    shape: Lengths
    """Pixels along z, y and x."""
    dtype: Annotated[str, Matching(r"bool|u?int(8|16|32|64)|float(16|32|64)", "a pixel type")]
    pixel_size_um: tuple[_Span | None, _Span | None, _Span | None]
    """Along z, y and x; null where the file does not say."""
    minimum: _Number
    maximum: _Number
    mean: _Number
    scalings: tuple[ScalingRecord, ...]
    """One a frame; none where the file holds images that are normalised already."""


@dataclass(frozen=True, slots=True)
class PairRecord(JsonValues):
    """A pair whose patches the store holds."""

    folder: _Folder
    """Name of the folder in `pairs/`."""
    input: ImageRecord
    truth: ImageRecord | None
    magnification: Annotated[int, Between(1, 64)]
    """Pixels of the truth for each of the input's, laterally."""
    shift_px: tuple[_Number, _Number] | None
    """How far the truth lies from the input along y and x, in its pixels; null: not told."""
    patches: Annotated[int, Between(1, MOST_PATCHES)]
    candidates: _Length
    """Places of patches that were looked at, of which these hold something."""


@dataclass(frozen=True, slots=True)
class SetAside(JsonValues):
    """A file or pair that is not in the store, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetManifest(JsonValues):
    """A dataset. Paths and times of the machine that made it are not part of it."""

    schema: Literal[1]
    task: str
    kind: Literal["pairs", "noisy"]
    recipe: str
    """Public set whose layout was taken; empty: none."""
    seed: Count
    patch: Lengths
    """Pixels of an input's patch."""
    truth_patch: Lengths | None
    percentiles: tuple[Annotated[float, Between(0, 100)], Annotated[float, Between(0, 100)]]
    """Percentiles of a frame that `scalings` map to 0 and 1; of light fields, 0 and the largest."""
    splits: dict[_Folder, Split]
    """Split of each pair, by its folder."""
    pairs: tuple[PairRecord, ...]
    set_aside: tuple[SetAside, ...]

    def of(self, split: Split) -> list[PairRecord]:
        """Pairs of a split."""
        return [pair for pair in self.pairs if self.splits[pair.folder] == split]

    def patches(self, split: Split) -> int:
        """Patches of a split."""
        return sum(pair.patches for pair in self.of(split))


def read_manifest(store: Path) -> DatasetManifest:
    """The manifest of a dataset's store.

    Raises
    ------
    ImageError
        There is none, or it is damaged, or one of a newer unifmir.
    """
    values = _values(store / MANIFEST, store)
    try:
        found = read_values(DatasetManifest, values)
    except CheckpointError as error:
        raise ImageError(f"{store.name}: its {MANIFEST} is damaged: {error}") from error
    folders = [pair.folder for pair in found.pairs]
    if len(set(folders)) != len(folders) or set(folders) != set(found.splits):
        raise ImageError(f"{store.name}: its {MANIFEST} names pairs twice, or without a split")
    if any((pair.truth is None) != (found.kind == "noisy") for pair in found.pairs):
        raise ImageError(f"{store.name}: its {MANIFEST} says {found.kind}, and holds others")
    return found


def read_pair(folder: Path) -> PairRecord | None:
    """Record of a pair that an interrupted run finished; None where there is none to go on with."""
    try:
        return read_values(PairRecord, read_json(folder / "pair.json"))
    except (OSError, CheckpointError):
        return None


def _values(path: Path, store: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise ImageError(
            f"{store} holds no dataset ({path.name}: {error.strerror}); expected a folder that "
            "`unifmir data prepare` wrote"
        ) from error
    except CheckpointError as error:
        raise ImageError(f"{store.name}: {error}") from error
