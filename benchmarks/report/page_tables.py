"""Tables of results as plain values: what the web page shows, and draws its plots from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unifmir.benchmarks.measure.results import Results, Row, read_results
from unifmir.benchmarks.report.derived_figures import groups, input_shapes, ordered, ranks
from unifmir.benchmarks.report.tables.views import MIB
from unifmir.errors import BenchmarkError

COLUMNS = {
    "rank": "rank",
    "model": "model",
    "runtime": "runtime",
    "precision": "precision",
    "device": "device",
    "median_ms": "median, ms",
    "low_ms": "95 % from, ms",
    "high_ms": "to, ms",
    "times_as_fast": "times as fast",
    "megapixels_per_s": "Mpixel/s",
    "peak_memory_mib": "peak memory, MiB",
    "psnr_db": "fitted PSNR, dB",
    "ssim": "fitted SSIM",
    "remark": "remark",
}
"""Columns of a table, and what is written over them; those without a value are left out."""
PLOT = {"x": "median_ms", "y": "psnr_db"}
"""Columns of the plot of quality against time."""
_FRESH = ("untrained weights: no quality",)


def read_tables(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Tables of the results of `unifmir benchmark` in files and folders.

    Parameters
    ----------
    paths : sequence of Path
        Files, and folders whose `.json` files are read in the order of their names.

    Returns
    -------
    list of dict
        For each file, task and workload `title`, `task`, `columns` (title by name), `rows`, `plot`
        (names of columns, where there is quality) and `source` (`file`, `machine`, `created`); for
        files that cannot be read no rows and the `problem`.
    """
    found = []
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            try:
                found += page_tables(read_results(file), file.name)
            except BenchmarkError as error:
                problem = str(error).replace(str(file), file.name)
                found.append({"title": file.name, "task": None, "rows": [], "problem": problem})
    return found


def page_tables(results: Results, file: str) -> list[dict[str, Any]]:
    """Tables of results from a file of this name: one for each task and workload."""
    source = {"file": file, "machine": _machine(results.machine), "created": results.created[:10]}
    return [
        {"source": source, "task": task, **_table(f"{task}, {workload}", rows)}
        for (task, workload), rows in groups(results).items()
    ]


def _table(title: str, rows: Sequence[Row]) -> dict[str, Any]:
    places = ranks(rows)
    cells = [_cells(row, places) for row in ordered(rows)]
    kept = [name for name in COLUMNS if any(row[name] is not None for row in cells)]
    return {
        "title": f"{title}, {input_shapes(rows)}",
        "columns": {name: COLUMNS[name] for name in kept},
        "rows": [{name: row[name] for name in kept} for row in cells],
        "plot": PLOT if all(name in kept for name in PLOT.values()) else None,
    }


def _cells(row: Row, places: Mapping[str, int]) -> dict[str, Any]:
    subject, quality = row.subject, row.quality or {}
    low, high = row.latency.interval_ms if row.latency else (None, None)
    return {
        "rank": places.get(subject.key),
        "model": subject.model,
        "runtime": subject.runtime,
        "precision": subject.precision,
        "device": subject.device,
        "median_ms": row.latency.median_ms if row.latency else None,
        "low_ms": low,
        "high_ms": high,
        "times_as_fast": row.ratio.ratio if row.ratio else None,
        "megapixels_per_s": row.megapixels_per_s,
        "peak_memory_mib": row.memory.peak_rss_bytes / MIB if row.memory else None,
        "psnr_db": quality.get("psnr_db"),
        "ssim": quality.get("ssim"),
        "remark": row.error or "; ".join((*row.problems, *_FRESH * row.fresh)) or None,
    }


def _machine(facts: Mapping[str, Any]) -> str:
    cores, gpu = facts.get("cores"), facts.get("gpu")
    parts = [facts.get("processor"), f"{cores} cores" if cores else None, gpu]
    return ", ".join(str(part) for part in parts if part)
