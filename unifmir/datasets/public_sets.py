"""Public datasets as they are unpacked: where their inputs and truths lie, one row each.

`source` says where a layout is known from. Names of one's own go with --input and --truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unifmir.datasets.pairing import PairRule
from unifmir.registry import require_known


@dataclass(frozen=True, slots=True)
class PublicSet:
    """Layout of a public dataset below its folder."""

    name: str
    title: str
    task: str
    rules: tuple[PairRule, ...]
    source: str
    """Origin of the layout, and whether a copy of the set has been seen."""


_TRAINING_FILE = PairRule("train_data/*.npz", split="train")


def _tested(inputs: str, truths: str = "test_data/GT/{name}.tif") -> PairRule:
    """Test images, a truth for each name."""
    return PairRule(f"test_data/{inputs}/{{name}}.tif", truths, split="test")


_CONDITIONS = (_TRAINING_FILE, _tested("condition_{condition}"))
"""Training file, and test stacks whose inputs lie in a folder a condition."""
_CARE = (
    "Weigert et al. 2018, publications.mpi-cbg.de/publications-sites/7207; the names as programs "
    "that read it have them (GVTNets, noise2same); no copy seen"
)
_RENAMED = f"{_CARE}; the names of the test files were not found documented: rename them so"
_TABLES = (
    "ShareLoc holds tables of localisations (.smlm, .csv), which are no images: render each first, "
    "over the area of its wide field and with a whole number of pixels to each of its, and save "
    "the two as CELL/rendered.tif and CELL/widefield.tif"
)
_ROWS = (
    PublicSet("care-planaria", "CARE, Planaria", "denoise", _CONDITIONS, _CARE),
    PublicSet("care-tribolium", "CARE, Tribolium", "denoise", _CONDITIONS, _CARE),
    PublicSet(
        "care-liver",
        "CARE, Liver: the training file's slices, degraded along their last axis, and test stacks",
        "isotropic",
        (
            replace(_TRAINING_FILE, axes="SCYZ"),
            _tested("input", "test_data/truth/{name}.tif"),
        ),
        _RENAMED,
    ),
    PublicSet(
        "care-flywing",
        "CARE, Flywing: the training file, and test stacks in a folder a condition",
        "projection",
        (_TRAINING_FILE, _tested("C{condition}")),
        _RENAMED,
    ),
    PublicSet(
        "biosr",
        "BioSR: CCPs, Microtubules, F-actin; the nine raw SIM images averaged to a wide field",
        "sr",
        (
            PairRule(
                "{structure}/{cell}/RawSIMData_level_{level}.mrc",
                "{structure}/{cell}/SIM_gt.mrc",
                averaged=True,
            ),
        ),
        "Qiao et al. 2021, doi.org/10.6084/m9.figshare.13264793; no copy seen",
    ),
    PublicSet(
        "biosr-er",
        "BioSR: ER, which has a truth for each level",
        "sr",
        (
            PairRule(
                "{cell}/RawSIMData/RawSIMData_level_{level}.mrc",
                "{cell}/GTSIM/GTSIM_level_{level}.mrc",
                averaged=True,
            ),
        ),
        "Qiao et al. 2021, doi.org/10.6084/m9.figshare.13264793; no copy seen",
    ),
    PublicSet(
        "vcd",
        "VCD-Net: light fields and the stacks that they were projected from",
        "volume",
        (PairRule("LF", "WF"),),
        "Wang et al. 2021; folders as its data preparation writes them; no copy seen",
    ),
    PublicSet(
        "deepbacs-denoising",
        "DeepBacs: denoising, folders as ZeroCostDL4Mic's notebooks ask for them",
        "denoise",
        (
            PairRule("train/low_SNR", "train/high_SNR", split="train"),
            PairRule("test/low_SNR", "test/high_SNR", split="test"),
        ),
        "Spahn et al. 2022; the folders' names were not found documented: rename them, or use "
        "--input and --truth",
    ),
    PublicSet(
        "deepbacs-sr",
        "DeepBacs: wide field to SIM, folders as ZeroCostDL4Mic's notebooks ask for them",
        "sr",
        (
            PairRule("train/WF", "train/SIM", split="train"),
            PairRule("test/WF", "test/SIM", split="test"),
        ),
        "Spahn et al. 2022; the folders' names were not found documented: rename them, or use "
        "--input and --truth",
    ),
    PublicSet(
        "shareloc",
        "ShareLoc: wide fields and renderings of its tables of localisations",
        "sr",
        (PairRule("{cell}/widefield.tif", "{cell}/rendered.tif", before=_TABLES),),
        f"Ouyang et al. 2022. {_TABLES}",
    ),
)
PUBLIC_SETS: Mapping[str, PublicSet] = {row.name: row for row in _ROWS}


def public_set(name: str) -> PublicSet:
    """The row of a public set; UnknownNameError with the known ones where there is none."""
    require_known("recipe", name, PUBLIC_SETS)
    return PUBLIC_SETS[name]
