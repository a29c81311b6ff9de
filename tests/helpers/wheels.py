"""Wheels, and programs run beside them."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv",
    "out",
    "build",
    "dist",
    "node_modules",
    "tests",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


def call(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = 280
) -> str:
    """Run a command that must succeed; its stdout."""
    result = subprocess.run(
        arguments, cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
    return result.stdout


def wheel_from(source: Path, into: Path) -> Path:
    """Build the wheel of a source tree without a network; an earlier build in it is deleted.

    Setuptools would pack files of `build/` that the tree no longer has.
    """
    shutil.rmtree(source / "build", ignore_errors=True)
    call(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", into, source),
        cwd=source,
    )
    (wheel,) = into.glob("*.whl")
    return wheel
