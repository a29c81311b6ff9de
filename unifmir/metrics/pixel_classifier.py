"""Segmentation by a trained pixel classifier, as biologists segment restored images.

Ma et al. 2024 (Methods, "Image restoration and segmentation") segment by trainable Weka
segmentation (Arganda-Carreras et al., Bioinformatics 2017): a random forest tells foreground from
background by what filters of several scales say of each pixel. Here are scikit-image's filters and
scikit-learn's forest. The forest learns from the truths and their labels, and segments restored
images that it has not seen the truths of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from skimage.feature import multiscale_basic_features
from skimage.future import fit_segmenter, predict_segmenter

from unifmir.errors import ImageError, MissingExtraError
from unifmir.metrics.base import RestoredImage
from unifmir.metrics.overlap import OVERLAPS, Objects, objects_of
from unifmir.metrics.scores import Score

TREES = 100
DEEPEST = 20
FINEST_PX, COARSEST_PX = 1.0, 8.0
"""Standard deviations of the Gaussians, doubled from one to the next."""
PIXELS_OF_CLASS = 20_000
"""Pixels of foreground, and of background, that a forest learns from at most."""
FOLDS = 5
"""Parts that images are dealt out to: each is segmented by what the others taught."""
PERCENTILES = (2, 99.8)
"""Percentiles of an image that become 0 and 1: its units and offset say nothing of its objects."""
BACKGROUND, FOREGROUND = 1, 2
SEED = 0


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A truth and its objects."""

    truth: RestoredImage
    labels: Objects


def segmentation_scores(
    images: Mapping[str, LabelledImage], *sets: Mapping[str, RestoredImage]
) -> list[dict[str, Score]]:
    """Overlap of segmented images with the labels, of each set of restored images.

    Parameters
    ----------
    images : mapping of name to LabelledImage
        At least two: an image's own truth never teaches the forest that segments it.
    sets : mapping of name to array, (y, x) or (planes, y, x)
        Restored images, of the shapes of their truths; any units.

    Returns
    -------
    list of dict
        For each set, name -> the figures of `OVERLAPS`.

    Raises
    ------
    ImageError
        There are fewer than two images, or no foreground or no background to learn from.
    MissingExtraError
        scikit-learn is not installed.
    """
    if len(images) < 2:
        raise ImageError(
            "segmentation needs two labelled images at least: the classifier that segments one "
            "learns from the others"
        )
    found: list[dict[str, Score]] = [{} for _ in sets]
    for taught, asked in _folds(sorted(images)):
        classifier = PixelClassifier([images[name] for name in taught])
        for scores, restored in zip(found, sets, strict=True):
            for name in asked:
                if name in restored:
                    objects = classifier.objects(restored[name])
                    scores[name] = {
                        metric: row.measure(objects, images[name].labels)
                        for metric, row in OVERLAPS.items()
                    }
    return found


def _folds(names: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Names to learn from, and names to segment, of each fold."""
    parts = min(FOLDS, len(names))
    for part in range(parts):
        asked = list(names[part::parts])
        yield [name for name in names if name not in asked], asked


class PixelClassifier:
    """Random forest that tells foreground from background, pixel by pixel.

    Parameters
    ----------
    images : sequence of LabelledImage

    Raises
    ------
    ImageError
        There is no foreground, or no background.
    MissingExtraError
        scikit-learn is not installed.
    """

    def __init__(self, images: Sequence[LabelledImage]) -> None:
        try:
            from sklearn.ensemble import RandomForestClassifier
        except ImportError as error:
            raise MissingExtraError(
                "segmentation needs scikit-learn: pip install 'unifmir[segmentation]'"
            ) from error
        forest = RandomForestClassifier(
            n_estimators=TREES, max_depth=DEEPEST, n_jobs=1, random_state=SEED
        )
        rng = np.random.default_rng(SEED)
        features, classes = [], []
        for image in images:
            for plane, labels in zip(_planes(image.truth), _planes(image.labels), strict=True):
                chosen = _chosen(labels, PIXELS_OF_CLASS // len(images), rng)
                features.append(_features(plane).reshape(chosen.size, -1)[chosen.ravel() > 0])
                classes.append(chosen[chosen > 0])
        learned = np.concatenate(classes)
        if set(np.unique(learned)) != {BACKGROUND, FOREGROUND}:
            what = "objects" if FOREGROUND not in learned else "background"
            raise ImageError(f"the labels have no {what}: nothing can be learned from them")
        self._forest = fit_segmenter(learned, np.concatenate(features), forest)

    def objects(self, image: RestoredImage) -> Objects:
        """Objects of an image, (y, x) or (planes, y, x), in any units."""
        classes = [predict_segmenter(_features(plane), self._forest) for plane in _planes(image)]
        return objects_of(np.stack(classes).reshape(image.shape) == FOREGROUND)


def _planes(image: np.ndarray) -> np.ndarray:
    planes: np.ndarray = image.reshape(-1, *image.shape[-2:])
    return planes


def _features(plane: RestoredImage) -> Float32[np.ndarray, "y x features"]:
    """Intensity, gradient and curvatures of a plane at each scale."""
    low, high = np.percentile(plane, PERCENTILES)
    scaled = ((plane - low) / ((high - low) or 1.0)).astype(np.float32)
    found: np.ndarray = multiscale_basic_features(
        scaled, sigma_min=FINEST_PX, sigma_max=COARSEST_PX, workers=1
    )
    return found.astype(np.float32)


def _chosen(labels: Objects, most: int, rng: np.random.Generator) -> Objects:
    """Classes of the pixels that are learned from, at random and no more than `most` each; 0."""
    chosen = np.zeros(labels.shape, np.uint8)
    for number, pixels in ((BACKGROUND, labels == 0), (FOREGROUND, labels > 0)):
        places = np.flatnonzero(pixels)
        if len(places) > most:
            places = rng.choice(places, most, replace=False)
        chosen.flat[places] = number
    return chosen
