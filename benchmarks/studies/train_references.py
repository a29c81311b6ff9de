"""Train the reference models on simulated images, each for about the same time on one core.

    python -m benchmarks.studies.train_references FOLDER [MODEL...]

writes FOLDER/MODEL-TASK.safetensors, which `unifmir benchmark --model` takes: with it the quality
beside the cost means something. The budget is small and the same for all, so the figures say what
a few minutes of training give, not what an architecture can do. Interrupted, it goes on.
"""

import subprocess
import sys
from pathlib import Path

STEPS = {
    ("care-2d", "sr"): 2400,
    ("enlcn", "sr"): 1200,
    ("dfcan", "sr"): 400,
    ("unet", "denoise"): 3600,
    ("care", "denoise"): 550,
    ("gvtnets", "denoise"): 420,
    ("care", "isotropic"): 380,
    ("care-projection", "projection"): 650,
    ("gvtnets-projection", "projection"): 250,
    ("vcd-net", "volume"): 150,
}
"""Steps that take about six minutes on one core of the machine they were chosen on."""

LEARNING_RATES = {"dfcan": 1e-4}
"""Rates of models that collapse to a constant at the recipe's 1e-3; DFCAN's authors use this."""


def main(arguments: list[str]) -> None:
    """Train what is not there yet."""
    folder, wanted = Path(arguments[0]), arguments[1:]
    for (name, task), steps in STEPS.items():
        out = folder / f"{name}-{task}.safetensors"
        if out.exists() or (wanted and name not in wanted):
            continue
        rate = LEARNING_RATES.get(name)
        options = ["--init", name, "--task", task, "--steps", str(steps), "--out", str(out)]
        options += ["--learning-rate", str(rate)] if rate else []
        command = [sys.executable, "-m", "unifmir", "train", *options, "--resume"]
        print(" ".join(["unifmir", "train", *options]), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
