"""Labelled objects of a dataset's truths, from image files beside it, patch by patch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from unifmir.datasets.dataset_manifest import PairRecord
from unifmir.datasets.path_patterns import image_places
from unifmir.datasets.stored_dataset import PatchOfPair, StoredDataset
from unifmir.errors import ImageError
from unifmir.images.base import times, whole_region
from unifmir.images.damage import check_size, reading
from unifmir.images.file_names import image_stem, image_suffix
from unifmir.images.open_files import open_source
from unifmir.metrics.overlap import whole_numbers

Labels = Int64[np.ndarray, "..."]


def labels_of(
    dataset: StoredDataset, pairs: Sequence[PairRecord], folder: Path
) -> Mapping[str, Labels]:
    """Labels of pairs: of each all its patches, one behind the other along the planes.

    Parameters
    ----------
    dataset : StoredDataset
    pairs : sequence of PairRecord
        Some of its pairs, with truths.
    folder : Path
        Folder of an image of labels for each truth file, named like it, of its shape.

    Returns
    -------
    mapping
        Name of the input -> whole numbers, shape (patches * planes, y, x); 0 is background.

    Raises
    ------
    ImageError
        A truth has no labels or two, they have another shape, are damaged, or no whole numbers.
    """
    files = {place: image_stem(place) for place in image_places(folder) if image_suffix(place)}
    return {pair.input.name: _of_pair(dataset, pair, folder, files) for pair in pairs}


def _of_pair(
    dataset: StoredDataset, pair: PairRecord, folder: Path, files: Mapping[str, str]
) -> Labels:
    place = _named_like(pair, folder, files)
    planes = _read(folder / place, place, pair)
    depth, height, width = dataset.manifest.truth_patch or (1, 1, 1)
    patches = []
    for number in range(pair.patches):
        plane, y, x = dataset.truth_start(PatchOfPair(pair, number))
        box = (slice(plane, plane + depth), slice(y, y + height), slice(x, x + width))
        patches.append(planes[box])
    return np.concatenate(patches)


def _named_like(pair: PairRecord, folder: Path, files: Mapping[str, str]) -> str:
    """The file of a pair's labels: named like the truth, with its folders or without."""
    if pair.truth is None:
        raise ImageError(f"{pair.input.name} has no truth, and so no labels")
    wanted = image_stem(pair.truth.name)
    last = wanted.rpartition("/")[2]
    found = [place for place, stem in files.items() if stem == wanted]
    found = found or [place for place, stem in files.items() if stem.rpartition("/")[2] == last]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} images of labels" if found else "no labels"
    raise ImageError(
        f"{folder} has {what} for {pair.truth.name}: expected one image {last}, with 0 for "
        "background and a number for each object"
    )


def _read(path: Path, place: str, pair: PairRecord) -> Labels:
    """All planes of an image of labels, those of the truth's frames one behind the other."""
    source = open_source(path)
    try:
        t, c, z, y, x = source.shape
        truth = pair.truth
        wanted = (truth.frames * truth.shape[0], 1, *truth.shape[1:]) if truth else ()
        # Planes and time points are told apart by few files, and belong together in either case.
        if (t * z, c, y, x) != wanted:
            raise ImageError(
                f"{place}: it has {times((t * z, c, y, x))} pixels (planes, channels, y, x), and "
                f"its truth {times(wanted)}: expected a number for each pixel of the truth"
            )
        check_size(path, t * z * y * x * np.dtype(np.int64).itemsize)
        with reading(path):
            values = source.read(whole_region(source.shape))
    finally:
        source.close()
    return whole_numbers(place, values.reshape(t * z, y, x))
