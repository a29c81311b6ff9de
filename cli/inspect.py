"""`unifmir inspect`: what a checkpoint is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import TaskChoice, WeightsChoice
from unifmir.shown_text import shown

if TYPE_CHECKING:
    from unifmir.checkpoint.inspection import Inspection


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint: .pt, .pth, .ckpt, .h5, .safetensors, TorchScript, package."
        ),
    ],
    task: Annotated[
        TaskChoice | None, typer.Option(help="Where the shapes fit several tasks: which one it is.")
    ] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(help="Where the checkpoint has both: as trained, or their running average."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Say what a checkpoint is: task, configuration, parameters, and what is odd about it."""
    from unifmir.checkpoint.inspection import inspect_file
    from unifmir.errors import CheckpointError
    from unifmir.zoo.catalogue.index import entries

    if not file.exists() and str(file) in entries():
        raise CheckpointError(
            f"{file}: no such file, but a model of the zoo: `unifmir zoo show {file}` tells of it"
        )
    found = inspect_file(file, task=task.value if task else None, weights=weights)
    output.print_result(found.to_dict(), _described(found), as_json=as_json)


def _described(found: "Inspection") -> str:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(show_header=False, box=None, pad_edge=False)
    grid.add_column(no_wrap=True)
    # Folded, not cut: a hash without its end is worth nothing.
    grid.add_column(overflow="fold")
    for name, value in _rows(found):
        grid.add_row(name, Text(shown(value)))
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    # Rich fills every line up to the terminal's width.
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _rows(found: "Inspection") -> list[tuple[str, str]]:
    fits = ", ".join(found.candidate_tasks)
    network = "multi-task" if found.kind == "multitask" else f"single-task, {found.task}"
    rows = [
        ("file", found.name),
        ("network", network),
        ("fits", fits),
        ("parameters", f"{found.parameters:,}"),
        ("scalars", f"{found.scalars:,} in {found.tensors} tensors"),
        ("size", f"{output.megabytes(found.size_bytes)} ({found.size_bytes:,} bytes)"),
        ("format", found.format),
        ("weights", found.weights),
        ("dtypes", ", ".join(f"{count} {name}" for name, count in found.dtypes.items())),
        ("sha256", found.sha256),
    ]
    for name, value in found.config.items():
        if name == "task" or value is None:
            continue
        parts = value.items() if isinstance(value, dict) else ()
        text = ", ".join(f"{key} {item}" for key, item in parts) or str(value)
        rows.append((name.replace("_", " "), text))
    optional = {
        "under": found.nest,
        "prefix": found.prefix,
        "derivable": f"{len(found.derivable)} tensors, as expected" if found.derivable else "",
        "unused": ", ".join(found.unused),
        "parent": f"{found.parent['name']} {found.parent['sha256']}" if found.parent else "",
        "pruned": "yes, with a certificate" if found.pruned else "",
    }
    rows += [(name, value) for name, value in optional.items() if value]
    rows += [("note", note) for note in found.notes]
    return rows
