"""`unifmir inspect` and `unifmir prune`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from unifmir.checkpoint.inspection import Inspection
    from unifmir.model import PruneCertificate, Source
    from unifmir.networks.base import Network

Task = StrEnum("Task", {name: name for name in TASKS})  # type: ignore[misc]  # mypy reads only literal enums; the table is the one list of tasks

CERTIFICATE_SUFFIX = ".certificate.json"


def inspect(
    file: Annotated[Path, typer.Argument(help="Checkpoint: .pt, .pth or .safetensors.")],
    task: Annotated[
        Task | None, typer.Option(help="Where the shapes fit several tasks: which one it is.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Say what a checkpoint is: task, configuration, parameters, and what is odd about it."""
    from unifmir.checkpoint.inspection import inspect_file

    found = inspect_file(file, task=task.value if task else None)
    output.print_result(found.to_dict(), _described(found), as_json=as_json)


def prune(
    file: Annotated[str, typer.Argument(help="Checkpoint file, or the id of a zoo model.")],
    task: Annotated[Task, typer.Option(help="Task to keep.")],
    out: Annotated[Path, typer.Option(help="File to write, ending in .safetensors.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Cut one task out of a multi-task checkpoint, and certify that its picture is the same."""
    from unifmir.checkpoint.pruning import prune as run

    certificate_file = _checked_outputs(file, out)
    child = run(_loaded(file, task.value), task.value)
    source = _write(child, out, certificate_file)
    certificate: PruneCertificate = child.certificate
    document = {
        "out": out,
        "certificate_file": certificate_file,
        **_certificate_document(certificate, source),
    }
    output.print_result(document, _told(certificate, source, certificate_file), as_json=as_json)


def _checked_outputs(file: str, out: Path) -> Path:
    """The certificate's path; CheckpointError if the outputs cannot or must not be written."""
    from unifmir.errors import CheckpointError

    if out.suffix != ".safetensors":
        raise CheckpointError(f"--out {out}: expected a name ending in .safetensors")
    certificate_file = out.with_name(out.stem + CERTIFICATE_SUFFIX)
    for path in (out, certificate_file):
        if path.is_dir():
            raise CheckpointError(f"--out {out}: {path} is a folder; choose another name")
        if path.exists() and Path(file).exists() and path.samefile(file):
            raise CheckpointError(f"--out {out} would replace the input; choose another name")
    return certificate_file


def _loaded(file: str, task: str) -> "Network":
    from unifmir.checkpoint.loading import load_file

    path = Path(file)
    if path.exists() or path.suffix in (".pt", ".pth", ".safetensors"):
        return load_file(path, task=task)
    from unifmir.zoo.catalogue.load import load

    network: Network = load(file, task=task)
    return network


def _write(child: "Network", out: Path, certificate_file: Path) -> "Source":
    """Both files or neither."""
    from dataclasses import replace

    from unifmir.atomic import working_folder
    from unifmir.checkpoint.loading import save

    with working_folder(out.parent) as folder:
        source = replace(save(child, folder / out.name), path=out)
        document = _certificate_document(child.certificate, source)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (folder / certificate_file.name).write_text(text, encoding="utf-8")
        # The weights carry their certificate themselves: between the two renames they are whole.
        (folder / out.name).replace(out)
        (folder / certificate_file.name).replace(certificate_file)
    return source


def _certificate_document(certificate: "PruneCertificate", source: "Source") -> dict[str, Any]:
    return {"schema": 1, "certificate": certificate.to_dict(), "file": source.to_dict()}


def _told(certificate: "PruneCertificate", source: "Source", certificate_file: Path) -> str:
    before, after = certificate.parameters_before, certificate.parameters_after
    rows = len(certificate.comparisons)
    weights = f"{_megabytes(certificate.bytes_before)} -> {_megabytes(certificate.bytes_after)}"
    return "\n".join(
        [
            f"{source.path}: {certificate.task}, pruned from {certificate.parent.name}",
            f"parameters  {before:,} -> {after:,} ({100 * after / before:.1f} %)",
            f"weights     {weights}",
            f"tensors     {len(certificate.kept)} kept, {len(certificate.dropped)} dropped",
            f"same image  bit for bit on {rows} of {rows} inputs",
            f"sha256      {source.sha256}",
            f"certificate {certificate_file}",
        ]
    )


def _described(found: "Inspection") -> str:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(show_header=False, box=None, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    # Folded, not cut: a hash without its end is worth nothing.
    grid.add_column(overflow="fold")
    for name, value in _rows(found):
        grid.add_row(name, value)
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
        ("size", f"{_megabytes(found.size_bytes)} ({found.size_bytes:,} bytes)"),
        ("format", found.format),
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


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB"
