"""Extended Data Tables 3 to 6 of the paper: figures as printed, beside ours.

Ma et al., Nature Methods 2024. quality.csv holds the printed figures; in the paper the columns of
Tables 4 and 5 are exchanged against their titles, here denoising is 4 and isotropic 5.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from unifmir.json_values import JsonOutput
from unifmir.metrics import METRICS
from unifmir.text_tables import TextTable

OFFICIAL = "prune-UniFMIR"
"""Model of the tables whose weights were published; the others were trained by its authors."""
MEASURED = ("psnr_db", "psnr_unfitted_db", "ssim", "ssim_unfitted")
"""Names in `METRICS`: the paper does not say whether its figures are fitted."""


@dataclass(frozen=True, slots=True)
class PrintedQuality(JsonOutput):
    """One cell of a table."""

    table: int
    task: str
    dataset: str
    model: str
    precision: str
    psnr_db: float
    ssim: float


@dataclass(frozen=True, slots=True)
class MeasuredQuality(JsonOutput):
    """One cell of a table, as printed and as measured here."""

    computed = ("differences",)

    printed: PrintedQuality
    weights: str
    """Zoo id or name of the file that restored."""
    images: int = 0
    """Images that were measured."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Mean of each of `MEASURED`; none where nothing was measured."""
    missing: tuple[str, ...] = ()
    """Data and weights that are not on disk, and where they come from."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Input that could not be measured -> reason."""

    @property
    def differences(self) -> dict[str, float]:
        """Ours minus the printed figure, of each of `MEASURED`."""
        return {
            name: value - (self.printed.psnr_db if "psnr" in name else self.printed.ssim)
            for name, value in self.figures.items()
        }


def printed_quality() -> list[PrintedQuality]:
    """Every cell of the four tables, in their order."""
    text = (files(__package__) / "quality.csv").read_text("utf-8")
    return [
        PrintedQuality(
            table=int(row["table"]),
            **{name: row[name] for name in ("task", "dataset", "model", "precision")},
            psnr_db=float(row["psnr_db"]),
            ssim=float(row["ssim"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]


def quality_table(rows: Sequence[MeasuredQuality]) -> TextTable:
    """The cells that were measured, paper beside ours and their difference."""
    columns = ["table", "data", "model", "precision", "images"]
    for name in MEASURED:
        columns += [f"paper {METRICS[name].heading}", "ours", "difference"]
    cells = []
    for row in rows:
        if not row.figures:
            continue
        one = row.printed
        line = [f"ED {one.table}", one.dataset, one.model, one.precision, str(row.images)]
        for name in MEASURED:
            digits = 3 if "psnr" in name else 4
            ours, difference = row.figures[name], row.differences[name]
            line += [f"{ours - difference:.{digits}f}", f"{ours:.{digits}f}"]
            line.append(f"{difference:+.{digits}f}")
        cells.append(tuple(line))
    words = (True,) * 4 + (False,) * (len(columns) - 4)
    return TextTable(columns=tuple(columns), rows=tuple(cells), words=words)


def missing_lines(rows: Sequence[MeasuredQuality]) -> list[str]:
    """Lines on data and weights that are not on disk, each with the cells that need it."""
    needed: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.missing:
            cell = f"ED {row.printed.table} {row.printed.dataset}"
            if cell not in (cells := needed.setdefault(reason, [])):
                cells.append(cell)
    # Data first, then the official weights, then those of the others.
    order = sorted(needed, key=lambda reason: ("weights" in reason[:11]) + ("--rivals" in reason))
    return [f"{', '.join(needed[reason])}: {reason}" for reason in order]
