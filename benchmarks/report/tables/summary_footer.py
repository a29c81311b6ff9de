"""The paragraph below a summary: what its headings and words mean, and what ran."""

from collections.abc import Collection, Sequence

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.tables.fitted_lines import SHORT_NAMES
from unifmir.text_tables import printable
from unifmir.zoo.catalogue.index import entries, reference_of, trained_id
from unifmir.zoo.catalogue.pull import giving, present_file

MARK = "*"
"""Mark before the models of the caller."""
MIXED = "mixed"
"""Word in place of bit operations that are not known."""
_MEANINGS = {
    "x": "x: times as fast as the baseline",
    "MiB": "MiB: peak memory",
    "Mpar": "Mpar: million parameters",
    "MB": "MB: file",
    "dB": "dB: fitted PSNR",
    MIXED: f"{MIXED}: some in fp32, uncounted",
}
"""Headings and cells that do not explain themselves -> what they mean."""


def summary_footer(
    results: Results, rows: Sequence[Row], shown: Collection[str], *, shortened: bool
) -> str:
    """One paragraph below the tables.

    Parameters
    ----------
    results : Results
    rows : sequence of Row
        Those in the tables.
    shown : collection of str
        Headings and cells: nothing else is explained.
    shortened : bool
        Whether runtimes are called by their short names.
    """
    timed = [row for row in rows if row.latency is not None]
    parts = [f"{MARK} yours."]
    if timed:
        started = any(row.latency and row.latency.starts for row in timed)
        units = "starts" if started else "rounds of one start"
        meanings = [f"Medians ± half of their 95 % interval over {units}"]
        meanings += [meaning for name, meaning in _MEANINGS.items() if name in shown]
        parts.append(f"{'; '.join(meanings)}.")
    fresh = next((row.subject for row in rows if row.fresh), None)
    if fresh is not None:
        parts.append(f"fresh: untrained; {_how_to_train(fresh.model, fresh.task)}.")
    told = [_what_ran(results, rows)]
    if shortened:
        words = {word for cell in shown for word in cell.split()}
        told += [
            f"{short}: {name}"
            for name, short in SHORT_NAMES.items()
            if any(word.endswith(name) for word in words)
        ]
    parts.append(f"{'; '.join(told)}.")
    if results.settings.get("plan", {}).get("reference_runtimes"):
        # Nobody named the runtimes, and so nobody knows which others there are.
        left_out = "; ".join(results.settings.get("left_out", ()))
        parts += [f"Left out: {left_out}."] if left_out else []
    if not results.complete:
        parts.append("INCOMPLETE: the run was interrupted.")
    return printable(" ".join([*parts, "More: --details, --json."]))


def _what_ran(results: Results, rows: Sequence[Row]) -> str:
    names = ["torch", *sorted({row.subject.runtime for row in rows})]
    versions = [f"{name} {results.versions[name]}" for name in names if name in results.versions]
    facts = [results.machine.get("processor"), f"threads {results.settings.get('threads', '?')}"]
    return ", ".join(map(str, (*filter(None, facts), *versions)))


def _how_to_train(model: str, task: str) -> str:
    """Advice on how a reference model gets trained weights on this machine."""
    entry = entries().get(trained_id(model, task))
    if entry is None or reference_of(entry) != model:
        return f"`unifmir zoo show {model}` says how to train it"
    if present_file(entry) is None:
        return f"the file of {entry.id} is missing: `{giving(entry.id)}`"
    return f"{entry.id} has its weights by now: measure again"
