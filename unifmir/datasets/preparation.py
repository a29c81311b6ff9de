"""Datasets prepared: pairs found, checked, cut into patches, and written to one Zarr store.

The store is built aside, pair by pair, and renamed into place when it is complete. A pair's folder
appears when all of it is written, so that an interrupted run goes on with the next pair.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.atomic import working_folder, write_text
from unifmir.datasets.dataset_manifest import (
    MANIFEST,
    DatasetManifest,
    ImageRecord,
    Lengths,
    PairRecord,
    SetAside,
    read_pair,
)
from unifmir.datasets.pair_checks import (
    check_sampling,
    magnification_of,
    measure_numbers,
    shift_between,
)
from unifmir.datasets.pair_files import OpenPair, content_sha256, opened_pair
from unifmir.datasets.pair_image import PairImage
from unifmir.datasets.pairing import FoundPair, find_pairs, splits_of
from unifmir.datasets.patch_places import chosen_places
from unifmir.datasets.patch_sizes import PatchSizes, Survey, patch_sizes
from unifmir.datasets.preparation_request import PreparationCallbacks, PreparationRequest
from unifmir.errors import ImageError, OutputError
from unifmir.file_locks import held
from unifmir.images.staged_output import StagedOutput
from unifmir.images.zarr import library
from unifmir.output_place import InputPlaces, require_fitting_name, written_to
from unifmir.tasks import TASKS
from unifmir.tasks.base import TaskSpec

logger = logging.getLogger(__name__)

PAIRS = "pairs"
_BATCH_BYTES = 2**26
"""Bytes of patches that are held before they are written."""


@dataclass(slots=True)
class _Preparation:
    """A preparation in progress."""

    request: PreparationRequest
    task: TaskSpec
    sizes: PatchSizes
    store: Path
    """Folder that the store is built in."""
    set_aside: dict[str, str]
    records: list[tuple[FoundPair, PairRecord]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    """Name of an input by its hash."""


def prepare(
    request: PreparationRequest, watch: PreparationCallbacks | None = None
) -> DatasetManifest:
    """Prepare a dataset, or go on with one whose preparation was interrupted.

    The same files and settings give the same bytes. Bad pairs are set aside, with the reason.

    Raises
    ------
    ImageError
        Nothing was found, or nothing of it can be used.
    OutputError
        The store cannot be written, or would replace something that is no dataset.
    InUseError
        Another process is writing it.
    MissingExtraError
        zarr is not installed.
    """
    watch = watch or PreparationCallbacks()
    library()
    _require_place(request)
    with held(request.out):
        found = find_pairs(request.folder, request.rules)
        set_aside = dict(found.unpaired)
        pairs = _named_well(found.pairs, set_aside)
        InputPlaces(_files(request.folder, pairs)).require_other(request.out)
        watch.on_found(len(pairs))
        task = TASKS[request.task]
        with working_folder(request.out.parent) as scratch:
            good, survey = _surveyed(request, task, pairs, set_aside, scratch, watch)
        sizes = patch_sizes(task, survey, side=request.patch, planes=request.planes)
        _set_aside_small(good, survey, sizes, set_aside)
        good = [pair for pair in good if pair.input not in set_aside]
        _require_some(request.folder, good, set_aside)
        staged = StagedOutput(request.out, _plan(request, good, set_aside))
        staged.begin(_create, resume=True)
        work = _Preparation(request, task, sizes, staged.path, set_aside)
        for number, pair in enumerate(good):
            _one_pair(work, number, pair)
            watch.on_pair(pair.input)
        _require_some(request.folder, work.records, set_aside)
        manifest = _manifest(work)
        write_text(staged.path / MANIFEST, json.dumps(manifest.to_dict(), indent=1) + "\n")
        staged.publish()
    return manifest


def _require_place(request: PreparationRequest) -> None:
    out = request.out
    if out.suffix != ".zarr":
        raise OutputError(f"{out.name}: a dataset is a folder whose name ends in .zarr; name it so")
    require_fitting_name(out, len(".unifmir-partial-.json.old"))
    if out.exists() and not (out / MANIFEST).is_file():
        raise OutputError(f"{out} is there and is no dataset: choose another name")


def _files(folder: Path, pairs: Iterable[FoundPair]) -> Iterable[Path]:
    for pair in pairs:
        yield from (folder / name for name in (pair.input, pair.truth) if name is not None)


def _named_well(pairs: Sequence[FoundPair], set_aside: dict[str, str]) -> list[FoundPair]:
    """Pairs whose names can be written down; the others are set aside under a name that can."""
    kept = []
    for pair in pairs:
        names = [name for name in (pair.input, pair.truth) if name is not None]
        if all(name.isprintable() for name in names):
            kept.append(pair)
        else:
            reason = "its name is no printable text in UTF-8: rename the file"
            set_aside[repr(pair.input)] = reason
    return kept


def _surveyed(
    request: PreparationRequest,
    task: TaskSpec,
    pairs: Sequence[FoundPair],
    set_aside: dict[str, str],
    scratch: Path,
    watch: PreparationCallbacks,
) -> tuple[list[FoundPair], dict[str, Survey]]:
    """Pairs whose files open and whose shapes fit, and what was seen of them."""
    good, survey = [], {}
    for pair in pairs:
        try:
            with _opened(request, pair, task, scratch) as images:
                survey[pair.input] = _seen(images, task)
            good.append(pair)
        except (ImageError, OSError) as error:
            set_aside[pair.input] = _reason(error)
        watch.on_surveyed(pair.input)
    return good, survey


def _opened(
    request: PreparationRequest, pair: FoundPair, task: TaskSpec, scratch: Path
) -> AbstractContextManager[OpenPair]:
    return opened_pair(
        request.folder,
        pair,
        task,
        channel=request.channel,
        scratch=scratch,
        series=request.series,
    )


def _seen(images: OpenPair, task: TaskSpec) -> Survey:
    magnification = 1
    if images.truth is not None:
        magnification = magnification_of(images.input, images.truth)
    check_sampling(images.input, images.truth, magnification, isotropic=task.isotropic_sampling)
    truth = None if images.truth is None else images.truth.shape
    return Survey(images.input.shape, truth, magnification)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ImageError):
        return f"it cannot be read: {error.strerror or type(error).__name__}"
    return str(error)


def _set_aside_small(
    pairs: Sequence[FoundPair],
    survey: dict[str, Survey],
    sizes: PatchSizes,
    set_aside: dict[str, str],
) -> None:
    for pair in pairs:
        if problem := sizes.problem(survey[pair.input]):
            set_aside[pair.input] = problem


def _require_some(folder: Path, some: Sequence[object], set_aside: dict[str, str]) -> None:
    if some:
        return
    told = "; ".join(f"{name}: {reason}" for name, reason in list(set_aside.items())[:5])
    more = f"; and {len(set_aside) - 5} more" if len(set_aside) > 5 else ""
    raise ImageError(f"{folder}: nothing in it can be used, and nothing was written. {told}{more}")


def _plan(
    request: PreparationRequest, pairs: Sequence[FoundPair], set_aside: dict[str, str]
) -> dict[str, Any]:
    """All that decides what lies aside: another plan begins anew."""
    files = {}
    for path in _files(request.folder, pairs):
        status = path.stat()
        files[path.relative_to(request.folder).as_posix()] = [
            status.st_size,
            str(status.st_mtime_ns),
        ]
    return {"kind": "dataset", **request.plan(), "files": files, "set_aside": set_aside}


def _create(path: Path) -> dict[str, Any]:
    zarr = library()
    zarr.create_group(store=str(path), zarr_format=3).create_group(PAIRS)
    return {}


def _one_pair(work: _Preparation, number: int, pair: FoundPair) -> None:
    """Check a pair and write its patches, unless an interrupted run has."""
    name = f"{number:06d}"
    target = work.store / PAIRS / name
    record = read_pair(target)
    try:
        if record is None or record.folder != name or record.input.name != pair.input:
            record = _written(work, name, pair)
        _require_new(work, pair, record)
    except (ImageError, OSError) as error:
        if isinstance(error, OutputError):
            raise
        work.set_aside[pair.input] = _reason(error)
        return
    work.records.append((pair, record))


def _require_new(work: _Preparation, pair: FoundPair, record: PairRecord) -> None:
    """Refuse an input that is there already: in two splits it would be learned and tested."""
    first = work.seen.setdefault(record.input.sha256, pair.input)
    if first != pair.input:
        raise ImageError(f"it is the same file as {first}")


def _written(work: _Preparation, name: str, pair: FoundPair) -> PairRecord:
    request = work.request
    target = work.store / PAIRS / name
    with (
        working_folder(request.out.parent) as scratch,
        _opened(request, pair, work.task, scratch) as images,
    ):
        record, places = _checked(work, name, pair, images)
        built = scratch / "built"
        with written_to(work.request.out):
            _write_patches(built, images, record, work.sizes, places)
            (built / "pair.json").write_text(json.dumps(record.to_dict(), indent=1), "utf-8")
            built.rename(target)
    return record


def _checked(
    work: _Preparation, name: str, pair: FoundPair, images: OpenPair
) -> tuple[PairRecord, list[Any]]:
    request = work.request
    image, truth = images.input, images.truth
    seen = _seen(images, work.task)
    inputs = _record(work, pair.input, image, images)
    truths = None
    if truth is not None:
        try:
            truths = _record(work, pair.truth or pair.input, truth, images)
        except ImageError as error:
            raise ImageError(f"its truth {pair.truth or 'Y'}: {error}") from error
    shift = None
    # The rows and columns of a raw light field are lenses and what is below each.
    if truth is not None and not work.task.simulation.views:
        shift = shift_between(image, truth, seen.magnification)
    if shift is not None and max(map(abs, shift)) > request.most_shift_px:
        raise ImageError(
            f"its truth lies {shift[0]:g} and {shift[1]:g} pixels (y, x) from it; allowed are "
            f"{request.most_shift_px:g} (--max-shift). Register the two, or record them again"
        )
    rng = np.random.default_rng([request.seed, int(inputs.sha256[:15], 16)])
    looked_at = image if truth is None else truth
    lengths = work.sizes.patch if work.sizes.truth is None else work.sizes.truth
    places, candidates = chosen_places(
        looked_at,
        lengths,
        seen.magnification,
        foreground=request.foreground,
        most=max(request.patches, image.frames if images.normalised else 0),
        rng=rng,
    )
    record = PairRecord(name, inputs, truths, seen.magnification, shift, len(places), candidates)
    return record, places


def _record(work: _Preparation, name: str, image: PairImage, images: OpenPair) -> ImageRecord:
    numbers = measure_numbers(
        image,
        work.task.normalization,
        normalised=images.normalised,
        most_saturated=work.request.most_saturated,
    )
    info = image.source.info
    return ImageRecord(
        name=name,
        sha256=content_sha256(work.request.folder / name),
        axes=info.axes,
        frames=image.frames,
        shape=image.shape,
        dtype=image.dtype.name,
        pixel_size_um=(info.z_step_um, *info.pixel_size_um),
        minimum=numbers.minimum,
        maximum=numbers.maximum,
        mean=numbers.mean,
        scalings=numbers.scalings,
    )


def _write_patches(
    built: Path, images: OpenPair, record: PairRecord, sizes: PatchSizes, places: Sequence[Any]
) -> None:
    group = library().create_group(store=str(built), zarr_format=3)
    told = np.array([(p.frame, p.z, p.y, p.x) for p in places], np.int64)
    group.create_array("places", data=told, chunks=told.shape)
    parts: list[tuple[str, PairImage, Lengths, int]] = [("input", images.input, sizes.patch, 1)]
    if images.truth is not None and sizes.truth is not None:
        parts.append(("truth", images.truth, sizes.truth, record.magnification))
    for name, image, lengths, magnification in parts:
        array = group.create_array(
            name, shape=(len(places), *lengths), dtype=image.dtype, chunks=(1, *lengths)
        )
        step = max(1, _BATCH_BYTES // max(1, int(np.prod(lengths)) * image.dtype.itemsize))
        for start in range(0, len(places), step):
            some = places[start : start + step]
            read = [image.read(one.frame, one.box(lengths, magnification)) for one in some]
            array[start : start + len(some)] = np.stack(read)


def _manifest(work: _Preparation) -> DatasetManifest:
    request, rule = work.request, work.task.normalization
    splits = splits_of([pair for pair, _ in work.records], request.fractions, request.seed)
    return DatasetManifest(
        schema=1,
        task=request.task,
        kind="noisy" if work.sizes.truth is None else "pairs",
        recipe=request.recipe,
        seed=request.seed,
        patch=work.sizes.patch,
        truth_patch=work.sizes.truth,
        percentiles=(rule.low_percent, rule.high_percent),
        splits={record.folder: splits[pair.group] for pair, record in work.records},
        pairs=tuple(record for _, record in work.records),
        set_aside=tuple(SetAside(name, why) for name, why in sorted(work.set_aside.items())),
    )
