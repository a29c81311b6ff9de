"""Evaluate the embedded model and bring everything that quotes the figures up to date.

    python -m benchmarks.studies.evaluate_embedded

writes the evaluation beside the weights in zoo/catalogue/weights/ and the zoo entry; `make tables`
then writes the README.
"""

import json
import subprocess
import sys

from unifmir.atomic import write_text
from unifmir.benchmarks.studies.result_files import REPO
from unifmir.machine import cores, processor, versions
from unifmir.zoo.catalogue import refresh

WEIGHTS = REPO / "zoo" / "catalogue" / "weights"
IMAGES = 12
SEED = 0


def main() -> None:
    """Evaluate in a process of its own, add how it was trained, refresh the entry."""
    # New weights are read by the hash of the entry.
    refresh.main()
    arguments = ["evaluate", "unifmir-small-sim", "--images", str(IMAGES), "--seed", str(SEED)]
    done = subprocess.run(
        [sys.executable, "-m", "unifmir", *arguments, "--json"], check=True, stdout=subprocess.PIPE
    )
    training = WEIGHTS / "unifmir-small-sim.training.json"
    document = {
        "command": " ".join(["unifmir", *arguments]),
        "seed": SEED,
        "machine": {"processor": processor(), "cores": cores()},
        "versions": versions("torch", "numpy", "scipy", "scikit-image"),
        "training": json.loads(training.read_text("utf-8")),
        **json.loads(done.stdout),
    }
    target = WEIGHTS / "unifmir-small-sim.evaluation.json"
    write_text(target, json.dumps(document, indent=1) + "\n")
    refresh.main()


if __name__ == "__main__":
    main()
