"""How many rows of `unifmir benchmark --quick` are trusted while another process uses half a core.

    python -m benchmarks.studies.busy_neighbour [--threads 1] [--core 1]

writes benchmarks/results/busy-neighbour.json, and the results of the second run, beside which
nothing of ours ran, as benchmarks/results/benchmark-quick-MACHINE.json: what the documents show.
The other process counts for 10 ms and sleeps for 10 ms, on one core. What else ran on the machine
is in the remarks of the rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from unifmir.benchmarks.measure.benchmark_run import default_name
from unifmir.benchmarks.measure.results import Results, read_results
from unifmir.benchmarks.report.results_comparison import compare
from unifmir.benchmarks.report.tables.summary_table import word_of
from unifmir.benchmarks.studies.result_files import RESULTS, provenance, write_result

HALF_A_CORE = """
import time
while True:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    time.sleep(0.01)
"""


@contextmanager
def half_a_core(core: int) -> Iterator[psutil.Process]:
    """Have a process that uses half of a core inside the block."""
    with subprocess.Popen([sys.executable, "-c", HALF_A_CORE]) as child:
        process = psutil.Process(child.pid)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.pid, {core})
        try:
            yield process
        finally:
            child.kill()


def quick(out: Path, threads: int) -> Results:
    """Results of `unifmir benchmark --quick`."""
    command = [sys.executable, "-m", "unifmir", "benchmark", "--quick", "--threads", str(threads)]
    subprocess.run(
        [*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, cwd=out.parent
    )
    return read_results(out)


def summary(results: Results) -> dict[str, Any]:
    """Rows, how many are trusted, and the words of the others."""
    words = Counter(word_of(row) or "nothing" for row in results.rows)
    trusted = sum(row.ranked for row in results.rows)
    return {
        "rows": len(results.rows),
        "trusted": trusted,
        "share_trusted": round(trusted / len(results.rows), 3),
        "words": dict(words),
    }


def main() -> None:
    """Measure beside the other process, then without it, and compare the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with half_a_core(given.core) as other:
            began = sum(other.cpu_times()[:2])
            elapsed = time.monotonic()
            beside = quick(folder / "beside.json", given.threads)
            elapsed = time.monotonic() - elapsed
            took = (sum(other.cpu_times()[:2]) - began) / elapsed
        file = RESULTS / default_name().replace("benchmark-", "benchmark-quick-", 1)
        alone = quick(folder / file.name, given.threads)
        file.write_text((folder / file.name).read_text("utf-8"), "utf-8")
    found = compare(alone, beside)
    verdicts = Counter(pair.verdict for pair in found.pairs)
    command = f"python -m benchmarks.studies.busy_neighbour --threads {given.threads}"
    document = {
        **provenance(command),
        "other_process_cores": round(took, 3),
        "beside": summary(beside),
        "without": summary(alone),
        "compared": dict(verdicts),
    }
    write_result("busy-neighbour.json", document)
    print(json.dumps({key: document[key] for key in ("beside", "without", "compared")}, indent=1))


if __name__ == "__main__":
    main()
