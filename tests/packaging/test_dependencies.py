"""What the code imports is declared, pinned, and installed by the extras that say so."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.shipped_code import Module, shipped

pytestmark = pytest.mark.xdist_group("source")  # which is parsed once

NAME = re.compile(r"[A-Za-z0-9._-]+")


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """The distributions of requirement strings or pinned lines."""
    return {normalized(match[0]) for line in requirements if (match := NAME.match(line))}


@pytest.fixture(scope="module")
def project(repo: Path) -> Any:
    """The project table of pyproject.toml."""
    return tomllib.loads((repo / "pyproject.toml").read_text("utf-8"))["project"]


def imported(source: Module) -> Iterator[str]:
    """Full names of the modules a file imports, also inside functions."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_every_imported_package_is_declared(project):
    extras = project["optional-dependencies"]
    # Those of an extra are imported where they are used, and a test of each says what is missing.
    users = [extra for name, extra in extras.items() if name != "dev"]
    declared = names([*project["dependencies"], *(line for extra in users for line in extra)])
    providers = packages_distributions()
    undeclared = {
        f"{source.path} imports {module}"
        for source in shipped()
        for module in imported(source)
        if (top := module.partition(".")[0]) not in sys.stdlib_module_names
        and top != "unifmir"
        and not declared & {normalized(name) for name in providers.get(top, [top])}
    }
    assert not undeclared


def test_every_declared_package_is_pinned(repo, project):
    pinned = names((repo / "constraints.txt").read_text("utf-8").splitlines())
    extras = project["optional-dependencies"].values()
    assert not names([*project["dependencies"], *(r for extra in extras for r in extra)]) - pinned


def test_constraints_are_exact_and_name_no_machine(repo):
    text = (repo / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert "torch==2.13.0" in lines


def test_torchvision_is_needed_by_nothing(repo, project):
    # It has no build that goes with every build of torch, and its presence breaks other imports.
    pinned = names((repo / "constraints.txt").read_text("utf-8").splitlines())
    extras = project["optional-dependencies"].values()
    declared = names([*project["dependencies"], *(r for extra in extras for r in extra)])
    assert "torchvision" not in pinned | declared
