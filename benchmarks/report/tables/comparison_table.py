"""A comparison of two results files as text."""

from collections.abc import Sequence

from unifmir.benchmarks.report.results_comparison import Change, ResultsComparison, RowPair
from unifmir.benchmarks.report.tables.number_text import NOTHING, significant, with_interval
from unifmir.benchmarks.report.tables.result_tables import Footnotes
from unifmir.text_tables import TextTable, plain, printable

_COLUMNS = ("task", "workload", "shape", "model", "runtime", "precision", "device")
_TIMES = ("ratio [95 %]", "p", "verdict")


def comparison_text(comparison: ResultsComparison) -> str:
    """A table of all rows in both files, what else changed, and what it comes to."""
    blocks = [_remarks(comparison), _times(comparison), _others(comparison.pairs)]
    blocks += [
        _listed("only before", comparison.only_before),
        _listed("only after", comparison.only_after),
        _summary(comparison),
    ]
    return "\n\n".join(block for block in blocks if block)


def _remarks(comparison: ResultsComparison) -> str:
    return "\n".join(printable(remark) for remark in comparison.remarks)


def _times(comparison: ResultsComparison) -> str:
    if not comparison.pairs:
        return "no row is in both files"
    notes = Footnotes()
    rows = [(*_who(pair), *_cells(pair, notes)) for pair in comparison.pairs]
    return plain(
        TextTable(
            title="after / before; below 1 is faster. Times are parts of the baseline's, or in ms",
            columns=(*_COLUMNS, "before", "after", *_TIMES),
            rows=tuple(tuple(map(printable, row)) for row in rows),
            words=(*(True,) * len(_COLUMNS), False, False, False, False, True),
            notes=tuple(notes.lines()),
        )
    )


def _who(pair: RowPair) -> tuple[str, ...]:
    subject = pair.subject
    shape = "x".join(map(str, subject.input_shape))
    how = (subject.model, subject.runtime, subject.precision, subject.device)
    return subject.task, subject.workload, shape, *how


def _cells(pair: RowPair, notes: Footnotes) -> tuple[str, ...]:
    verdict = f"{pair.verdict} {notes(pair.reason)}" if pair.reason else str(pair.verdict)
    if pair.regression:
        verdict = f"{verdict}: REGRESSION"
    if pair.broken:
        verdict = f"{verdict}: BROKEN"
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


def _others(pairs: Sequence[RowPair]) -> str:
    lines = [
        printable(f"  {pair.subject.key}: {', '.join(map(_change, pair.changes))}")
        for pair in pairs
        if pair.changes
    ]
    return "\n".join(["other changes", *lines]) if lines else ""


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


def _listed(title: str, keys: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {printable(key)}" for key in keys)]) if keys else ""


def _summary(comparison: ResultsComparison) -> str:
    limit = f"{comparison.threshold:.3g}"
    verdicts = [str(pair.verdict) for pair in comparison.pairs]
    names = ("faster", "slower", "same", "not comparable")
    counted = ", ".join(f"{verdicts.count(name)} {name}" for name in names)
    told = f"{counted}; regressions past {limit}: {len(comparison.regressions)}"
    return f"{told}; broken: {len(comparison.broken)}" if comparison.broken else told
