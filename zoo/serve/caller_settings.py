"""Settings of a job as a caller of the server sends them, who must not decide everything."""

import re
from typing import Any

from unifmir.errors import ImageError, ZooError
from unifmir.export.runtimes import RUNTIMES
from unifmir.images.base import AXES
from unifmir.json_values import read_values
from unifmir.plain_text_values import parse_json
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.registry import require_known
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.pull import how_to_get, present_file
from unifmir.zoo.restore.restore_settings import RestoreSettings

MAX_BYTES = 20_000
"""Limit of the settings' JSON text, which has some hundred."""


def parse_settings(text: str | bytes) -> RestoreSettings:
    """Settings from their JSON text, of a model that is on this machine.

    Raises
    ------
    CheckpointError
        It is no JSON, or has unknown or missing entries, or some of another type.
    UnknownNameError
        No such task, model or runtime.
    ImageError, ZooError
        Values that cannot be, or a model that cannot be had.
    """
    values: Any = parse_json(text, limit=MAX_BYTES)
    settings = read_values(RestoreSettings, values)
    require_known("task", settings.task, TASKS)
    require_known("precision", settings.precision, ELEMENT_TYPES)
    if settings.runtime is not None:
        require_known("runtime", settings.runtime, RUNTIMES)
    if settings.axes is not None and not re.fullmatch(f"[{AXES}]{{1,5}}", settings.axes.lower()):
        raise ImageError(f"axes are {settings.axes!r}, expected some of {AXES}")
    settings.options  # noqa: B018 - it refuses what cannot be
    entry = find(settings.model)
    if settings.task not in entry.tasks:
        raise ZooError(f"{entry.id} restores {', '.join(entry.tasks)}, not {settings.task}")
    if present_file(entry) is None:
        raise ZooError(f"{entry.id} is not on the server's machine. {how_to_get(entry)}")
    return settings
