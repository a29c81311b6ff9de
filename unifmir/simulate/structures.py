"""Structures of cells and tissues; how likely each is in a task's scenes, the task's row says.

A structure is one function from a generator and a grid to fluorophores per pixel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from unifmir.simulate import bodies_and_points, threads_and_sheets
from unifmir.simulate.densities import Density, Field, Grid
from unifmir.tasks import TASKS


@dataclass(frozen=True, slots=True)
class Structure:
    """A row of `STRUCTURES`."""

    title: str
    """Name for people."""
    density: Callable[[np.random.Generator, Grid], Density]


STRUCTURES: Mapping[str, Structure] = {
    "nuclei": Structure("nuclei with chromatin", bodies_and_points.nuclei),
    "smooth nuclei": Structure("smooth nuclei, bright and dim", bodies_and_points.smooth_nuclei),
    "nuclei with foci": Structure("nucleoplasm with spots", bodies_and_points.nuclei_with_foci),
    "cytoplasm": Structure("cells with diffuse cytoplasm", bodies_and_points.cytoplasm),
    "spots": Structure("spots on a hazy background", threads_and_sheets.spots),
    "microtubules": Structure("microtubules", threads_and_sheets.microtubules),
    "actin": Structure("actin mesh and bundles", threads_and_sheets.actin),
    "reticulum": Structure("tubules and sheets of reticulum", threads_and_sheets.reticulum),
    "mitochondria": Structure("mitochondria", threads_and_sheets.mitochondria),
    "vesicles": Structure("rings and vesicles", bodies_and_points.vesicles),
    "bacteria": Structure("bacteria", bodies_and_points.bacteria),
    "tissue": Structure("packed cells of a tissue", threads_and_sheets.tissue),
    "regions": Structure("regions of all sizes with borders", bodies_and_points.regions),
    "walls": Structure("curved walls, as of pollen", bodies_and_points.walls),
    "fibres": Structure("wide fibres", threads_and_sheets.fibres),
    "neurites": Structure("neurites", threads_and_sheets.neurites),
    "diffuse": Structure("diffuse light alone", threads_and_sheets.diffuse),
    "empty": Structure("almost nothing", threads_and_sheets.empty),
}
"""Name, which is the `kind` of a simulated pair -> structure."""


def kinds_of(task: str) -> list[str]:
    """Names of the structures that a task's scenes show."""
    return [name for name in STRUCTURES if name in TASKS[task].simulation.structures]


def drawn_kind(rng: np.random.Generator, task: str) -> str:
    """Name of a structure, as likely as its weight for the task."""
    names = kinds_of(task)
    weights = np.array([TASKS[task].simulation.structures[name] for name in names], dtype=float)
    return str(rng.choice(names, p=weights / weights.sum()))


def density_of(rng: np.random.Generator, kind: str, grid: Grid) -> Density:
    """Fluorophores of a structure, scaled so that its brightest pixels are about 1."""
    found: Field = STRUCTURES[kind].density(rng, grid)
    peak = float(np.percentile(found, 99.9))
    # Sparse points: a thousandth of the pixels may be darker than all that there is.
    peak = max(peak, 0.3 * float(found.max()), 1e-6)
    result: np.ndarray = np.maximum(found / np.float32(peak), 0).astype(np.float32)
    return result
