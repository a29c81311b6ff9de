"""The cells of the paper's quality tables measured, as far as data and weights are on disk.

Outputs and truths are compared as the network learned them, each scaled by its own percentiles (or
minimum and maximum), before and after the fit of scale and offset.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from unifmir.benchmarks.reproduction.paper_sets import PAPER_SETS, Cut, PaperSet
from unifmir.benchmarks.reproduction.quality_tables import (
    MEASURED,
    OFFICIAL,
    MeasuredQuality,
    PrintedQuality,
    printed_quality,
)
from unifmir.datasets.pair_checks import magnification_of
from unifmir.datasets.pair_files import opened_pair
from unifmir.datasets.pair_image import PairImage
from unifmir.datasets.pairing import FoundPair, find_pairs
from unifmir.errors import ImageError, UnifmirError
from unifmir.metrics import METRICS
from unifmir.metrics.scores import Score, mean_score, score
from unifmir.networks.base import Network
from unifmir.normalize import normalize
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import SUFFIXES, load
from unifmir.zoo.catalogue.pull import how_to_get, present_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for

RETRAINED = "the paper's authors trained it, and published none"
UNPUBLISHED = {"GVTNets": "its own authors' models, which are no PyTorch files"}
"""Why a model of the tables has no weights here, where it is not `RETRAINED`."""

Image = Float32[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class ReproductionRequest:
    """Which cells are measured, and on what."""

    data: Path
    """Folder of the public sets, each in a folder named like its recipe."""
    rivals: Path | None = None
    """Folder of weights for the models whose weights were not published."""
    tables: Sequence[int] = (3, 4, 5, 6)
    images: int | None = None
    """Images of a set, at most; None: all."""
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights of a cell: where they are, or why they are not here."""

    name: str
    place: str | Path | None = None
    missing: str = ""


def reproduce(
    request: ReproductionRequest, on_image: Callable[[str], None] | None = None
) -> Iterator[MeasuredQuality]:
    """Measure the cells whose data and weights are on disk; nothing is downloaded.

    Parameters
    ----------
    request : ReproductionRequest
    on_image : callable, optional
        Called with words for each image before it is restored.

    Yields
    ------
    MeasuredQuality
        Every cell of the tables asked for, in their order, also those that lack something.

    Raises
    ------
    ImageError
        There is no folder of the data.
    """
    if not request.data.is_dir():
        raise ImageError(
            f"{request.data}: no such folder; expected one that holds the public sets, each in a "
            f"folder named {', '.join(sorted({one.folder for one in PAPER_SETS.values()}))}"
        )
    for cell in printed_quality():
        if cell.table in request.tables:
            yield _measured(cell, request, on_image or (lambda _: None))


def _measured(
    cell: PrintedQuality, request: ReproductionRequest, on_image: Callable[[str], None]
) -> MeasuredQuality:
    paper_set = PAPER_SETS[cell.dataset]
    weights = _weights(cell, paper_set, request.rivals)
    pairs, lacking = _pairs(paper_set, request)
    missing = tuple(filter(None, (lacking, weights.missing)))
    if missing or weights.place is None:
        return MeasuredQuality(cell, weights.name, missing=missing)
    scores, failed = [], {}
    try:
        predictor = _predictor(cell, weights.place, request.device)
        for pair in pairs:
            on_image(f"{cell.dataset} {cell.model} {cell.precision} {pair.input}")
            try:
                scores += list(_scores(predictor, request.data / paper_set.folder, pair, paper_set))
            except UnifmirError as error:
                failed[pair.input] = str(error)
    except UnifmirError as error:
        failed[weights.name] = str(error)
    figures: Mapping[str, float] = mean_score(scores) if scores else {}
    return MeasuredQuality(cell, weights.name, len(scores), figures, failed=failed)


def _weights(cell: PrintedQuality, paper_set: PaperSet, rivals: Path | None) -> _Weights:
    if cell.model == OFFICIAL:
        entry = find(paper_set.model)
        if present_file(entry) is None:
            told = f"no weights of {entry.id}: {how_to_get(entry)}"
            return _Weights(entry.id, missing=told)
        return _Weights(entry.id, entry.id)
    stem = f"{cell.model.lower()}-{paper_set.key}"
    found = [] if rivals is None else [rivals / f"{stem}{end}" for end in SUFFIXES]
    here = next((path for path in found if path.is_file()), None)
    if here is not None:
        return _Weights(here.name, here)
    told = (
        f"no weights of {cell.model} ({UNPUBLISHED.get(cell.model, RETRAINED)}): give yours as "
        f"{stem}.safetensors in the folder of --rivals"
    )
    return _Weights(stem, missing=told)


def _pairs(paper_set: PaperSet, request: ReproductionRequest) -> tuple[list[FoundPair], str]:
    """Pairs of a set, or why there are none."""
    told = f"no {paper_set.layout}: from {paper_set.data_from}; {paper_set.note}"
    folder = request.data / paper_set.folder
    if not folder.is_dir():
        return [], told
    try:
        found = find_pairs(folder, [paper_set.files]).pairs
    except ImageError:
        return [], told
    return list(islice(found, request.images)), "" if found else told


def _predictor(cell: PrintedQuality, place: str | Path, device: str) -> Predictor:
    network = load(place, task=cell.task)
    if cell.precision == "float16":
        network = _in_two_bytes(network)
    return predictor_for(ModelChoice(task=cell.task, device=device), network)


def _in_two_bytes(network: Network) -> Network:
    """A copy whose weights are rounded to float16; the arithmetic stays in float32."""
    copy = deepcopy(network)
    for tensor in (*copy.parameters(), *copy.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(torch.float16).float()
    return copy


def _scores(
    predictor: Predictor, folder: Path, pair: FoundPair, paper_set: PaperSet
) -> Iterator[Score]:
    """Scores of a pair's images; of a set measured by slices the mean over those of an image."""
    task = TASKS[predictor.config.task]
    with (
        tempfile.TemporaryDirectory() as name,
        opened_pair(folder, pair, task, channel=None, scratch=Path(name)) as images,
    ):
        if images.truth is None:
            raise ImageError(f"{pair.input} has no truth: expected {paper_set.files.truth}")
        magnification_of(images.input, images.truth)
        for frame in range(images.input.frames):
            image, truth = (_whole(one, frame) for one in (images.input, images.truth))
            yield _compared(_restored(predictor, image), truth, predictor, paper_set.cut)


def _whole(image: PairImage, frame: int) -> Image:
    z, y, x = (slice(0, length) for length in image.shape)
    pixels = image.read(frame, (z, y, x)).astype(np.float32)
    return pixels if "z" in image.axes else pixels[0]


def _restored(predictor: Predictor, image: Image) -> Image:
    """Result of the network, in the scale it learned."""
    config = predictor.config
    isotropic = TASKS[config.task].isotropic_sampling
    options = Options(intensity="percentile", z_factor=1.0 if isotropic else None)
    _, scaling = normalize(image, config.normalization)
    found = (restore_array(image, predictor, options=options) - scaling.low) / scaling.span
    restored: Image = np.clip(found, 0, 1) if config.normalization.clip else found
    return restored.astype(np.float32)


def _compared(restored: Image, truth: Image, predictor: Predictor, cut: Cut) -> Score:
    if restored.shape != truth.shape:
        raise ImageError(f"it is restored to {restored.shape}, and its truth is {truth.shape}")
    scaled, _ = normalize(truth, predictor.config.normalization)
    metrics = {name: METRICS[name] for name in MEASURED}
    if cut == "whole":
        return score(restored, scaled, metrics)
    axis = "zyx".index({"xy": "z", "xz": "y"}[cut])
    slices = zip(np.moveaxis(restored, axis, 0), np.moveaxis(scaled, axis, 0), strict=True)
    # A slice of one value has no range to measure by.
    return mean_score([score(one, other, metrics) for one, other in slices if np.ptp(other) > 0])
