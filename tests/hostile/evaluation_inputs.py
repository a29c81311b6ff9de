"""Evaluations that `export --evaluation` is given: malformed, of another model, or invented."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.special_places import special_cases
from tests.hostile.metadata_inputs import changed, documents
from tests.hostile.training_record_inputs import content_case
from unifmir.export.credit import ImageQuality
from unifmir.export.evaluation_file import read_quality

SHA256 = "5" * 64
RIGHT: dict[str, Any] = {
    "model": "model.safetensors",
    "sha256": SHA256,
    "tasks": {
        "sr": {
            "images": 12,
            "seed": 0,
            "size": 128,
            "model": {"psnr_db": 31.25, "ssim": 0.91, "nrmse": 0.04},
            "baselines": {
                "bicubic": {"psnr_db": 29.0, "ssim": 0.8, "nrmse": 0.06},
                "nearest": {"psnr_db": 27.5, "ssim": 0.7, "nrmse": 0.08},
            },
            "best_baseline": "bicubic",
            "gain_db": 2.25,
        }
    },
}
FIELDS = (
    *("model", "sha256", "tasks", "tasks.sr", "tasks.sr.images", "tasks.sr.seed", "tasks.sr.size"),
    *("tasks.sr.model", "tasks.sr.model.psnr_db", "tasks.sr.baselines", "tasks.sr.best_baseline"),
    *("tasks.sr.baselines.bicubic", "tasks.sr.baselines.bicubic.psnr_db", "tasks.sr.gain_db"),
)
ODD: dict[str, tuple[str, Any]] = {
    "another model": ("sha256", "6" * 64),
    "a model by capitals": ("sha256", SHA256.upper() + " "),
    "a better figure": ("tasks.sr.model.psnr_db", 39.0),
    "an enormous figure": ("tasks.sr.model.psnr_db", 1e300),
    "a greater gain": ("tasks.sr.gain_db", 12.0),
    "the worst method as the best": ("tasks.sr.best_baseline", "nearest"),
    "a method that is not there": ("tasks.sr.best_baseline", "nothing"),
    "no methods": ("tasks.sr.baselines", {}),
    "methods without figures": ("tasks.sr.baselines", {"bicubic": {}}),
    "no images": ("tasks.sr.images", 0),
    "images below nothing": ("tasks.sr.images", -12),
    "a seed below nothing": ("tasks.sr.seed", -1),
    "images of no size": ("tasks.sr.size", 0),
    "another task alone": ("tasks", {"denoise": RIGHT["tasks"]["sr"]}),
    "a task by a path": ("tasks", {"../../victim": RIGHT["tasks"]["sr"]}),
}


def cases() -> Iterator[Case]:
    for name, content in documents(RIGHT, FIELDS):
        yield content_case(name, content)
    for name, (field, value) in ODD.items():
        yield content_case(name, json.dumps(changed(RIGHT, field, value)).encode())
    yield content_case("as it is printed", json.dumps(RIGHT).encode())
    yield from special_cases("facts.json")


def give(path: Path, room: Room) -> ImageQuality:
    return read_quality(path, "sr", SHA256)


def lie(case: Case, came: ImageQuality) -> str | None:
    """Whether figures are told that nobody measured."""
    wanted = [("PSNR", 31.25), ("SSIM", 0.91), ("NRMSE", 0.04)]
    told = [(short, value) for short, _, value in came.figures]
    said = "12 held-out images simulated by unifmir, side 128, seed 0; fitted PSNR +2.25 dB"
    right = told == wanted and came.sample_count == 12 and came.dataset.startswith(said)
    return None if right else f"{came}"


KIND = HostileKind("evaluation of a model", cases, give, lie)
