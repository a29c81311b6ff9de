"""How many rows of `unifmir benchmark --quick` are trusted while another process uses half a core.

    python -m benchmarks.studies.busy_neighbour FOLDER [--threads 1] [--core 1]

writes benchmarks/results/busy-neighbour.json, and the results of the second run, beside which
nothing of ours ran, as benchmarks/results/benchmark-quick-MACHINE.json: what the documents show.
FOLDER keeps both runs; an interrupted one goes on. The other process counts for 10 ms and sleeps
for 10 ms, on the core to which the benchmark is held as well: no other can take its work. What else
ran on the machine is in the remarks of the rows.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unifmir.benchmarks.measure.benchmark_run import default_name
from unifmir.benchmarks.measure.results import Results, read_results
from unifmir.benchmarks.report.results_comparison import compare
from unifmir.benchmarks.report.tables.summary_table import word_of
from unifmir.benchmarks.studies.result_files import RESULTS, origin, provenance, write_result

RESULT = "busy-neighbour.json"
HALF_A_CORE = """
import os, time
parent = os.getppid()
while os.getppid() == parent:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    time.sleep(0.01)
"""


@contextmanager
def half_a_core() -> Iterator[None]:
    """Have a process that uses half of this process's core inside the block."""
    with subprocess.Popen([sys.executable, "-c", HALF_A_CORE]) as child:
        try:
            yield
        finally:
            child.kill()


def quick(out: Path, threads: int) -> Results:
    """Results of `unifmir benchmark --quick`; a complete file is kept, another one goes on."""
    if out.exists() and read_results(out).complete:
        return read_results(out)
    command = [sys.executable, "-m", "unifmir", "benchmark", "--quick", "--threads", str(threads)]
    subprocess.run(
        [*command, "--out", out.name], check=True, stdout=subprocess.DEVNULL, cwd=out.parent
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


def baselines(results: Results) -> int:
    """Number of rows that the others are measured by, which are not compared themselves."""
    return len({row.ratio.baseline for row in results.rows if row.ratio})


def main() -> None:
    """Measure beside the other process, then without it, and compare the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {given.core})
    with half_a_core():
        beside = quick(given.folder / "beside.json", given.threads)
    alone = quick(given.folder / "quick.json", given.threads)
    file = RESULTS / default_name().replace("benchmark-", "benchmark-quick-", 1)
    file.write_text((given.folder / "quick.json").read_text("utf-8"), "utf-8")
    found = compare(alone, beside)
    verdicts = Counter(pair.verdict for pair in found.pairs)
    command = (
        "python -m benchmarks.studies.busy_neighbour FOLDER "
        f"--threads {given.threads} --core {given.core}"
    )
    document = {
        **provenance(command),
        "beside": summary(beside),
        "without": summary(alone),
        "compared": dict(verdicts),
        "baselines": baselines(alone),
    }
    write_result(RESULT, document)
    print(
        json.dumps(
            {key: document[key] for key in ("beside", "without", "compared", "baselines")}, indent=1
        )
    )


def busy_neighbour_text(document: dict[str, Any]) -> str:
    """Sentence on the rows that are trusted beside a busy process, and without it."""
    beside, without = document["beside"], document["without"]
    words = ", ".join(f"{n} `{word}`" for word, n in beside["words"].items() if word != "nothing")
    # A baseline's ratio is 1 in both runs, and says nothing.
    bases = document["baselines"]
    same = document["compared"].get("same", 0) - bases
    tested = sum(document["compared"].values()) - bases
    return (
        f"With one thread, held to one core, beside a process that used half of that core, "
        f"{beside['trusted']} of {beside['rows']} rows of `--quick` were trusted ({words}), "
        f"without it {without['trusted']}. More threads were not measured so. Of the ratios to a "
        f"baseline, tested between the two runs, {same} of {tested} were the same; the other "
        f"{bases} rows are the baselines. {origin(document)}"
    )


if __name__ == "__main__":
    main()
