"""A toy of each part that CONTRIBUTING.md says how to add: one file and one row each.

`ROWS` are those rows. Tests add them inside a block (`registered`); processes that tests start
have them when the folder `site` is on their PYTHONPATH.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unifmir.devices import DEVICES
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

SITE = Path(__file__).parent / "site"
"""Folder with a `sitecustomize` module that registers the toys in a new process."""
ROWS = (
    (TASKS, "toy-task", "tests.toys.task:TOY_TASK"),
    (FORMATS, "toy-format", "tests.toys.format:TOY_FORMAT"),
    (RUNTIMES, "toy-runtime", "tests.toys.runtime:TOY_RUNTIME"),
    (DEVICES, "toy-device", "tests.toys.device:TOY_DEVICE"),
    (RUNTIMES, "toy-device-runtime", "tests.toys.device:TOY_DEVICE_RUNTIME"),
    (REFERENCES, "toy-model", "tests.toys.reference:TOY_MODEL"),
)


@contextmanager
def registered() -> Iterator[None]:
    """Have the toys in their registries inside the block."""
    with ExitStack() as stack:
        for registry, name, target in ROWS:
            stack.enter_context(registry.extended(name, target))
        yield
