"""Export every task from a full-size, official-format checkpoint; record time, memory, outcome.

    python -m benchmarks.studies.export_full_size [--tasks sr denoise ...] [--precision fp32]

The weights follow the deterministic rule of tests/golden/weights.py, since the official ones
cannot be shipped. Each export is a `unifmir export` in a process of its own. Results go to
benchmarks/results/export-full-size-PRECISION.json, one row per task, with its goal and its commit.
Rows of tasks that are not asked for are kept if they were measured on the same machine with the
same versions. Wall seconds mean something on a machine that does nothing else. The exit code is 1
if an export failed or missed its goal. `python -m benchmarks.studies.document_tables` then writes
the table.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unifmir.benchmarks.measure.benchmark_run import commit
from unifmir.benchmarks.studies.full_size import checkpoint
from unifmir.benchmarks.studies.result_files import RESULTS, write_result
from unifmir.machine import cores, processor, versions
from unifmir.tasks import TASKS

GOAL_WALL_S = {"sr": 60, "denoise": 60, "isotropic": 60, "projection": 120, "volume": 120}
"""Wall seconds that an export of each task should stay under, on two cores."""
GOAL_MEMORY_MIB = 4096
"""Peak memory that every one should stay under."""


def misses(row: Mapping[str, Any]) -> list[str]:
    """Sentences on the goals that a row misses; empty if it meets all of them."""
    if row["exit_code"] != 0:
        return ["the export failed"]
    seconds, memory = GOAL_WALL_S[row["task"]], GOAL_MEMORY_MIB
    found = []
    if row["wall_s"] >= seconds:
        found.append(f"{row['wall_s']:.0f} of {seconds} s")
    if row["peak_memory_mib"] >= memory:
        found.append(f"{row['peak_memory_mib'] / 1024:.1f} of {memory / 1024:g} GiB")
    return found


def measure(source: Path, task: str, precision: str, out: Path) -> dict[str, object]:
    """Run one export; peak memory is that of the process, seconds are wall time."""
    command = [
        *(sys.executable, "-m", "unifmir", "export", "--task", task, "--checkpoint", str(source)),
        *("--format", "onnx", "--format", "bioimageio", "--precision", precision),
        *("--out", str(out), "--json"),
    ]
    begin = time.perf_counter()
    with (out / "stdout").open("wb") as stdout, (out / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
    row: dict[str, object] = {
        "task": task,
        "commit": commit(),
        "goal": {"wall_s": GOAL_WALL_S[task], "peak_memory_mib": GOAL_MEMORY_MIB},
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_s": round(time.perf_counter() - begin, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mib": round(usage.ru_maxrss / 1024),
    }
    if row["exit_code"] != 0:
        row["error"] = (out / "stderr").read_text("utf-8", "replace")[-2000:]
        return row
    artifacts = json.loads((out / "stdout").read_text("utf-8"))["artifacts"]
    row["artifacts"] = [
        {
            "format": a["format"],
            "size_bytes": a["size_bytes"],
            "passed": a["report"]["passed"],
            "max_abs_over_std": max(c["max_abs_over_std"] for c in a["report"]["cases"]),
            "details": a.get("details", {}),
        }
        for a in artifacts
    ]
    return row


def kept_rows(target: Path, setting: dict[str, object]) -> dict[str, dict[str, object]]:
    """Rows of an earlier result file by task; none that another machine or version gave."""
    if not target.exists():
        return {}
    document = json.loads(target.read_text("utf-8"))
    if any(document.get(key) != value for key, value in setting.items()):
        return {}
    return {row["task"]: row for row in document["rows"]}


def told(row: dict[str, object]) -> str:
    """A row as a line."""
    if row["exit_code"] != 0:
        return f"{row['task']}: failed with exit code {row['exit_code']}: {row['error']}"
    missed = "; ".join(misses(row))
    return (
        f"{row['task']}: {row['wall_s']} s, {row['cpu_s']} s of processors, "
        f"{row['peak_memory_mib']} MiB; goal {f'missed: {missed}' if missed else 'met'}"
    )


def main() -> int:
    """Measure the wanted tasks and merge them into the result file; 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    options = parser.parse_args()
    target = RESULTS / f"export-full-size-{options.precision}.json"
    setting: dict[str, object] = {
        "machine": {"processor": processor(), "cores": cores()},
        "versions": versions("torch", "onnx", "onnxruntime", "bioimageio.core", "unifmir"),
    }
    rows = kept_rows(target, setting)
    with tempfile.TemporaryDirectory() as name:
        print("writing the checkpoint", flush=True)
        source = checkpoint(Path(name))
        for number, task in enumerate(options.tasks, 1):
            print(f"{number} of {len(options.tasks)}: {task}", flush=True)
            out = Path(name) / task
            out.mkdir()
            rows[task] = measure(source, task, options.precision, out)
            shutil.rmtree(out)  # up to 2 GB
            print(told(rows[task]), flush=True)
            command = "python -m benchmarks.studies.export_full_size"
            document = {
                "command": f"{command} --precision {options.precision}",
                **setting,
                "rows": [rows[t] for t in TASKS if t in rows],
            }
            write_result(target.name, document)
    return int(any(misses(rows[task]) for task in options.tasks))


if __name__ == "__main__":
    sys.exit(main())
