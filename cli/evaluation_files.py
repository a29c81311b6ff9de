"""Files that `unifmir evaluate` writes beside what it prints: a table, a page, pictures."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifmir.metrics.base import Metric, RestoredImage
    from unifmir.metrics.scores import Score

MOST_SHOWN = 24
"""Pictures on a page."""


@dataclass(slots=True)
class EvaluationFiles:
    """Files that an evaluation writes, and the pictures that its page will show."""

    table: Path | None
    pictures: Path | None
    report: Path | None
    shown: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def held(self) -> "Iterator[None]":
        """Hold their places while what will be in them is measured."""
        from unifmir.file_locks import held_files

        pictures = None if self.pictures is None else self.pictures / "*.png"
        with held_files([self.table, self.report, pictures]):
            yield

    def draw(self, name: str, restored: "RestoredImage", truth: "RestoredImage") -> None:
        """Draw an image, where pictures are wanted."""
        from unifmir.images.png import grey_png, write_grey
        from unifmir.metrics.error_picture import error_maps, error_picture

        if self.pictures is not None:
            place = self.pictures / f"{name.replace('/', '_')}.png"
            write_grey(place, error_picture(restored, truth))
        if self.report is not None and len(self.shown) < MOST_SHOWN:
            self.shown[name] = grey_png(error_maps(restored, truth))

    def write(
        self,
        title: str,
        sets: "Mapping[str, Mapping[str, Score]]",
        failed: "Mapping[str, str] | None" = None,
    ) -> None:
        """Write the table and the page that are wanted."""
        from unifmir.atomic import write_text
        from unifmir.benchmarks.report.evaluation_page import EvaluationFacts, evaluation_page

        if self.table is not None:
            write_text(self.table, _csv(sets))
        if self.report is not None:
            first = next(iter(sets.values()))
            notes = [f"Images: {len(first)}; with pictures: {len(self.shown)}."]
            facts = EvaluationFacts(title, sets, measured(first), notes, self.shown, failed or {})
            write_text(self.report, evaluation_page(facts))


def measured(scores: "Mapping[str, Score]") -> "Mapping[str, Metric]":
    """Rows of the metrics that scores have."""
    from unifmir.metrics.image_pairs import MEASURED
    from unifmir.metrics.overlap import OVERLAPS

    known = {**MEASURED, **OVERLAPS}
    return {name: known[name] for name in next(iter(scores.values()))}


def _csv(sets: "Mapping[str, Mapping[str, Score]]") -> str:
    """One line an image and set, with every figure in full."""
    text = StringIO()
    rows: list[dict[str, Any]] = [
        {"set": which, "image": name, **figures}
        for which, scores in sets.items()
        for name, figures in scores.items()
    ]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
