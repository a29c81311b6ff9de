"""Test sets of the paper's quality tables: which files, which model, and where both come from.

A set lies in a folder named like its recipe of `unifmir data prepare`. Neither the paper nor its
supplement names the files it tested on: `note` says what is known, and what was not found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from unifmir.datasets.pairing import PairRule
from unifmir.datasets.public_sets import PUBLIC_SETS

Cut = Literal["whole", "xy", "xz"]
"""Part of an image that is measured as one: all of it, or each slice of that orientation."""
CARE_ADDRESS = "https://publications.mpi-cbg.de/publications-sites/7207 (Weigert et al. 2018)"
BIOSR_ADDRESS = "https://doi.org/10.6084/m9.figshare.13264793 (Qiao et al. 2021)"
_TEST_CELLS = (
    "which cells the paper tested on is not said in it: put the test cells below test/; all levels "
    "that lie there are measured"
)
_RENAMED = "the names of its test files were not found documented: rename them so"


@dataclass(frozen=True, slots=True)
class PaperSet:
    """Images that one column of a table was measured on."""

    name: str
    """Heading in the paper's table."""
    folder: str
    """Folder below that of the data, the name of a recipe."""
    files: PairRule
    """Rule of where inputs and truths lie below it."""
    model: str
    """Id of the official model in the zoo."""
    data_from: str
    note: str
    cut: Cut = "whole"

    @property
    def key(self) -> str:
        """Word for the specimen in names of files: `planaria`."""
        return self.model.split("-", 2)[2]

    @property
    def layout(self) -> str:
        """Inputs and truths, as paths below the folder of the data."""
        return f"{self.folder}/{self.files.input} with {self.folder}/{self.files.truth}"


def _test_files(recipe: str, condition: int = 0) -> PairRule:
    """The rule of a recipe for its test files, of one condition where there are several."""
    rule = next(one for one in PUBLIC_SETS[recipe].rules if one.split == "test")
    return replace(rule, input=rule.input.replace("{condition}", str(condition)))


def _denoised(specimen: str, condition: int) -> PaperSet:
    recipe = f"care-{specimen.lower()}"
    return PaperSet(
        name=f"{specimen} C{condition}",
        folder=recipe,
        files=_test_files(recipe, condition),
        model=f"unifmir-denoise-{specimen.lower()}",
        data_from=CARE_ADDRESS,
        note="whole stacks, as they are",
    )


def _magnified(name: str, folder: str, model: str, structure: str = "") -> PaperSet:
    (rule,) = PUBLIC_SETS[folder].rules
    places = (f"test/{one}".replace("{structure}", structure) for one in (rule.input, rule.truth))
    first, second = places
    files = replace(rule, input=first, truth=second)
    return PaperSet(name, folder, files, model, BIOSR_ADDRESS, _TEST_CELLS)


def _liver(cut: Cut) -> PaperSet:
    note = f"{_RENAMED}; inputs interpolated along z to the truth's planes; the mean over slices"
    name, model = f"Liver {cut.upper()}", "unifmir-isotropic-liver"
    return PaperSet(name, "care-liver", _test_files("care-liver"), model, CARE_ADDRESS, note, cut)


def _projected(condition: int) -> PaperSet:
    recipe, model = "care-flywing", "unifmir-projection-flywing"
    files = _test_files(recipe, condition)
    return PaperSet(f"Flywing C{condition}", recipe, files, model, CARE_ADDRESS, _RENAMED)


_SETS = (
    _magnified("CCP", "biosr", "unifmir-sr-ccps", "CCPs"),
    _magnified("MTs", "biosr", "unifmir-sr-microtubules", "Microtubules"),
    _magnified("F-actin", "biosr", "unifmir-sr-f-actin", "F-actin"),
    _magnified("ER", "biosr-er", "unifmir-sr-er"),
    *(_denoised(name, number) for name in ("Planaria", "Tribolium") for number in (1, 2, 3)),
    _liver("xy"),
    _liver("xz"),
    *(_projected(number) for number in range(4)),
)
PAPER_SETS: Mapping[str, PaperSet] = {one.name: one for one in _SETS}
"""Heading in a table -> the set."""
