"""Recipes of public sets on miniature copies of their layouts."""

import shutil

import numpy as np
import pytest

from tests.helpers.public_set_copies import COPIES
from unifmir.datasets.pairing import SPLITS, find_pairs
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.public_sets import PUBLIC_SETS, public_set
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import ImageError, UnknownNameError
from unifmir.tasks import TASKS


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_every_layout_is_found(name, tmp_path):
    make, expected = COPIES[name]
    make(tmp_path, np.random.default_rng(4))
    found = find_pairs(tmp_path, PUBLIC_SETS[name].rules)
    assert len(found.pairs) == sum(expected)
    assert not found.unpaired
    assert PUBLIC_SETS[name].task in TASKS


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_miniature_copy_of_every_set_is_prepared(name, tmp_path):
    make, expected = COPIES[name]
    make(tmp_path / "set", np.random.default_rng(4))
    row = public_set(name)
    request = PreparationRequest(tmp_path / "set", tmp_path / "a.zarr", row.task, row.rules, name)
    manifest = prepare(request)
    assert manifest.set_aside == ()
    assert tuple(len(manifest.of(split)) for split in SPLITS) == expected
    dataset = StoredDataset(tmp_path / "a.zarr")
    first = dataset.patches("train")[0]
    assert dataset.input(first).ndim == len(TASKS[row.task].input_axes)
    assert dataset.truth(first, "own").ndim == len(TASKS[row.task].output_axes)


@pytest.mark.parametrize("present", ["table.csv", "cell1/table.smlm", "cell1/widefield.tif"])
def test_tables_of_localisations_are_refused_with_what_to_render(present, tmp_path):
    make, _ = COPIES["shareloc"]
    make(tmp_path / "copy", np.random.default_rng(4))
    path = tmp_path / "set" / present
    path.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "copy/cell1/widefield.tif", path)
    row = public_set("shareloc")
    with pytest.raises(ImageError, match=r"tables of localisations .* render each first"):
        prepare(PreparationRequest(tmp_path / "set", tmp_path / "a.zarr", row.task, row.rules))


def test_an_unknown_set_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'care-planaria'"):
        public_set("planaria")
