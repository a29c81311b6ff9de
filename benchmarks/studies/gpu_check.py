"""Every check that needs an NVIDIA GPU, and the timings of what runs on it.

    python -m benchmarks.studies.gpu_check

is `make gpu-check`. It runs the tests marked `gpu`, then times the embedded model and one of the
paper's size in every runtime that is installed, on patches, eight of them at once, whole images and
the paper's sizes, in fp32 with TF32 off and in fp16, each of the same picture as fp32 on the CPU.
Results go to benchmarks/results/gpu-check.json (the tests, one row each, skipped ones with their
reason) and benchmarks/results/gpu-timings.json (read it with `unifmir benchmark show`;
docs/speed.md has it). The exit code is 1 if a check failed or a time was taken with TF32, 2 without
a GPU.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import torch

from unifmir.benchmarks.measure.results import read_results
from unifmir.benchmarks.studies.full_size import checkpoint
from unifmir.benchmarks.studies.measured_tables import GPU_TIMINGS
from unifmir.benchmarks.studies.result_files import REPO, RESULTS, write_result
from unifmir.errors import MissingExtraError
from unifmir.export.runtimes import RUNTIMES
from unifmir.machine import description, versions
from unifmir.zoo import EMBEDDED

DEVICE = "cuda:0"
PRECISIONS = ("fp32", "fp16-compute")
WORKLOADS_TIMED = ("patch", "batch", "image", "paper")
LIBRARIES = (
    *("unifmir", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx"),
)


def checks() -> list[dict[str, str]]:
    """Run the tests marked `gpu`: one row each with `test`, `outcome` and, if any, `reason`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=REPO, check=False)
        return [_row(case) for case in ET.parse(report).iter("testcase")]


def _row(case: ET.Element) -> dict[str, str]:
    row = {"test": f"{case.get('classname')}::{case.get('name')}", "outcome": "passed"}
    for outcome in ("failure", "error", "skipped"):
        if (found := case.find(outcome)) is not None:
            row |= {"outcome": outcome, "reason": (found.get("message") or "")[:500]}
    return row


def timings() -> int:
    """Time what is installed; the exit code of `unifmir benchmark`, or 1 if TF32 was on."""
    with tempfile.TemporaryDirectory() as folder:
        command = timing_command(checkpoint(Path(folder)), installed_runtimes())
        code = subprocess.run(command, check=False).returncode
    if code:
        return code
    rounded = [
        row.subject.key for row in read_results(RESULTS / GPU_TIMINGS).rows if row.ran.get("tf32")
    ]
    if rounded:
        print(f"with TF32, so that fp32 is something else: {', '.join(rounded)}")
    return int(bool(rounded))


def timing_command(full_size: Path, runtimes: Sequence[str]) -> list[str | Path]:
    """Command that times the embedded model and a checkpoint of the paper's size."""
    command: list[str | Path] = [sys.executable, "-m", "unifmir", "benchmark", "--device", DEVICE]
    command += ["--model", EMBEDDED, "--model", full_size, "--images", "0", "--overwrite"]
    choices = {"workload": WORKLOADS_TIMED, "runtime": runtimes, "precision": PRECISIONS}
    for option, values in choices.items():
        for value in values:
            command += [f"--{option}", value]
    return [*command, "--out", RESULTS / GPU_TIMINGS]


def installed_runtimes() -> list[str]:
    """Names of the runtimes that run on this GPU and whose libraries are installed."""
    found = []
    for name in RUNTIMES:
        try:
            if RUNTIMES[name].precisions(DEVICE):
                RUNTIMES[name].require()
                found.append(name)
        except MissingExtraError as error:
            print(f"{name} is left out: {error}")
    return found


def main() -> int:
    """Check, then time; the exit code."""
    if not torch.cuda.is_available():
        print(
            f"no CUDA device: this PyTorch is {torch.__version__}. Run `make gpu-check` on a "
            "machine with an NVIDIA GPU, after installing PyTorch's build for it in .venv"
        )
        return 2
    rows = checks()
    document = {
        "command": "make gpu-check",
        "machine": description(),
        "versions": versions(*LIBRARIES),
        "cuda": torch.version.cuda,
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "tests": rows,
    }
    write_result("gpu-check.json", document)
    print(document["outcomes"])
    timed = timings()
    bad = {row["outcome"] for row in rows} & {"failure", "error"}
    return 1 if bad or timed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
