"""Rows of `TASKS` with other values, for the length of a test."""

from dataclasses import replace
from typing import Any

import pytest

from unifmir.tasks import TASKS


def change_task(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """Have other values in a task's row until the test ends."""
    module, _, attribute = TASKS.target(name).partition(":")
    monkeypatch.setattr(f"{module}.{attribute}", replace(TASKS[name], **changes))
