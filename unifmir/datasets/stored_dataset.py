"""Datasets as training reads them: normalised patches of a split, one at a time from the disk."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from jaxtyping import Float32

from unifmir.datasets.dataset_manifest import (
    MANIFEST,
    DatasetManifest,
    ImageRecord,
    PairRecord,
    read_manifest,
)
from unifmir.datasets.pairing import Split
from unifmir.errors import ImageError
from unifmir.hashing import sha256_of
from unifmir.images.damage import reading
from unifmir.images.zarr import library
from unifmir.networks.interface import BRIGHTEST_FRACTION
from unifmir.normalize import Scaling, scaled
from unifmir.registry import require_known
from unifmir.tasks import TASKS
from unifmir.tasks.base import TruthScaling

if TYPE_CHECKING:
    from zarr import Array

Patch = Float32[np.ndarray, "..."]
"""Normalised; axes of the task's image or result."""
MOST_GAIN = 10.0
"""Range of a truth over that of its input beyond which the two have other units, or exposures."""
_KEPT_OPEN = 64
"""Pairs whose arrays are kept open: looking for one takes as long as reading a patch."""


@dataclass(frozen=True, slots=True)
class PatchOfPair:
    """Which patch of which pair."""

    pair: PairRecord
    number: int


class PatchesOfSplit(Sequence[PatchOfPair]):
    """All patches of some pairs, in order; they are counted, not listed."""

    def __init__(self, pairs: Sequence[PairRecord]) -> None:
        self._pairs = pairs
        self._ends = list(accumulate(pair.patches for pair in pairs))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> PatchOfPair: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PatchOfPair]: ...

    def __getitem__(self, index: int | slice) -> PatchOfPair | Sequence[PatchOfPair]:
        """One of them, or some."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        which = bisect_right(self._ends, index)
        pair = self._pairs[which]
        return PatchOfPair(pair, index - self._ends[which] + pair.patches)


class StoredDataset:
    """A dataset that `unifmir data prepare` wrote.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImageError
        There is none, or it is damaged.
    MissingExtraError
        zarr is not installed.
    """

    def __init__(self, path: Path) -> None:
        zarr = library()
        from unifmir.images.zarr_store import held_folder

        self.path = path
        self.manifest: DatasetManifest = read_manifest(path)
        require_known("task", self.manifest.task, TASKS, ImageError)
        self.task = TASKS[self.manifest.task]
        self._require_depths()
        self.sha256: str = sha256_of(path / MANIFEST)
        """Hash of the manifest, which names that of every file."""
        with reading(path):
            self._group: Any = zarr.open_group(store=held_folder(path), mode="r")
        self._open: dict[str, dict[str, Array[Any]]] = {}

    def _require_depths(self) -> None:
        """Refuse stacks of a task that has planes, as of a manifest that names another task."""
        task, manifest = self.task, self.manifest
        for axes, lengths in (
            (task.input_axes, manifest.patch),
            (task.output_axes, manifest.truth_patch),
        ):
            if lengths is not None and "z" not in axes and lengths[0] > 1:
                raise ImageError(
                    f"{self.path.name}: its patches have {lengths[0]} planes, and {task.name} has "
                    "single ones: it is damaged, prepare it again"
                )

    def patches(self, split: Split) -> "PatchesOfSplit":
        """All patches of a split, in order."""
        return PatchesOfSplit(self.manifest.of(split))

    def input(self, patch: PatchOfPair) -> Patch:
        """An input as the network takes it."""
        rule = self.task.normalization
        return self._read(patch, "input", patch.pair.input, clip=rule.clip)

    def scaling(self, patch: PatchOfPair, part: Literal["input", "truth"] = "input") -> Scaling:
        """Scaling of the image that a patch is of; the identity where it was normalised before."""
        record = patch.pair.input if part == "input" else patch.pair.truth
        if record is None or not (kept := record.scalings):
            return Scaling()
        frame = self._frame(patch, record)
        return Scaling(kept[frame].low, kept[frame].span)

    def recorded(self, patch: PatchOfPair) -> tuple[Patch, Patch]:
        """An input and its truth as they were recorded, float32.

        Raises
        ------
        ImageError
            The dataset has noisy images alone, or is damaged.
        """
        if patch.pair.truth is None:
            raise ImageError(f"{self.path.name} holds noisy images alone: it has no truths")
        image, truth = (
            self._read(patch, part, replace(record, scalings=()), clip=False)
            for part, record in (("input", patch.pair.input), ("truth", patch.pair.truth))
        )
        return image, truth

    @property
    def keeps_intensities(self) -> bool:
        """Whether truths can be scaled as their inputs: files of normalised images cannot."""
        images = (image for pair in self.manifest.pairs for image in (pair.input, pair.truth))
        return all(image is None or image.scalings for image in images)

    @property
    def range_gain(self) -> float | None:
        """Median range of a truth over that of its input; None where they have none to compare."""
        gains = [
            truth.span / given.span
            for pair in self.manifest.pairs
            if pair.truth is not None
            # A manifest that has fewer of one is refused where the frame is read.
            for given, truth in zip(pair.input.scalings, pair.truth.scalings, strict=False)
            if given.span > 0
        ]
        return median(gains) if gains else None

    @property
    def shares_units(self) -> bool:
        """Whether inputs and truths seem to have intensities of one unit and exposure."""
        gain = self.range_gain
        comparable = self.task.normalization.invertible and self.keeps_intensities
        return comparable and gain is not None and 1 / MOST_GAIN <= gain <= MOST_GAIN

    def truth(self, patch: PatchOfPair, intensities: TruthScaling) -> Patch:
        """A truth as the network learns it.

        Parameters
        ----------
        patch : PatchOfPair
        intensities : {"own", "shared"}
            Whose percentiles scale it: its own, as in the paper, or its input's. The same for a
            light field's, which is no image of intensities.

        Raises
        ------
        ImageError
            The dataset has noisy images alone, or images that were normalised before and cannot
            share a scaling.
        """
        pair = patch.pair
        if pair.truth is None:
            raise ImageError(f"{self.path.name} holds noisy images alone: it has no truths")
        rule = self.task.normalization
        if intensities == "own" or not rule.invertible:
            return self._read(patch, "truth", pair.truth, clip=rule.clip)
        if not (pair.input.scalings and pair.truth.scalings):
            raise ImageError(
                f"{self.path.name} holds images that were normalised before, input and truth each "
                "by its own percentiles: they cannot share intensities; train with "
                "--intensities own"
            )
        shared = replace(pair.truth, scalings=pair.input.scalings)
        return self._read(patch, "truth", shared, clip=False)

    def _read(self, patch: PatchOfPair, part: str, record: ImageRecord, *, clip: bool) -> Patch:
        arrays = self._arrays(patch.pair)
        with reading(self.path):
            values = np.asarray(arrays[part][patch.number])
        frame = self._frame(patch, record) if record.scalings else 0
        found = self._scaled(values, part, record, frame, clip=clip)
        axes = self.task.input_axes if part == "input" else self.task.output_axes
        if not np.isfinite(found).all():
            raise ImageError(f"{self.path.name}: a patch of {record.name} is damaged: it holds NaN")
        return found if "z" in axes else found[0]

    def truth_start(self, patch: PatchOfPair) -> tuple[int, int, int]:
        """First plane, row and column of a patch in its truth, whose frames follow each other."""
        truth, lengths = patch.pair.truth, self.manifest.truth_patch
        with reading(self.path):
            frame, z, y, x = map(int, np.asarray(self._arrays(patch.pair)["places"][patch.number]))
        if truth is None or lengths is None:
            raise ImageError(f"{self.path.name} holds noisy images alone: it has no truths")
        z = z if "z" in self.task.output_axes and "z" in self.task.input_axes else 0
        start = (z, y * patch.pair.magnification, x * patch.pair.magnification)
        inside = all(
            0 <= one <= whole - part
            for one, whole, part in zip(start, truth.shape, lengths, strict=True)
        )
        if not (0 <= frame < truth.frames and inside):
            raise ImageError(
                f"{self.path.name}: pair {patch.pair.folder} has a patch outside of its truth: it "
                "is damaged, prepare it again"
            )
        return frame * truth.shape[0] + start[0], start[1], start[2]

    def _frame(self, patch: PatchOfPair, record: ImageRecord) -> int:
        """The frame of the image that a patch is of."""
        arrays = self._arrays(patch.pair)
        with reading(self.path):
            frame = int(np.asarray(arrays["places"][patch.number])[0])
        if not 0 <= frame < len(record.scalings):
            raise ImageError(f"{self.path.name}: pair {patch.pair.folder} has no frame {frame}")
        return frame

    def _scaled(
        self,
        values: np.ndarray[Any, Any],
        part: str,
        record: ImageRecord,
        frame: int,
        *,
        clip: bool,
    ) -> Patch:
        if not record.scalings:
            return values.astype(np.float32)
        kept = record.scalings[frame]
        if kept.span <= 0:
            raise ImageError(f"{self.path.name}: {record.name} has no range to be scaled by")
        relative = scaled(values, Scaling(kept.low, kept.span, clip))
        if not self.task.normalization.inside:
            return relative
        # A light field's network reads [-1, 1], as `unifmir.simulate.normalize_pair` gives it.
        factor = np.float32(1 / BRIGHTEST_FRACTION if part == "input" else 2)
        return relative * factor - np.float32(1)

    def _arrays(self, pair: PairRecord) -> "dict[str, Array[Any]]":
        found = self._open.pop(pair.folder, None)
        if found is None:
            found = self._opened(pair)
            if len(self._open) >= _KEPT_OPEN:
                del self._open[next(iter(self._open))]
        self._open[pair.folder] = found
        return found

    def _opened(self, pair: PairRecord) -> "dict[str, Array[Any]]":
        zarr = library()
        manifest = self.manifest
        shapes: dict[str, tuple[int, ...]] = {
            "places": (pair.patches, 4),
            "input": (pair.patches, *manifest.patch),
        }
        if manifest.truth_patch is not None:
            shapes["truth"] = (pair.patches, *manifest.truth_patch)
        found = {}
        with reading(self.path):
            for name, shape in shapes.items():
                array = self._group.get(f"pairs/{pair.folder}/{name}")
                if not isinstance(array, zarr.Array) or array.shape != shape:
                    raise ImageError(
                        f"its array {name} of pair {pair.folder} is missing, or another than the "
                        "manifest says: prepare the dataset again"
                    )
                if np.dtype(array.dtype).kind not in "biuf":
                    raise ImageError(f"its pair {pair.folder} holds no real numbers")
                found[name] = array
        return found


@dataclass(frozen=True, slots=True)
class StoredPatches(Sequence[Patch]):
    """The inputs or the truths of a split, read when they are asked for."""

    dataset: StoredDataset
    patches: Sequence[PatchOfPair]
    truths: TruthScaling | None = None
    """How truths are scaled; None: they are the inputs."""

    def __len__(self) -> int:
        return len(self.patches)

    @overload
    def __getitem__(self, index: int) -> Patch: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredPatches": ...

    def __getitem__(self, index: "int | slice") -> "Patch | StoredPatches":
        """One of them, normalised."""
        if isinstance(index, slice):
            return StoredPatches(self.dataset, self.patches[index], self.truths)
        patch = self.patches[index]
        if self.truths is None:
            return self.dataset.input(patch)
        return self.dataset.truth(patch, self.truths)
