"""Which images are pairs, and in which split: by folders, patterns and names."""

from pathlib import Path

import pytest

from unifmir.datasets.pairing import SPLITS, FoundPair, PairRule, find_pairs, splits_of
from unifmir.datasets.path_patterns import path_pattern
from unifmir.errors import ImageError


def made(folder: Path, *places: str) -> Path:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"")
    return folder


def found(folder: Path, *rules: PairRule) -> dict[str, str | None]:
    return {pair.input: pair.truth for pair in find_pairs(folder, rules).pairs}


def test_two_folders_are_paired_by_the_names_in_them(tmp_path):
    made(tmp_path, "a/x.tif", "a/deep/y.ome.tif", "b/x.png", "b/deep/y.tif", "b/notes.txt")
    expected = {"a/x.tif": "b/x.png", "a/deep/y.ome.tif": "b/deep/y.tif"}
    assert found(tmp_path, PairRule("a", "b")) == expected


def test_patterns_are_paired_by_what_their_wildcards_match(tmp_path):
    made(tmp_path, "c1_low.tif", "c1_gt.tif", "c2_low.tif", "c2_gt.tif")
    expected = {"c1_low.tif": "c1_gt.tif", "c2_low.tif": "c2_gt.tif"}
    assert found(tmp_path, PairRule("*_low.tif", "*_gt.tif")) == expected


def test_a_truth_of_fewer_wildcards_belongs_to_several_inputs_of_one_group(tmp_path):
    made(
        tmp_path,
        "A/1/level_1.tif",
        "A/1/level_2.tif",
        "A/1/gt.tif",
        "A/2/level_1.tif",
        "A/2/gt.tif",
    )
    pairs = find_pairs(tmp_path, [PairRule("*/*/level_*.tif", "*/*/gt.tif")]).pairs
    assert [(pair.input, pair.group) for pair in pairs] == [
        ("A/1/level_1.tif", "A/1/gt.tif"),
        ("A/1/level_2.tif", "A/1/gt.tif"),
        ("A/2/level_1.tif", "A/2/gt.tif"),
    ]


def test_named_wildcards_pair_across_conditions(tmp_path):
    made(tmp_path, "condition_1/a.tif", "condition_2/a.tif", "GT/a.tif")
    rule = PairRule("condition_{condition}/{name}.tif", "GT/{name}.tif")
    assert found(tmp_path, rule) == {
        "condition_1/a.tif": "GT/a.tif",
        "condition_2/a.tif": "GT/a.tif",
    }


def test_what_has_no_partner_is_named_with_what_was_expected(tmp_path):
    made(tmp_path, "low/1.tif", "low/2.tif", "high/2.tif", "high/3.tif")
    unpaired = find_pairs(tmp_path, [PairRule("low/*.tif", "high/*.tif")]).unpaired
    assert unpaired == {
        "low/1.tif": "it has no truth: expected high/1.tif",
        "high/3.tif": "it has no input: expected low/3.tif",
    }


def test_two_truths_of_one_input_are_told(tmp_path):
    made(tmp_path, "low/1.tif", "high/1.tif", "high/1.png")
    unpaired = find_pairs(tmp_path, [PairRule("low", "high")]).unpaired
    assert unpaired["low/1.tif"].startswith("it has 2 truths")


def test_folders_of_known_names_need_no_naming(tmp_path):
    made(tmp_path, "noisy/1.tif", "clean/1.tif", "other/1.tif")
    assert found(tmp_path) == {"noisy/1.tif": "clean/1.tif"}


def test_hidden_files_and_what_lies_in_an_image_are_no_images(tmp_path):
    made(tmp_path, "low/a.zarr/.zgroup", "low/a.zarr/0/0.tif", "low/.b.tif", "high/a.tif")
    assert found(tmp_path, PairRule("low", "high")) == {"low/a.zarr": "high/a.tif"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (PairRule("nothing/*.tif"), "nothing in it matches 'nothing/\\*.tif'; it holds a.tif"),
        (PairRule("../*.tif"), "does not lie below the folder"),
        (PairRule("/etc/*"), "does not lie below the folder"),
        (PairRule(""), "expected the name of a folder"),
        (PairRule("*" * 9), "9 wildcards, expected at most 8"),
        (None, "which images are inputs, and which are truths"),
    ],
)
def test_what_cannot_be_found_is_told(tmp_path, rule, expected):
    made(tmp_path, "a.tif")
    with pytest.raises(ImageError, match=expected):
        find_pairs(tmp_path, [rule] if rule else [])


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        find_pairs(tmp_path / "none", [])


def test_a_name_that_comes_twice_matches_the_same_text():
    pattern = path_pattern("{cell}/{cell}_a.tif")
    assert pattern.texts("x/x_a.tif") == {"cell": "x"}
    assert pattern.texts("x/y_a.tif") is None


def pairs_of(groups: int, inputs: int = 2) -> list[FoundPair]:
    rule = PairRule("*")
    return [
        FoundPair(f"{group}/{number}", f"{group}", rule, f"{group}")
        for group in range(groups)
        for number in range(inputs)
    ]


@pytest.mark.parametrize(("groups", "expected"), [(1, 0), (4, 0), (5, 1), (20, 2), (100, 10)])
def test_splits_are_of_groups_and_as_large_as_asked(groups, expected):
    splits = splits_of(pairs_of(groups), (0.1, 0.1), seed=0)
    counts = [list(splits.values()).count(split) for split in SPLITS]
    assert counts == [groups - 2 * expected, expected, expected]


def test_splits_do_not_depend_on_the_order_and_do_on_the_seed():
    pairs = pairs_of(20)
    assert splits_of(pairs, (0.2, 0.2), 0) == splits_of(pairs[::-1], (0.2, 0.2), 0)
    assert splits_of(pairs, (0.2, 0.2), 0) != splits_of(pairs, (0.2, 0.2), 1)
