"""How near a model's results are to the truths of a prepared dataset, image by image.

A dataset holds patches, and the percentiles of the whole image that each was cut from: a patch is
restored as it would be inside of that image, but for what lies beyond its edges.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unifmir.checkpoint.pruning import task_network
from unifmir.config import MultiTaskConfig, SingleConfig
from unifmir.datasets.dataset_manifest import PairRecord
from unifmir.datasets.pairing import Split
from unifmir.datasets.patch_labels import Labels, labels_of
from unifmir.datasets.stored_dataset import Patch, PatchOfPair, StoredDataset
from unifmir.errors import ImageError
from unifmir.interfaces import interface_of, reads_single_planes
from unifmir.metrics.base import RestoredImage
from unifmir.metrics.image_pairs import MEASURED
from unifmir.metrics.paired_comparison import PairedDifference, compare_scores
from unifmir.metrics.pixel_classifier import LabelledImage, segmentation_scores
from unifmir.metrics.scores import Score, best_by, mean_score, score
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.registry import resolve
from unifmir.simulate import SimulatedPair
from unifmir.training.pool import check_fits_dataset


@dataclass(frozen=True, slots=True)
class RestoredPatches:
    """All patches of one image, one behind the other along the planes, in the truth's units."""

    name: str
    """Name of the input's file."""
    patches: int
    whole: bool
    """Whether it is one patch that is the whole image."""
    restored: RestoredImage
    truth: RestoredImage
    baselines: Mapping[str, RestoredImage]
    """Results of the task's simple methods by name."""
    rival: RestoredImage | None = None
    """Result of a second model."""


@dataclass(frozen=True, slots=True)
class DatasetEvaluation:
    """Scores of a model, of simple methods and of a second model on a split of a dataset."""

    task: str
    split: Split
    patches: int
    whole_images: int
    """Patches that are a whole image."""
    images: Mapping[str, Score]
    """Scores of the model by image."""
    baselines: Mapping[str, Mapping[str, Score]]
    """Scores of each simple method by image."""
    rival: Mapping[str, Score] | None = None
    """Scores of the second model by image, where there is one."""

    @property
    def best_baseline(self) -> str:
        """Name of the simple method with the highest mean PSNR."""
        return best_by(self._means())

    @property
    def differences(self) -> Mapping[str, PairedDifference]:
        """Model minus the second model or, where there is none, the best simple method."""
        other = self.baselines[self.best_baseline] if self.rival is None else self.rival
        return compare_scores(self.images, other)

    def _means(self) -> dict[str, Score]:
        return {name: mean_score(list(rows.values())) for name, rows in self.baselines.items()}

    def to_dict(self) -> dict[str, object]:
        """JSON values of the figures."""
        return {
            "task": self.task,
            "split": self.split,
            "patches": self.patches,
            "whole_images": self.whole_images,
            "images": self.images,
            "model_mean": mean_score(list(self.images.values())),
            "best_baseline": self.best_baseline,
            "baselines": self._means(),
            "differences": {name: one.to_dict() for name, one in self.differences.items()},
        }


def evaluate_on_dataset(
    network: Network,
    dataset: StoredDataset,
    split: Split,
    *,
    rival: Network | None = None,
    labels: Path | None = None,
    on_image: Callable[[RestoredPatches], None] | None = None,
) -> DatasetEvaluation:
    """Score a model and the simple methods of its task on the images of a split.

    Parameters
    ----------
    rival : Network, optional
        Second model, that the first is compared with on the same patches.
    labels : Path, optional
        Folder of labelled objects of the truths: the segmentation of the models' results and of
        the best simple method's is scored too, and the other methods are left out. All images are
        held meanwhile.
    on_image : callable, optional
        Called with each image once it is measured.

    Raises
    ------
    CheckpointError, ImageError
        As `restored_patches`, `labels_of` and `segmentation_scores`.
    MissingExtraError
        There are labels, and scikit-learn is not installed.
    """
    # Before anything is restored: labels that are none are told at once.
    objects = None if labels is None else labels_of(dataset, dataset.manifest.of(split), labels)
    held: dict[str, RestoredPatches] = {}
    images: dict[str, Score] = {}
    rivals: dict[str, Score] = {}
    baselines: dict[str, dict[str, Score]] = {}
    patches = whole = 0
    for image in restored_patches(network, dataset, split, rival):
        images[image.name] = score(image.restored, image.truth, MEASURED)
        for name, candidate in image.baselines.items():
            found = score(candidate, image.truth, MEASURED)
            baselines.setdefault(name, {})[image.name] = found
        if image.rival is not None:
            rivals[image.name] = score(image.rival, image.truth, MEASURED)
        patches, whole = patches + image.patches, whole + image.whole
        if objects is not None:
            held[image.name] = image
        if on_image is not None:
            on_image(image)
    evaluated = DatasetEvaluation(
        dataset.task.name, split, patches, whole, images, baselines, rivals or None
    )
    return evaluated if objects is None else _segmented(evaluated, held, objects)


def _segmented(
    found: DatasetEvaluation, held: Mapping[str, RestoredPatches], objects: Mapping[str, Labels]
) -> DatasetEvaluation:
    """Figures with those of the segmentation, of the models and of the best simple method."""
    best = found.best_baseline
    labelled = {
        name: LabelledImage(image.truth, objects[name].reshape(image.truth.shape))
        for name, image in held.items()
    }
    scored = segmentation_scores(
        labelled,
        {name: image.restored for name, image in held.items()},
        {name: image.baselines[best] for name, image in held.items()},
        {name: image.rival for name, image in held.items() if image.rival is not None},
    )
    model, simple, rival = (
        {name: {**figures, **more[name]} for name, figures in one.items()}
        for one, more in zip(
            (found.images, found.baselines[best], found.rival or {}), scored, strict=True
        )
    )
    return replace(found, images=model, baselines={best: simple}, rival=rival or None)


def restored_patches(
    network: Network, dataset: StoredDataset, split: Split, rival: Network | None = None
) -> Iterator[RestoredPatches]:
    """Restore the patches of a split, with intensities by the exact inverse of the scaling.

    Parameters
    ----------
    network : Network
        Multi-task, or single-task for the dataset's task.
    dataset : StoredDataset
    split : {"train", "validation", "test"}
    rival : Network, optional
        Second model, whose results are given beside those of the first.

    Raises
    ------
    CheckpointError
        A model restores another task, or images of another make.
    ImageError
        The split is empty, the dataset has noisy images alone, or it is damaged.
    """
    pairs = dataset.manifest.of(split)
    if dataset.manifest.kind != "pairs":
        raise ImageError(
            f"{dataset.path.name} has noisy images alone, and no truths to measure by: prepare one "
            "from inputs and truths (unifmir data prepare --input NAME --truth NAME)"
        )
    if not pairs:
        counts = ", ".join(
            f"{len(dataset.manifest.of(one))} for {one}" for one in ("train", "validation", "test")
        )
        raise ImageError(
            f"{dataset.path.name} has no pairs for {split}, but {counts}: name another with "
            "--split, or prepare more files (a tenth is for test from five on)"
        )
    networks = []
    for one in (network, rival):
        if one is not None:
            check_fits_dataset(one.config, dataset)
            shared = isinstance(one.config, MultiTaskConfig)
            networks.append(task_network(one, dataset.task.name) if shared else one)
    for pair in pairs:
        yield _of_pair(networks, dataset, pair)


def _of_pair(
    networks: Sequence[Network], dataset: StoredDataset, pair: PairRecord
) -> RestoredPatches:
    simple = resolve(dataset.task.evaluation.baselines)
    truths, baselines = [], []
    for number in range(pair.patches):
        patch = PatchOfPair(pair, number)
        image, truth = dataset.recorded(patch)
        if dataset.task.normalization.inside:
            # Densities from 0 to 1, as the network gives them.
            truth = (dataset.truth(patch, "own") + 1) / 2
        truths.append(truth)
        baselines.append(simple(SimulatedPair(dataset.task.name, image, truth, truth)))
    restored, *rival = (_restored_pair(network, dataset, pair) for network in networks)
    return RestoredPatches(
        pair.input.name,
        pair.patches,
        pair.patches == 1 and pair.input.shape == dataset.manifest.patch,
        restored,
        _joined(truths),
        {name: _joined([one[name] for one in baselines]) for name in baselines[0]},
        *rival,
    )


def _restored_pair(network: Network, dataset: StoredDataset, pair: PairRecord) -> Patch:
    module = image_interface(network)
    patches = (PatchOfPair(pair, number) for number in range(pair.patches))
    return _joined([_restored(network, module, dataset, patch) for patch in patches])


def _restored(
    network: Network, module: nn.Module, dataset: StoredDataset, patch: PatchOfPair
) -> Patch:
    config: SingleConfig = network.config
    given = torch.from_numpy(np.ascontiguousarray(dataset.input(patch)))
    row, planes = interface_of(config), reads_single_planes(config)
    with torch.inference_mode():
        if row.lenses:
            # The image interface would look for the brightest pixel of the patch alone.
            views = F.pixel_unshuffle(given[None, None], row.lens_px(config.signature))
            volume: Patch = ((network(views)[0].clamp(-1, 1) + 1) / 2).numpy()
            return volume
        out = module(given[:, None] if planes else given[None, None]).numpy()
    scaling = replace(dataset.scaling(patch), clip=config.normalization.clip)
    return scaling.invert(out[:, 0] if planes else out[0, 0])


def _joined(images: Sequence[Patch]) -> Patch:
    return np.concatenate([image.reshape(-1, *image.shape[-2:]) for image in images])
