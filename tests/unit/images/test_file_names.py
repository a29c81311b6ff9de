"""Names of image files: their ends, and what is named after them."""

from pathlib import Path

import pytest

from unifmir.datasets.path_patterns import path_pattern
from unifmir.images.file_names import IMAGE_SUFFIXES, image_stem, image_suffix
from unifmir.zoo.restore.outputs import output_path


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("cells.OME.TIF", "cells", ".ome.tif"),
        ("cells.nii.gz", "cells", ".nii.gz"),
        ("a.b.zarr.zip", "a.b", ".zarr.zip"),
        ("plate.ome.zarr.zip", "plate", ".ome.zarr.zip"),
        ("notes.txt", "notes.txt", ""),
    ],
)
def test_the_longest_end_counts_in_any_case(name, stem, suffix):
    assert (image_stem(name), image_suffix(name)) == (stem, suffix)


def test_no_end_hides_a_longer_one():
    for place, end in enumerate(IMAGE_SUFFIXES):
        assert not [later for later in IMAGE_SUFFIXES[place + 1 :] if later.endswith(end)]


def test_results_and_pairs_are_named_by_them():
    assert output_path(Path("cells.nii.gz"), "sr") == Path("cells.sr.tif")
    assert path_pattern("low").texts("low/CELLS.TIF") == {"1": "CELLS"}
    assert path_pattern("low").texts("low/notes.txt") is None
