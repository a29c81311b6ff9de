"""Checks of packages of every task by the programs that take them from the zoo.

    python -m benchmarks.studies.partner_checks [--folder FOLDER] [TASK ...]

Packages of small networks of every task, one of them without people, and those of the model that
ships. The result file is written where all of them were checked.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.compat.packages import main as build_small
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks, check_package
from unifmir.export.formats.bioimageio.partners.side_environments import FOLDER
from unifmir.hashing import sha256_of
from unifmir.tasks import TASKS
from unifmir.trusted_files import remember_own

NAME = "partner-checks.json"
NEVER_RUN = {"qupath"}
"""Programs whose rules are told and that are not run: they are no Python."""


def packages(folder: Path, tasks: list[str]) -> list[Path]:
    """Build the packages in a folder."""
    build_small(folder / "small", tasks)
    small = sorted((folder / "small").glob("*.zip"))
    for path in small:
        remember_own(sha256_of(path))
    for task in tasks or TASKS:
        subprocess.run(
            (
                *(sys.executable, "-m", "unifmir", "export", "--task", task),
                *("--format", "bioimageio", "--out", str(folder / "shipped")),
            ),
            check=True,
        )
    return [*small, *sorted((folder / "shipped").glob("*.zip"))]


def row(path: Path, checks: PackageChecks) -> dict[str, Any]:
    """Row of the result file."""
    return {"network": path.parent.name, **checks.to_dict()}


def main() -> int:
    """Build, check, write; the exit code is 1 if a check failed or could not be run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("build/compat"))
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []])
    given = parser.parse_args()
    folder: Path = given.folder.absolute()
    os.environ.setdefault(FOLDER, str(folder / "environments"))
    rows, failed, missing = [], [], []
    for path in packages(folder / "packages", given.tasks):
        print(f"== {path.parent.name} {path.name}", flush=True)
        checks = check_package(path, say=lambda told: print(f"   {told}", flush=True))
        for one in checks.checks:
            print(f"{one.outcome.ljust(7)}  {one.name.ljust(11)}  {one.detail}", flush=True)
        rows.append(row(path, checks))
        failed += [f"{path.name}: {name}" for name in checks.failed]
        missing += [
            f"{path.name}: {one.name}: {one.detail}"
            for one in checks.checks
            if one.outcome == "not run" and one.name not in NEVER_RUN
        ]
    if not given.tasks and not missing:
        command = "python -m benchmarks.studies.partner_checks"
        write_result(NAME, {**provenance(command), "rows": rows})
    print("\n".join(["failed:", *failed]) if failed else "no check failed", flush=True)
    if missing:
        print("\n".join(["not run, so no result is written:", *missing]), flush=True)
    return int(bool(failed or missing))


if __name__ == "__main__":
    sys.exit(main())
