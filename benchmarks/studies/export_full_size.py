"""Export every task from a full-size, official-format checkpoint; record time, memory, outcome.

    python -m benchmarks.studies.export_full_size [--tasks sr denoise ...] [--precision fp32]

The weights follow the deterministic rule of tests/golden/weights.py, since the official ones
cannot be shipped. Each export is a `unifmir export` in a process of its own. Results go to
benchmarks/results/export-full-size-PRECISION.json, one row per task, kept when other tasks are
measured later.
"""

import argparse
import json
import os
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


def main() -> None:
    """Measure the wanted tasks and merge them into the result file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    options = parser.parse_args()
    target = RESULTS / f"export-full-size-{options.precision}.json"
    rows = {r["task"]: r for r in json.loads(target.read_text())["rows"]} if target.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        source = checkpoint(Path(name))
        for task in options.tasks:
            out = Path(name) / task
            out.mkdir()
            rows[task] = measure(source, task, options.precision, out)
            print(json.dumps({k: v for k, v in rows[task].items() if k != "artifacts"}))
            document = {
                "command": "python -m benchmarks.studies.export_full_size "
                f"--precision {options.precision}",
                "machine": {"processor": processor(), "cores": cores()},
                "versions": versions("torch", "onnx", "onnxruntime", "unifmir"),
                "rows": [rows[t] for t in TASKS if t in rows],
            }
            write_result(target.name, document)


if __name__ == "__main__":
    main()
