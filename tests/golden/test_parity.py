"""The networks compute what the official ones do, for every recorded case.

`parity/index.json` and its arrays, and the lists of keys in `state_dicts/`, were recorded from
the official networks in eval mode, float32, on the CPU with torch 2.13.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.weights import filled
from unifmir.config import (
    BodyConfig,
    ModelConfig,
    MultiTaskConfig,
    ProjectorConfig,
    SingleTaskConfig,
    ViewUNetConfig,
)
from unifmir.model import build
from unifmir.networks.base import Network

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((HERE / "parity" / "index.json").read_text("utf-8"))
TOLERANCE = 1e-5
"""Of the expected output's largest magnitude; measured: 2e-6 at worst."""
DERIVED = ("relative_position_index", "attn_mask")
"""Computed from the window and the image size, so not stored here."""
UNUSED = ("sub_mean", "add_mean")
"""In the official files, read by nothing."""
MAGNIFICATION = {"sr": 2, "volume": 11}

BODY = BodyConfig()
SMALL = ProjectorConfig(features=32, blocks=8, match_features=8)
CONFIGS: dict[str, ModelConfig] = {
    "sr": SingleTaskConfig("sr", BODY, scale=2),
    "denoise1": SingleTaskConfig("denoise", BODY),
    "denoise5": SingleTaskConfig("denoise", BODY, in_channels=5),
    "projection": SingleTaskConfig("projection", BODY, projector=ProjectorConfig()),
    "projection_small": SingleTaskConfig("projection", BODY, projector=SMALL),
    "volume": SingleTaskConfig(
        "volume",
        BODY,
        in_channels=61,
        out_channels=61,
        tail_features=90,
        body_residual=False,
        view_unet=ViewUNetConfig(),
    ),
    "multitask": MultiTaskConfig(BODY, ProjectorConfig(), ViewUNetConfig()),
}


@lru_cache(maxsize=1)  # the multi-task cases follow each other and share 100 M weights
def network_of(model: str, seed: int) -> Network:
    """The official-size network, filled by the rule."""
    network = build(CONFIGS[model])
    network.load_state_dict(filled(network.state_dict(), seed))
    return network


def stages(network: Network, image: Tensor, task: str | None) -> tuple[Tensor, ...]:
    """Every recorded output: (first stage, result), or (result,) for one-stage networks."""
    several: Callable[..., tuple[Tensor, ...]] | None = getattr(network, "stages", None)
    if several is None:
        return (network(image),)
    return several(image) if task is None else several(image, task)


@pytest.mark.parametrize("model", [name for name in CONFIGS if name != "projection_small"])
def test_keys_and_shapes_are_the_official_ones(model):
    official = {
        key: tuple(shape)
        for key, (_, shape) in json.loads(
            (HERE / "state_dicts" / f"{model}.json").read_text("utf-8")
        ).items()
        if not key.endswith(DERIVED) and not any(part in UNUSED for part in key.split("."))
    }
    with torch.device("meta"):
        network = build(CONFIGS[model])
    ours = {
        key: tuple(value.shape)
        for key, value in network.state_dict().items()
        if not key.endswith(DERIVED)
    }
    assert ours == official


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            # Those of 30 to 100 million parameters are slow; a small projection is quick.
            marks=pytest.mark.slow if case["model"] in ("multitask", "projection") else (),
            id=Path(case["file"]).stem,
        )
        for case in CASES
    ],
)
def test_output_is_the_official_one(case):
    network = network_of(case["model"], case["seed"])
    low, high = case["input_range"]
    noise = np.random.default_rng(case["seed"]).random(case["input_shape"])
    image = torch.from_numpy((low + (high - low) * noise).astype(np.float32))
    with torch.inference_mode():
        actual = stages(network, image, case.get("task"))
    with np.load(HERE / "parity" / case["file"]) as stored:
        expected = [stored[f"output{i}"] for i in range(len(case["outputs"]))]
    assert len(actual) == len(expected)
    factor = MAGNIFICATION.get(case.get("task", case["model"]), 1)
    height, width = (factor * side for side in case["input_shape"][-2:])
    for ours, recorded in zip(actual, expected, strict=True):
        # The official multi-task and volume networks do not crop what they padded.
        theirs = recorded[..., :height, :width]
        assert ours.shape == theirs.shape
        difference = np.abs(ours.numpy() - theirs).max()
        assert difference <= TOLERANCE * np.abs(theirs).max()
