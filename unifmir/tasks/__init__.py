"""The tasks: one file each, in the order in which they are shown. Nothing here imports torch.

Everything that depends on a task alone is read from its row, by the eager path, the exports, the
benchmark, the command line and the tests. What needs torch or a heavier part is named as
`"module:attribute"` and imported where it is used.
"""

from unifmir.registry import Registry
from unifmir.tasks.base import MultiTaskPart, TaskSpec

TASKS: Registry[TaskSpec] = Registry(
    "task",
    [
        ("sr", "unifmir.tasks.sr:SR"),
        ("denoise", "unifmir.tasks.denoise:DENOISE"),
        ("isotropic", "unifmir.tasks.isotropic:ISOTROPIC"),
        ("projection", "unifmir.tasks.projection:PROJECTION"),
        ("volume", "unifmir.tasks.volume:VOLUME"),
    ],
)


def multitask_parts() -> dict[str, MultiTaskPart]:
    """Tasks of the official multi-task network, each with its part of it."""
    parts = {task: TASKS[task].multitask for task in TASKS}
    return {task: part for task, part in parts.items() if part is not None}
