"""Tables of docs/simulator.md: what the simulator's ranges and registries hold."""

from typing import Any

from unifmir.simulate.scene_ranges import CHANCES, RANGES, WAVELENGTHS_UM, Chance
from unifmir.simulate.structures import STRUCTURES
from unifmir.tasks import TASKS, multitask_parts
from unifmir.text_tables import markdown_rows


def structures_table(_document: dict[str, Any]) -> str:
    """Rows of `STRUCTURES`: how often each is the first structure of a task's scenes."""
    tasks = list(multitask_parts())
    weights = {task: TASKS[task].simulation.structures for task in tasks}
    rows = [
        [f"`{name}`", row.title]
        + [f"{weights[task].get(name, 0) / sum(weights[task].values()):.0%}" for task in tasks]
        for name, row in STRUCTURES.items()
    ]
    return markdown_rows(["kind", "what it shows", *(f"`{task}`" for task in tasks)], rows)


def ranges_table(_document: dict[str, Any]) -> str:
    """The rows of `RANGES`."""
    rows = [
        [
            name,
            row.meaning,
            f"{row.low:g} to {row.high:g} {row.unit}".strip(),
            "logarithm" if row.logarithmic else "value",
        ]
        for name, row in RANGES.items()
    ]
    return markdown_rows(["range", "what", "limits", "evenly in its"], rows)


def chances_table(_document: dict[str, Any]) -> str:
    """The rows of `CHANCES`: in how many of each task's scenes each happens."""
    tasks = list(multitask_parts())
    rows = [
        [name, row.meaning, *(_share(row, task) for task in tasks)] for name, row in CHANCES.items()
    ]
    return markdown_rows(["chance", "what happens", *(f"`{task}`" for task in tasks)], rows)


def _share(chance: Chance, task: str) -> str:
    lenses = TASKS[task].simulation.lenses
    share = 0.0 if task in chance.never else chance.share
    if share and not chance.confocal:
        share *= sum(not lens.confocal for lens in lenses) / len(lenses)
    return f"{share:.0%}" if share else "never"


def lenses_table(_document: dict[str, Any]) -> str:
    """Lenses of each task."""
    rows = [
        [
            f"`{task}`",
            f"{lens.numerical_aperture:g}",
            f"{lens.refractive_index:g}",
            f"{lens.pixel_um:g}",
            f"{lens.z_step_um:g}" if lens.z_step_um else "-",
            "confocal" if lens.confocal else "widefield",
        ]
        for task in multitask_parts()
        for lens in TASKS[task].simulation.lenses
    ]
    columns = ["task", "NA", "refractive index", "pixel, µm", "distance of planes, µm", ""]
    waves = ", ".join(f"{1000 * wave:g}" for wave in WAVELENGTHS_UM)
    return f"{markdown_rows(columns, rows)}\n\nWavelengths of the emission: {waves} nm."


SIMULATOR_TABLES = {
    "simulator-structures": structures_table,
    "simulator-ranges": ranges_table,
    "simulator-chances": chances_table,
    "simulator-lenses": lenses_table,
}
"""Name of a table in docs/simulator.md -> what writes it."""
