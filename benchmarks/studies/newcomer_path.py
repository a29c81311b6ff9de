"""Seconds of each step from a clone to a dry run of publishing, as a newcomer takes them.

    python -m benchmarks.studies.newcomer_path

clones the last commit into an empty folder, makes an environment of its own there, and runs the
commands of the documentation on an image that ships: install, export, restore, check as the
partners do (pip makes their environments anew), and a dry run of publishing. It writes
benchmarks/results/newcomer-path.json. pip's own cache is used where it has packages.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from unifmir.benchmarks.studies.result_files import REPO, origin, provenance, write_result
from unifmir.text_tables import markdown_rows

TASK = "denoise"
SAMPLE = f"""
import tifffile
from unifmir.samples import sample
tifffile.imwrite("cells.tif", sample("{TASK}").image, imagej=True, metadata={{"axes": "ZYX"}})
"""
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PIP_")
"""Starts of the variables that are kept; what else is set here is no newcomer's."""


@dataclass(frozen=True, slots=True)
class TimedCommand:
    """One command, and whether it is part of setting up."""

    name: str
    command: tuple[str, ...]
    set_up: bool = False


def steps(folder: Path) -> tuple[TimedCommand, ...]:
    """The path, with everything in `folder`."""
    python = str(folder / "unifmir" / ".venv" / "bin" / "python")
    tool = str(folder / "unifmir" / ".venv" / "bin" / "unifmir")
    package = f"exported/unifmir-{TASK}.bioimageio.zip"
    pip = (python, "-m", "pip", "install", "--quiet", "--constraint", "unifmir/constraints.txt")
    return (
        TimedCommand("clone", ("git", "clone", "--quiet", str(REPO), "unifmir"), set_up=True),
        TimedCommand("environment", (sys.executable, "-m", "venv", "unifmir/.venv"), set_up=True),
        TimedCommand("install", (*pip, "./unifmir[cpu]"), set_up=True),
        TimedCommand("image", (python, "-c", SAMPLE), set_up=True),
        TimedCommand("export", (tool, "export", "--task", TASK, "--out", "exported")),
        TimedCommand("restore", (tool, "restore", "cells.tif", "--task", TASK)),
        TimedCommand("lint", (tool, "zoo", "lint", package)),
        TimedCommand(
            "publish, dry run", (tool, "publish", package, "--to", "bioimageio", "--dry-run")
        ),
    )


def environment(folder: Path) -> dict[str, str]:
    """Variables of a user who has nothing of ours, with a home of its own."""
    home = folder / "home"
    home.mkdir()
    cache = os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    return {**kept, "HOME": str(home), "PIP_CACHE_DIR": cache, "NO_COLOR": "1"}


def newcomer_table(document: dict[str, Any]) -> str:
    """Seconds of each step of the result file, and of all after set-up."""
    rows = [
        [
            f"{row['name']}{' (set-up)' if row['set_up'] else ''}",
            f"`{row['command']}`",
            f"{row['wall_s']:.0f}",
        ]
        for row in document["rows"]
    ]
    rows.append(["all after set-up", "", f"{document['after_set_up_s']:.0f}"])
    table = markdown_rows(["step", "command", "wall s"], rows)
    machine = document["machine"]
    return f"{table}\n\n{machine['processor']}, {machine['cores']} cores; {origin(document)}"


def main() -> None:
    """Take the path, say each step, and write the seconds."""
    console = Console(stderr=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="unifmir-newcomer-") as name:
        folder = Path(name)
        surroundings = environment(folder)
        for step in steps(folder):
            began = time.perf_counter()
            done = subprocess.run(
                step.command,
                cwd=folder,
                env=surroundings,
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = round(time.perf_counter() - began, 1)
            console.print(f"{step.name}: {seconds} s, exit code {done.returncode}")
            if done.returncode:
                raise SystemExit(f"{step.name} failed:\n{done.stdout}\n{done.stderr}")
            shown = " ".join(step.command).replace(f"{folder}/unifmir/.venv/bin/", "")
            if step.name == "image":
                shown = "python: the sample image that ships"
            command = shown.replace(sys.executable, "python").replace(f"{REPO}", "REPOSITORY")
            rows.append({**asdict(step), "command": command, "wall_s": seconds})
    after = round(sum(row["wall_s"] for row in rows if not row["set_up"]), 1)
    console.print(f"after set-up: {after} s")
    result = {"rows": rows, "after_set_up_s": after}
    write_result(
        "newcomer-path.json",
        {**provenance("python -m benchmarks.studies.newcomer_path"), **result},
    )


if __name__ == "__main__":
    main()
