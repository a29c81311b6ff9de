"""Miniature copies of public sets, in the layouts that the recipes know."""

from pathlib import Path

import numpy as np

from tests.helpers.lab_folders import noisy, structure, write
from tests.hostile.header_array_inputs import mrc

SIDE = 16
LENS = 11


def training_file(path: Path, first: np.ndarray, second: np.ndarray, axes: str) -> None:
    """As csbdeep.io.save_training_data writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, X=first, Y=second, axes=axes)


def normalised(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    found: np.ndarray = (structure(rng, shape) / 1000).astype(np.float32)
    return found


def care_stacks(folder: Path, rng: np.random.Generator) -> None:
    first = normalised(rng, (3, 1, 4, SIDE, SIDE))
    training_file(folder / "train_data/data_label.npz", first, first + np.float32(0.1), "SCZYX")
    for name in ("a", "b"):
        truth = structure(rng, (4, SIDE, SIDE)).astype(np.uint16)
        write(folder / f"test_data/GT/{name}.tif", truth, "zyx")
        for condition in (1, 2, 3):
            place = folder / f"test_data/condition_{condition}/{name}.tif"
            write(place, noisy(rng, truth), "zyx")


def care_slices(folder: Path, rng: np.random.Generator) -> None:
    first = normalised(rng, (3, 1, SIDE, SIDE))
    training_file(folder / "train_data/data_label.npz", first, first + np.float32(0.1), "SCYX")
    liver_stacks(folder, rng)


def care_surfaces(folder: Path, rng: np.random.Generator) -> None:
    first = normalised(rng, (3, 1, 50, SIDE, SIDE))
    truth = first.max(axis=2, keepdims=True)
    training_file(folder / "train_data/data_label.npz", first, truth, "SCZYX")
    flywing_stacks(folder, rng)


def raw_sim(rng: np.random.Generator, truth: np.ndarray) -> bytes:
    """Nine exposures of the coarse image."""
    coarse = truth.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    return mrc(np.stack([noisy(rng, 4 * coarse) for _ in range(9)]))


def biosr(folder: Path, rng: np.random.Generator) -> None:
    for structure_name in ("CCPs", "Microtubules"):
        truth = structure(rng, (2 * SIDE, 2 * SIDE)).astype(np.uint16)
        cell = folder / structure_name / "Cell_001"
        cell.mkdir(parents=True)
        (cell / "SIM_gt.mrc").write_bytes(mrc(truth))
        for level in (1, 2):
            (cell / f"RawSIMData_level_{level:02d}.mrc").write_bytes(raw_sim(rng, truth))


def biosr_er(folder: Path, rng: np.random.Generator) -> None:
    for part in ("RawSIMData", "GTSIM"):
        (folder / "Cell_001" / part).mkdir(parents=True)
    for level in (1, 2):
        truth = structure(rng, (2 * SIDE, 2 * SIDE)).astype(np.uint16)
        cell = folder / "Cell_001"
        (cell / f"GTSIM/GTSIM_level_{level:02d}.mrc").write_bytes(mrc(truth))
        raw = cell / f"RawSIMData/RawSIMData_level_{level:02d}.mrc"
        raw.write_bytes(raw_sim(rng, truth))


def vcd(folder: Path, rng: np.random.Generator) -> None:
    for name in ("a", "b"):
        volume = structure(rng, (5, 2 * LENS, 2 * LENS)).astype(np.uint16)
        write(folder / f"WF/{name}.tif", volume, "zyx")
        write(folder / f"LF/{name}.tif", noisy(rng, volume.sum(axis=0)), "yx")


def two_parts(low: str, high: str, magnification: int):
    def made(folder: Path, rng: np.random.Generator) -> None:
        for part in ("train", "test"):
            truth = structure(rng, (magnification * SIDE,) * 2)
            rows = SIDE, magnification
            coarse = truth.reshape(*rows, *rows).mean(axis=(1, 3))
            write(folder / part / high / "1.tif", truth.astype(np.uint16), "yx", None)
            write(folder / part / low / "1.tif", noisy(rng, coarse), "yx", None)

    return made


def shareloc(folder: Path, rng: np.random.Generator) -> None:
    truth = structure(rng, (2 * SIDE, 2 * SIDE))
    coarse = truth.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    write(folder / "cell1/rendered.tif", truth.astype(np.uint16), "yx", None)
    write(folder / "cell1/widefield.tif", noisy(rng, coarse), "yx", None)


COPIES = {
    "care-planaria": (care_stacks, (1, 0, 6)),
    "care-tribolium": (care_stacks, (1, 0, 6)),
    "care-liver": (care_slices, (1, 0, 2)),
    "care-flywing": (care_surfaces, (1, 0, 4)),
    "biosr": (biosr, (4, 0, 0)),
    "biosr-er": (biosr_er, (2, 0, 0)),
    "vcd": (vcd, (2, 0, 0)),
    "deepbacs-denoising": (two_parts("low_SNR", "high_SNR", 1), (1, 0, 1)),
    "deepbacs-sr": (two_parts("WF", "SIM", 2), (1, 0, 1)),
    "shareloc": (shareloc, (1, 0, 0)),
}
"""How a copy is made, and how many inputs are in each split."""


def biosr_test_cells(folder: Path, rng: np.random.Generator) -> None:
    """BioSR with its cells below test/, as `unifmir reproduce` looks for them."""
    biosr(folder / "test", rng)


def liver_stacks(folder: Path, rng: np.random.Generator) -> None:
    """Two stacks whose z is interpolated already, as `unifmir reproduce` looks for them."""
    for name in ("a", "b"):
        truth = structure(rng, (SIDE, SIDE, SIDE)).astype(np.uint16)
        write(folder / f"test_data/truth/{name}.tif", truth, "zyx", step_um=0.1)
        write(folder / f"test_data/input/{name}.tif", noisy(rng, truth), "zyx", step_um=0.1)


def flywing_stacks(folder: Path, rng: np.random.Generator) -> None:
    """One stack under each of four conditions, as `unifmir reproduce` looks for it."""
    stack = structure(rng, (50, SIDE, SIDE))
    write(folder / "test_data/GT/a.tif", stack.max(axis=0).astype(np.uint16), "yx")
    for condition in range(4):
        write(folder / f"test_data/C{condition}/a.tif", noisy(rng, stack), "zyx")
