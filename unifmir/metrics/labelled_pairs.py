"""Labelled objects in image files, and the segmentation scores of restored ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unifmir.errors import ImageError
from unifmir.metrics.image_pairs import ImagePair, find_image_pairs, read_pair
from unifmir.metrics.overlap import whole_numbers
from unifmir.metrics.pixel_classifier import LabelledImage, segmentation_scores
from unifmir.metrics.scores import Score


def add_segmentation(
    places: Sequence[Path], truth: Path, labels: Path, scores: Sequence[Mapping[str, Score]]
) -> list[dict[str, Score]]:
    """Scores of restored images with those of their segmentation.

    Parameters
    ----------
    places : sequence of Path
        A folder of restored images for each set that has scores.
    truth : Path
        Folder of the truths.
    labels : Path
        Folder with an image of labels for each truth, of its name and shape: 0 is background, each
        object has a whole number of its own.
    scores : sequence of mapping
        For each set, name of the truth -> figures; sets beyond the places stay as they are.

    Returns
    -------
    list of dict
        The same with the figures of `unifmir.metrics.overlap.OVERLAPS`.

    Raises
    ------
    ImageError
        A truth that was measured has no labels, labels are no whole numbers, or there are too few.
    MissingExtraError
        scikit-learn is not installed.
    """
    labelled = {pair.name: pair for pair in find_image_pairs(labels, truth).pairs}
    wanted = {name for measured in scores for name in measured}
    if missing := sorted(wanted - labelled.keys()):
        raise ImageError(
            f"{labels} has no labels for {missing[0]}: expected an image of that name, with 0 for "
            "background and a number for each object"
        )
    images = {name: _labelled(labelled[name]) for name in sorted(wanted)}
    sets = [
        {
            pair.name: read_pair(pair)[0]
            for pair in find_image_pairs(place, truth).pairs
            if pair.name in measured
        }
        for place, measured in zip(places, scores, strict=False)
    ]
    found = [*segmentation_scores(images, *sets), *({} for _ in scores[len(sets) :])]
    return [
        {name: {**score, **more[name]} for name, score in measured.items()}
        for measured, more in zip(scores, found, strict=True)
    ]


def _labelled(pair: ImagePair) -> LabelledImage:
    labels, truth = read_pair(pair)
    return LabelledImage(truth, whole_numbers(pair.restored.name, labels))
