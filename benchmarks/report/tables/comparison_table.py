"""A comparison of two results files as text."""

from collections.abc import Sequence

from unifmir.benchmarks.report.derived_figures import device_elsewhere
from unifmir.benchmarks.report.results_comparison import Change, ResultsComparison, RowPair
from unifmir.benchmarks.report.tables.fitted_lines import fitted
from unifmir.benchmarks.report.tables.number_text import NOTHING, significant, with_interval
from unifmir.benchmarks.report.tables.result_tables import Footnotes
from unifmir.benchmarks.report.tables.summary_table import WIDTH
from unifmir.text_tables import TextTable, folded_lines, printable

_COLUMNS = ("model", "runtime", "before", "after", "ratio [95 %]", "p", "verdict")
_WORDS = (True, True, False, False, False, False, True)
_TITLE = "after / before; below 1 is faster. Times are parts of the baseline's, or in ms"


def comparison_text(comparison: ResultsComparison, *, width: int = WIDTH) -> str:
    """A table of all rows in both files, what else changed, and what it comes to.

    Parameters
    ----------
    comparison : ResultsComparison
    width : int
        Characters in a line. Keys of rows are never broken, nor are the lines of the table, which
        needs some 70.
    """
    words = [
        _others(comparison.pairs),
        _listed("only before", comparison.only_before),
        _listed("only after", comparison.only_after),
        [_summary(comparison)],
    ]
    blocks = [
        folded_lines(map(printable, comparison.remarks), width),
        _times(comparison, width),
        *(folded_lines(block, width) for block in words),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _times(comparison: ResultsComparison, width: int) -> list[str]:
    if not comparison.pairs:
        return ["no row is in both files"]
    tables: dict[str, list[RowPair]] = {}
    for pair in comparison.pairs:
        tables.setdefault(_image(pair), []).append(pair)
    notes, lines = Footnotes(), folded_lines([_TITLE], width)
    for title, pairs in tables.items():
        rows = tuple(tuple(map(printable, (*_who(pair), *_cells(pair, notes)))) for pair in pairs)
        found, _ = fitted(TextTable(columns=_COLUMNS, rows=rows, words=_WORDS), width)
        lines += [*folded_lines([title], width), *found]
    return [*lines, *folded_lines(notes.lines(), width)]


def _image(pair: RowPair) -> str:
    subject = pair.subject
    return f"{subject.task}, {subject.workload} {'x'.join(map(str, subject.input_shape))}"


def _who(pair: RowPair) -> tuple[str, str]:
    subject = pair.subject
    how = f"{subject.runtime} {subject.precision} {device_elsewhere(subject)}"
    return subject.model, how.rstrip()


def _cells(pair: RowPair, notes: Footnotes) -> tuple[str, ...]:
    verdict = "REGRESSION" if pair.regression else "BROKEN" if pair.broken else str(pair.verdict)
    if pair.reason:
        verdict = f"{verdict} {notes(pair.reason)}"
    before, after = (_time(value, pair) for value in (pair.before, pair.after))
    return before, after, _ratio(pair), _chance(pair.p_value), verdict


def _time(value: float | None, pair: RowPair) -> str:
    shown = significant(value)
    return shown if pair.relative or value is None else f"{shown} ms"


def _ratio(pair: RowPair) -> str:
    if pair.ratio is None or pair.interval is None:
        return NOTHING
    return with_interval(pair.ratio, pair.interval)


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return NOTHING
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _others(pairs: Sequence[RowPair]) -> list[str]:
    lines = [
        "  " + printable(f"{pair.subject.key}: {', '.join(map(_change, pair.changes))}")
        for pair in pairs
        if pair.changes
    ]
    return ["other changes", *lines] if lines else []


def _change(change: Change) -> str:
    told = f"{change.what} {_shown(change.before)} -> {_shown(change.after)}"
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in (change.before, change.after)
    )
    if not numbers:
        return told
    if change.what.endswith("_db"):
        return f"{told} ({change.after - change.before:+.2f} dB)"
    return f"{told} ({change.after / change.before - 1:+.1%})" if change.before else told


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return NOTHING if value is None else str(value)


def _listed(title: str, keys: Sequence[str]) -> list[str]:
    return [title, *(f"  {printable(key)}" for key in keys)] if keys else []


def _summary(comparison: ResultsComparison) -> str:
    limit = f"{comparison.threshold:.3g}"
    verdicts = [str(pair.verdict) for pair in comparison.pairs]
    names = ("faster", "slower", "same", "not comparable")
    counted = ", ".join(f"{verdicts.count(name)} {name}" for name in names)
    told = f"{counted}; regressions past {limit}: {len(comparison.regressions)}"
    return f"{told}; broken: {len(comparison.broken)}" if comparison.broken else told
