"""One table a task that says what is asked first: how fast, how big, how good, and is it the same.

A line a row and no line more than 80 characters, so that all five tasks fit a screen; what it
leaves out the other tables and the JSON file hold.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from textwrap import wrap

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import (
    device_elsewhere,
    groups,
    input_shapes,
    ordered,
)
from unifmir.benchmarks.report.tables.fitted_lines import fitted
from unifmir.benchmarks.report.tables.number_text import (
    fixed,
    is_number,
    significant,
    supported_decimals,
)
from unifmir.benchmarks.report.tables.summary_footer import MARK, MIXED, summary_footer
from unifmir.benchmarks.report.tables.views import MIB, TimeUnit, time_unit
from unifmir.precision.element_types import Precision
from unifmir.reference import REFERENCES
from unifmir.text_tables import TextTable, printable

WIDTH = 80
RULE = "=="
"""Mark before titles and the paragraph below the tables."""
DIGITS = 3
_COLUMNS = (
    "model",
    "runtime",
    "{unit}",
    "x",
    "MP/s",
    "MiB",
    "Mpar",
    "GFLOP",
    "GBOP",
    "MB",
    "dB",
    "",
)
_WORDS = (0, 1, len(_COLUMNS) - 1)
"""Columns to the left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTable(TextTable):
    """One task and workload.

    A model's cell begins with `MARK` or a space; notes say what the words mean, and what to use.
    """

    doubtful: tuple[bool, ...]
    """Which rows are not to be trusted."""


def summary_tables(results: Results, *, task: str | None = None) -> list[SummaryTable]:
    """A table for each task and workload, the caller's models first.

    Parameters
    ----------
    results : Results
    task : str or None
        Only this task's.
    """
    own = own_models(results)
    return [
        _table(f"{name}, {workload}", rows, results, own)
        for (name, workload), rows in groups(results).items()
        if task in (None, name)
    ]


def summary_text(results: Results, *, task: str | None = None, width: int = WIDTH) -> str:
    """The tables as text of at most so many characters a line, and what the headings mean.

    Parameters
    ----------
    results : Results
    task : str or None
        Only this task's.
    width : int
        At least `WIDTH`; a narrower terminal gets that too.
    """
    return "\n".join(line for line, _ in summary_lines(results, task=task, width=width))


def summary_lines(
    results: Results, *, task: str | None = None, width: int = WIDTH
) -> Iterator[tuple[str, str]]:
    """The lines of `summary_text`, each with its kind: title, head, own, other, doubtful, note."""
    width = max(width, WIDTH)
    shortened = False
    tables = summary_tables(results, task=task)
    if not tables:
        state = "" if results.complete else ": the run was interrupted; the same command goes on"
        yield f"no row was measured{state}", "note"
        return
    for table in tables:
        # A rule in place of an empty line: five tables are to fit a screen.
        yield from ((line, "title") for line in _wrapped(f"{RULE} {table.title}", width))
        lines, short = fitted(table, width)
        shortened = shortened or short
        yield lines[0], "head"
        for line, doubtful in zip(lines[1:], table.doubtful, strict=True):
            yield line, "doubtful" if doubtful else "own" if line.startswith(MARK) else "other"
        for note in table.notes:
            yield from ((line, "note") for line in _wrapped(note, width))
    columns = {column for table in tables for column in table.columns}
    cells = {cell for table in tables for row in table.rows for cell in row}
    shown = [row for row in results.rows if task in (None, row.subject.task)]
    last = summary_footer(results, shown, columns | cells, shortened=shortened)
    yield from ((line, "note") for line in _wrapped(f"{RULE} {last}", width, indent=""))


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """Lines of a sentence; names of models are not broken at their hyphens."""
    return wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def own_models(results: Results) -> tuple[str, ...]:
    """Models of the caller: those of the plan that are no reference's name; else the first."""
    plan = results.settings.get("plan", {})
    named = [Path(str(name)).name for name in (*plan.get("models", ()), *plan.get("artifacts", ()))]
    found = tuple(name for name in named if name not in REFERENCES)
    return found or tuple(named[:1]) or tuple(row.subject.model for row in results.rows[:1])


def _table(title: str, rows: Sequence[Row], results: Results, own: Sequence[str]) -> SummaryTable:
    rows = sorted(ordered(rows), key=lambda row: row.subject.model not in own)
    unit = time_unit(rows)
    cells = [_cells(row, unit, own) for row in rows]
    files = results.settings.get("plan", {}).get("artifacts", ())
    kept = [i for i in range(len(_COLUMNS)) if i in _WORDS[:2] or any(line[i] for line in cells)]
    known = f"{title} {input_shapes(rows)}{_how_well(rows, results)}"
    return SummaryTable(
        title=printable(known),
        columns=tuple(_COLUMNS[i].format(unit=unit.name) for i in kept),
        rows=tuple(tuple(line[i] for i in kept) for line in cells),
        words=tuple(i in _WORDS for i in kept),
        doubtful=tuple(not row.ranked for row in rows),
        notes=(*map(printable, word_notes(rows)), *map(printable, _advice(rows, own, files))),
    )


def _cells(row: Row, unit: TimeUnit, own: Sequence[str]) -> tuple[str, ...]:
    subject, counts = row.subject, row.counts
    mark = MARK if subject.model in own else " "
    memory = None
    if row.memory is not None:
        memory = row.memory.peak_device_bytes or row.memory.peak_rss_bytes
    return (
        mark + printable(subject.model),
        printable(_how(row)),
        _latency(row, unit),
        _times_as_fast(row),
        _number(row.megapixels_per_s, 1, 2),
        _number(memory, MIB),
        _number(counts.get("parameters"), 1e6),
        _number(counts.get("flops"), 1e9),
        _bops(row),
        _number(counts.get("file_bytes"), 1e6),
        _decibel(row),
        word_of(row),
    )


def word_of(row: Row) -> str:
    """One word for what is wrong with a row; empty if nothing is."""
    if row.latency is None:
        return "failed"
    return row.word or ("doubt" if row.problems else "")


def _how(row: Row) -> str:
    return f"{_way(row, ' ')} {device_elsewhere(row.subject)}".rstrip()


def _way(row: Row, between: str) -> str:
    """Runtime and precision, which the names of some runtimes have in them."""
    runtime, computed = row.subject.runtime, Precision.parse(row.subject.precision).computed
    if runtime.endswith(f"-{computed}"):
        return runtime
    return f"{runtime}{between}{row.subject.precision}"


def _latency(row: Row, unit: TimeUnit) -> str:
    if row.latency is None:
        return ""
    value = row.median_ms / unit.ms
    low, high = (end / unit.ms for end in row.latency.interval_ms)
    half = (high - low) / 2
    if not isfinite(half):
        return significant(value)
    decimals = min(supported_decimals(value, (low, high)), _decimals(value))
    # A narrower interval than the last digit is not shown as none.
    return f"{fixed(value, decimals)}±{fixed(max(half, 10.0**-decimals), decimals)}"


def _times_as_fast(row: Row) -> str:
    if row.ratio is None or row.latency is None:
        return ""
    if row.ratio.baseline == row.subject.key:
        return "base"
    decimals = supported_decimals(row.ratio.ratio, row.ratio.interval)
    return fixed(row.ratio.ratio, min(decimals, _decimals(row.ratio.ratio)))


def _decimals(value: float) -> int:
    """Decimals of three digits; two below 1, where a leading zero takes the place of the third."""
    if value <= 0:
        return 0
    digits = 0
    while value * 10**digits < 100 and digits < DIGITS:
        digits += 1
    return min(digits, 2) if value >= 0.1 else digits


def _number(value: float | None, per: float, digits: int = DIGITS) -> str:
    """A number as short as it may be: two decimals below 1, k and M from 100,000 on."""
    if value is None or not isfinite(value):
        return ""
    shown = value / per
    for limit, unit, letter in ((1e8, 1e6, "M"), (1e5, 1e3, "k")):
        if shown >= limit:
            return significant(shown / unit, digits) + letter
    return fixed(shown, 2) if 0.1 <= shown < 1 else significant(shown, digits)


def _bops(row: Row) -> str:
    """Bit operations, or a word where it is not known which products are in two bytes."""
    unknown = "bops" not in row.counts and row.counts.get("flops") and row.latency
    return MIXED if unknown else _number(row.counts.get("bops"), 1e9)


def _decibel(row: Row) -> str:
    if row.fresh:
        return "fresh"
    value = (row.quality or {}).get("psnr_db")
    return fixed(value, 1) if is_number(value) else ""


def _how_well(rows: Sequence[Row], results: Results) -> str:
    """How well the ratios are known, and whether the target or the time ended the starts."""
    target = results.settings.get("plan", {}).get("target")
    starts = [len(row.latency.starts) for row in rows if row.latency is not None]
    against = [row for row in rows if row.ratio and row.ratio.baseline != row.subject.key]
    widths = [half_width(row) for row in against if row.latency]
    if not isinstance(target, float) or not starts or not max(starts) or not widths:
        return ""
    if max(widths) <= target:
        return f": ratios ±{_percent(target)} after {max(starts)} starts"
    return f": time spent at ±{_percent(max(widths))}, wanted ±{_percent(target)}"


def _percent(part: float) -> str:
    """A part as per cent in two digits: 0.5% is not 0%, and 8.3% not the 8% that were wanted."""
    return f"{100 * part:.2g}%" if part < 1 else f"{part:.0%}"


def half_width(row: Row) -> float:
    """Half of the interval of the ratio's logarithm: 0.03 is 3 %; infinite if it is not known."""
    low, high = row.ratio.interval if row.ratio else (0.0, 0.0)
    return log(high / low) / 2 if low > 0 else float("inf")


def word_notes(rows: Sequence[Row]) -> Iterator[str]:
    """Meaning of each word, with the rows it is on and their figures."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if word := word_of(row):
            found.setdefault(word, []).append(row)
    for word, those in found.items():
        if word == "wide":
            yield f"wide: {_listed(those, _width)}: too wide for such a ratio"
        elif word in ("differs", "near") and all(_psnr(row) for row in those):
            meaning = (
                "not the picture of fp32 eager"
                if word == "differs"
                else "misses fp32's bar by a hair"
            )
            yield f"{word}: {_listed(those, _psnr)}: {meaning}"
        else:
            for row in those:
                why = row.error or "; ".join(row.problems[:1] or row.remarks[:1])
                yield f"{word}: {row.subject.model} {_how(row)}: {why}"


def _listed(rows: Sequence[Row], figure: Callable[[Row], str]) -> str:
    return ", ".join(f"{row.subject.model} {_how(row)} {figure(row)}" for row in rows)


def _width(row: Row) -> str:
    return f"±{half_width(row):.0%}"


def _psnr(row: Row) -> str:
    value = (row.same_picture or {}).get("psnr_db")
    return f"{value:.0f} dB" if is_number(value) else ""


def _advice(rows: Sequence[Row], own: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """Sentence on what to use, for the caller's first model that was measured."""
    mine = [row for row in rows if row.subject.model in own]
    if not mine:
        return
    mine = [row for row in mine if row.subject.model == mine[0].subject.model]
    good = [row for row in mine if row.ranked and row.word != "waits"]
    if not good:
        yield f"no way to run {mine[0].subject.model} came out trusted: see the words above"
        return
    best = _faster_for_sure(mine, good[0]) or good[0]
    name = _way(best, " in ")
    if len(mine) == 1:
        # A file of `export` runs as it is, and what it was made from in every runtime.
        exported = best.subject.model in files
        more = "--model with its checkpoint adds others" if exported else "--runtime adds others"
        yield f"{name} is all that was measured of {best.subject.model}; {more}"
        return
    base = next(
        (row for row in rows if best.ratio and row.subject.key == best.ratio.baseline), None
    )
    if base is None or best.ratio is None or base is best:
        yield f"use {name}: nothing else that is trusted was faster"
        return
    same_model = base.subject.model == best.subject.model
    against = base.subject.runtime if same_model else f"{base.subject.model} in {_how(base)}"
    low, high = best.ratio.interval
    # Near 1 two digits would say of what is faster for sure that it is 1.0 times as fast.
    speed = f"{significant(best.ratio.ratio, 2 if best.ratio.ratio >= 2 else 3)} times {against}"
    if not best.ranked:
        speed = f"at least {significant(low, 2)} times {against}"
    elif low <= 1 <= high:
        speed = (
            f"no faster than {against} for sure ({_times_as_fast(best)} ±{half_width(best):.0%})"
        )
    yield f"use {name}: {speed}{_same(best)}"


def _faster_for_sure(rows: Sequence[Row], best: Row) -> Row | None:
    """The row with the highest least ratio among those whose interval is wide but above `best`'s.

    How many times as fast it is is not known well, and that it is faster is.
    """
    if best.ratio is None:
        return None
    faster = [
        (row.ratio.interval[0], row)
        for row in rows
        if row.ratio is not None
        and row.word == "wide"
        and len(row.problems) == 1
        and row.ratio.baseline == best.ratio.baseline
        and row.ratio.interval[0] > max(1.0, best.ratio.interval[1])
    ]
    return max(faster, key=lambda one: one[0])[1] if faster else None


def _same(row: Row) -> str:
    if (row.same_picture or {}).get("identical"):
        return ", the same picture bit for bit"
    return f", same picture at {_psnr(row)}" if _psnr(row) else ""
