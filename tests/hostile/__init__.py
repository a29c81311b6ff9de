"""Hostile inputs: a file each kind, with its cases, how they are given, and what would be a lie."""

from importlib import import_module
from pathlib import Path

KINDS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*_inputs.py")))
"""Modules of the kinds; each has a `KIND`."""


def kind_named(module: str):
    """`HostileKind` of one of `KINDS`; imported when it is asked for, as it may need torch."""
    return import_module(f"tests.hostile.{module}").KIND
