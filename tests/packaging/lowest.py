"""The lowest versions that pyproject.toml allows, and what else they need, as constraints for pip.

`python -m tests.packaging.lowest` writes them to `lowest.txt` beside this file; it needs `uv`
(`pip install uv`). Bounds that cannot be installed together are its error. Of what is not named in
pyproject.toml, it takes the newest that fits.
"""

import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[2]
LOWEST = Path(__file__).with_name("lowest.txt")
EXTRAS = (
    *("cpu", "train", "benchmark", "keras", "openvino", "segmentation", "zarr"),
    *("compiler", "tensorrt-rtx", "web"),
)
"""Extras of users that the public index can install together: not the libraries of `tensorrt`, and
one build of ONNX Runtime."""
HEAD = """\
# The lowest versions that pyproject.toml allows, on Linux, for `pip install -c`.
# Made by `python -m tests.packaging.lowest`.
"""


def read_project(repo: Path = REPO) -> dict[str, Any]:
    """The project table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((repo / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def lower_bounds(project: Mapping[str, Any]) -> dict[str, str]:
    """Lowest version by distribution, of what the package and `EXTRAS` need."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return dict(_bound(Requirement(line)) for line in lines)


def _bound(requirement: Requirement) -> tuple[str, str]:
    (version,) = (s.version for s in requirement.specifier if s.operator == ">=")
    return requirement.name, version


def resolve(bounds: Mapping[str, str], python: str) -> str:
    """What pip would install for exactly these versions, one a line as `name==version`."""
    options = ("--python-version", python, "--python-platform", "x86_64-manylinux_2_28")
    return subprocess.run(
        ("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", *options, "-"),
        input="".join(f"{name}=={version}\n" for name, version in bounds.items()),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    project = read_project()
    python = project["requires-python"].removeprefix(">=")
    LOWEST.write_text(HEAD + resolve(lower_bounds(project), python), "utf-8")
