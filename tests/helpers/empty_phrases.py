"""Phrases that stand where a fact should, in what a package tells of itself."""

import json

from unifmir.export.formats.bioimageio.lint import Package

PHRASES = (
    "not recorded",
    "not stated",
    "not timed",
    "unknown user",
    "first packaged version",
    "fluorescently labelled structures",
    "nothing more is known",
    "todo",
    "n/a",
    "lorem",
    "placeholder",
)
"""Words of descriptions that say nothing."""


def empty_phrases(package: Package) -> list[str]:
    """The phrases that are in a package's description or README."""
    written = json.dumps(package.rdf, default=str).lower()
    written += package.files["README.md"].decode("utf-8").lower()
    return [phrase for phrase in PHRASES if phrase in written]
