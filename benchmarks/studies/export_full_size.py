"""Export every task from a full-size, official-format checkpoint; record time, memory, outcome.

    python -m benchmarks.studies.export_full_size [--tasks sr denoise ...] [--precision fp32]

The weights follow the deterministic rule of tests/golden/weights.py, since the official ones
cannot be shipped. Each export is a `unifmir export` in a process of its own. Results go to
benchmarks/results/export-full-size-PRECISION.json, one row per task. Rows of tasks that are not
asked for are kept if they were measured on the same machine with the same versions. Wall seconds
mean something on a machine that does nothing else. `python -m benchmarks.studies.document_tables`
then writes the table.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unifmir.benchmarks.studies.full_size import checkpoint
from unifmir.benchmarks.studies.result_files import RESULTS, write_result
from unifmir.machine import cores, processor, versions
from unifmir.tasks import TASKS


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
    return (
        f"{row['task']}: {row['wall_s']} s, {row['cpu_s']} s of processors, "
        f"{row['peak_memory_mib']} MiB"
    )


def main() -> int:
    """Measure the wanted tasks and merge them into the result file; 1 if an export failed."""
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
    return int(any(rows[task]["exit_code"] != 0 for task in options.tasks))


if __name__ == "__main__":
    sys.exit(main())
