"""A full-size checkpoint in the official format, for measuring what it costs.

    python -m benchmarks.studies.full_size FOLDER

writes FOLDER/unifmir-full.pt. The weights follow the deterministic rule of
tests/golden/weights.py, since the official ones cannot be shipped: costs are those of any
checkpoint of this size, pictures are not.
"""

import sys
from pathlib import Path

import torch

from tests.golden.weights import filled
from unifmir.checkpoint.official import official_state_dict
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.model import build

SEED = 21
NAME = "unifmir-full.pt"


def checkpoint(folder: Path) -> Path:
    """Write a multi-task checkpoint of the paper's size in the official format: 402 MB."""
    network = build(MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig()))
    network.load_state_dict(filled(network.state_dict(), seed=SEED))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    torch.save(official_state_dict(network), path)
    return path


if __name__ == "__main__":
    print(checkpoint(Path(sys.argv[1])))
