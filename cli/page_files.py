"""Files that the web page is made of: the built page, and results that it shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

ResultFiles = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Results of `unifmir benchmark` that the page shows; more than once if you like.",
    ),
]
"""Type of the `results` parameter of every command that shows the page."""


def page_folder() -> Path:
    """Folder of the built page, which a checkout has after `make web`."""
    return Path(__file__).resolve().parent / "web" / "dist"


def require_results(paths: Sequence[Path]) -> None:
    """UnifmirError where there is nothing at one of the paths."""
    from unifmir.errors import UnifmirError

    for path in paths:
        if not path.exists():
            raise UnifmirError(
                f"{path}: no such file or folder; expected what `unifmir benchmark --out` wrote"
            )


def result_tables(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Tables of results as the page shows them; files that cannot be read have a `problem`."""
    from unifmir.benchmarks.report.page_tables import read_tables

    return read_tables(paths)


def readable_tables(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Tables as `result_tables` gives them; UnifmirError where there is a file without any."""
    from unifmir.errors import UnifmirError

    require_results(paths)
    tables = result_tables(paths)
    if problems := [table["problem"] for table in tables if "problem" in table]:
        raise UnifmirError("\n  ".join(problems))
    return tables
