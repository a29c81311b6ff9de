"""The paper's cost tables on a terminal: what is reproduced and why the rest is not, then the rows.

No line is longer than 80 characters. The full table, with the counts that are true, is
`unifmir.cost.paper.paper_tables.as_table`.
"""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from textwrap import wrap
from typing import Any

from unifmir.text_tables import aligned

WIDTH = 80
_FIGURES = {"params": "parameters", "gflops": "GFLOPs", "bops": "BOPs"}
_FOLLOWS = "follows from the GFLOPs"
_SLIP = "a slip:"

Reasons = dict[str, list[Mapping[str, Any]]]
"""Why a figure is not the paper's -> the rows in which that is so."""


def paper_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of `paper_rows`, from their `to_dict`, as text.

    Parameters
    ----------
    rows : sequence of mapping
    """
    reasons = grouped(rows)
    letters = dict(zip(reasons, ascii_lowercase, strict=False))
    blocks = [_summary(rows, reasons, letters)]
    for number, title in ((2, "prediction"), (1, "training")):
        chosen = [row for row in rows if row["table"] == number]
        if chosen:
            head = f"Extended Data Table {number} ({title}): paper/ours, = where both are equal"
            blocks.append(f"{head}\n{_table(chosen, letters)}")
    blocks.append(
        "\n".join(
            wrap(
                "by: convention that counts the GFLOPs (docs/costs.md). --details: the whole "
                "table, with true parameters and multiply-accumulates.",
                WIDTH,
            )
        )
    )
    return "\n\n".join(blocks)


def grouped(rows: Sequence[Mapping[str, Any]]) -> Reasons:
    """The reasons of all figures that are not the paper's, the most frequent first."""
    found: Reasons = {}
    for row in rows:
        for name, words in _FIGURES.items():
            if row[name] is not None and not row[name]["equal"]:
                found.setdefault(_reason(words, row[name]["verdict"]), []).append(row)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _reason(figure: str, verdict: str) -> str:
    """Why a figure differs, without the digits that are each row's own."""
    why = verdict.partition(": ")[2]
    if why.startswith(_FOLLOWS):
        return f"{figure}: follow from the GFLOPs as they are printed"
    if why.startswith(_SLIP):
        return f"{figure}: a slip in the paper's last digits"
    return f"{figure}: {why}"


def _summary(
    rows: Sequence[Mapping[str, Any]], reasons: Reasons, letters: Mapping[str, str]
) -> str:
    figures = [row[name] for row in rows for name in _FIGURES if row[name] is not None]
    equal = sum(row["equal"] for row in rows)
    lines = wrap(
        f"{equal} of {len(rows)} rows are reproduced to every printed digit, and "
        f"{sum(figure['equal'] for figure in figures)} of their {len(figures)} figures. "
        f"{len(rows) - equal} rows are not, for {len(reasons)} reasons:",
        WIDTH,
    )
    for reason, those in reasons.items():
        names = dict.fromkeys(f"{row['task']} {row['model']}" for row in those)
        lines += wrap(
            f"{letters[reason]}  {len(those)} x {reason} ({', '.join(names)})",
            WIDTH,
            subsequent_indent="   ",
        )
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]], letters: Mapping[str, str]) -> str:
    cells: list[tuple[str, ...]] = []
    task = ""
    for row in rows:
        if row["task"] != task:
            task = row["task"]
            cells.append((task, *[""] * 4))
        own = "".join(
            letters[_reason(words, row[name]["verdict"])]
            for name, words in _FIGURES.items()
            if row[name] is not None and not row[name]["equal"]
        )
        cells.append(
            (
                f" {row['model']}{_precision(row)}",
                *(_cell(row[name]) for name in _FIGURES),
                f"{row['convention']} {own or 'equal'}",
            )
        )
    columns = ("task, model", "parameters, M", "GFLOPs", "BOPs, T", "by, why")
    kept = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    rows_kept = [[line[i] for i in kept] for line in cells]
    return aligned([columns[i] for i in kept], rows_kept, [True] * len(kept), gap=1)


def _precision(row: Mapping[str, Any]) -> str:
    """The precision, where it is not the usual one."""
    return "" if row["precision"] == "float32" else f" {row['precision'].replace('float', 'fp')}"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    return f"{figure['printed']} =" if figure["equal"] else f"{figure['printed']}/{figure['ours']}"
