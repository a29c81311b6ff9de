"""Every check that needs an NVIDIA GPU, and the timings of what runs on it.

    python -m benchmarks.studies.gpu_check

is `make gpu-check`. It runs the tests marked `gpu`, then times the embedded model in every runtime
that is installed, each of the same picture as fp32 on the CPU. Results go to
benchmarks/results/gpu-check.json (the tests, one row each, skipped ones with their reason) and
benchmarks/results/gpu-timings.json (read it with `unifmir benchmark show`). The exit code is 1 if
a check failed, 2 without a GPU.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import torch

from unifmir.benchmarks.studies.result_files import RESULTS, write_result
from unifmir.errors import MissingExtraError
from unifmir.export.runtimes import RUNTIMES
from unifmir.machine import description, versions

DEVICE = "cuda:0"
PRECISIONS = ("fp32", "fp16-compute")
LIBRARIES = (
    *("unifmir", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx"),
)


def checks() -> list[dict[str, str]]:
    """Run the tests marked `gpu`: one row each with `test`, `outcome` and, if any, `reason`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=Path(__file__).resolve().parents[2], check=False)
        return [_row(case) for case in ET.parse(report).iter("testcase")]


def _row(case: ET.Element) -> dict[str, str]:
    row = {"test": f"{case.get('classname')}::{case.get('name')}", "outcome": "passed"}
    for outcome in ("failure", "error", "skipped"):
        if (found := case.find(outcome)) is not None:
            row |= {"outcome": outcome, "reason": (found.get("message") or "")[:500]}
    return row


def timings() -> int:
    """Time what is installed; the exit code of `unifmir benchmark`."""
    command = [sys.executable, "-m", "unifmir", "benchmark", "--device", DEVICE, "--overwrite"]
    command += ["--model", "unifmir-small-sim", "--workload", "patch", "--images", "0"]
    for name in installed_runtimes():
        command += ["--runtime", name]
    for precision in PRECISIONS:
        command += ["--precision", precision]
    return subprocess.run([*command, "--out", RESULTS / "gpu-timings.json"], check=False).returncode


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
