"""What the documented chances say of each task happens in its scenes, and nothing else."""

import numpy as np
import pytest

from unifmir.registry import resolve
from unifmir.simulate import Camera, camera, microscopes, specimen
from unifmir.simulate.scene_ranges import CHANCES
from unifmir.tasks import TASKS, multitask_parts

SIDES = {"volume": 3}
SCENES = 8
"""Enough to see confocal and widefield lenses of each task that has both."""
OF_CAMERAS = {
    "gain map": "gain_spread",
    "line noise": "line_noise",
    "multiplication": "multiplies",
    "noise blur": "noise_blur",
    "hot pixels": "hot_pixels",
}


@pytest.mark.parametrize("task", multitask_parts())
def test_what_can_happen_in_a_task_is_what_the_chances_say(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def always(rng: np.random.Generator, name: str) -> bool:
        asked.add(name)
        return True

    for module in (microscopes, specimen, camera):
        monkeypatch.setattr(module, "happens", always)
    cameras: list[Camera] = []
    expose = Camera.expose

    def seen(self: Camera, photons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cameras.append(self)
        return expose(self, photons, rng)

    monkeypatch.setattr(Camera, "expose", seen)
    scene_of = resolve(TASKS[task].simulation.scene)
    happened: set[str] = set()
    confocal: set[str] = set()
    for seed in range(SCENES):
        asked.clear()
        scene = scene_of(np.random.default_rng(seed), SIDES.get(task, 24))
        used = {name for name, entry in OF_CAMERAS.items() if getattr(cameras[-1], entry)}
        used |= {"saturation"} if np.isfinite(cameras[-1].full_well) else set()
        found = (asked - {*OF_CAMERAS, "saturation"}) | used
        (confocal if scene.lens and scene.lens.confocal else happened).update(found)
    lenses = TASKS[task].simulation.lenses
    can = {name for name, row in CHANCES.items() if task not in row.never}
    if any(lens.confocal for lens in lenses):
        assert confocal == {name for name in can if CHANCES[name].confocal}
    if not all(lens.confocal for lens in lenses) or not lenses:
        assert happened == can
