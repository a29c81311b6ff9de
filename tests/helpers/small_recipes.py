"""Recipes of trainings that take seconds: of every task a few small scenes and patches."""

from dataclasses import replace

from unifmir.tasks import TASKS

SMALL_RECIPES = {
    task: replace(TASKS[task].training, scene_size=size, scenes=scenes, patch=patch, batch=batch)
    for task, size, scenes, patch, batch in (
        ("sr", 24, 2, 16, 2),
        ("denoise", 24, 2, 16, 2),
        ("isotropic", 24, 1, 16, 2),
        ("projection", 20, 1, 16, 1),
        ("volume", 3, 1, 2, 1),
    )
}
