"""Registers the toys when a process starts that a test gave this folder on PYTHONPATH."""

from contextlib import ExitStack

from tests.toys import registered

_KEPT = ExitStack()
_KEPT.enter_context(registered())
