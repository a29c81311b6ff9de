"""`unifmir prune`: one task of a multi-task checkpoint, certified."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.cli.choices import TaskChoice, WeightsChoice

if TYPE_CHECKING:
    from unifmir.model import Provenance, PruneCertificate
    from unifmir.networks.base import Network


CERTIFICATE_SUFFIX = ".certificate.json"


def prune(
    file: Annotated[str, typer.Argument(help="Checkpoint file, or the id of a zoo model.")],
    task: Annotated[TaskChoice, typer.Option(help="Task to keep.")],
    out: Annotated[Path, typer.Option(help="File to write, ending in .safetensors.")],
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(help="Where the checkpoint has both: as trained, or their running average."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Cut one task out of a multi-task checkpoint, and certify that its picture is the same."""
    from unifmir.checkpoint.pruning import prune as run
    from unifmir.file_locks import held_files

    certificate_file = _checked_outputs(file, out)
    with held_files([out, certificate_file]):
        child = run(_loaded(file, task.value, weights), task.value)
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
        if path.exists() and Path(file).exists() and path.samefile(file):
            raise CheckpointError(f"--out {out} would replace the input; choose another name")
    return certificate_file


def _loaded(file: str, task: str, weights: WeightsChoice | None) -> "Network":
    from unifmir.zoo.catalogue.load import load

    # A path that is there is a file, also where it is a folder, which is then refused as one.
    source = Path(file) if Path(file).exists() else file
    network: Network = load(source, task=task, weights=weights)
    return network


def _write(child: "Network", out: Path, certificate_file: Path) -> "Provenance":
    """Both files or neither."""
    from dataclasses import replace

    from unifmir.atomic import working_folder
    from unifmir.checkpoint.saving import save
    from unifmir.output_place import written_to

    with working_folder(out.parent) as folder, written_to(out):
        source = replace(save(child, folder / out.name), path=out)
        document = _certificate_document(child.certificate, source)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (folder / certificate_file.name).write_text(text, encoding="utf-8")
        # The weights carry their certificate themselves: between the two renames they are whole.
        (folder / out.name).replace(out)
        (folder / certificate_file.name).replace(certificate_file)
    return source


def _certificate_document(certificate: "PruneCertificate", source: "Provenance") -> dict[str, Any]:
    return {"schema": 1, "certificate": certificate.to_dict(), "file": source.to_dict()}


def _told(certificate: "PruneCertificate", source: "Provenance", certificate_file: Path) -> str:
    before, after = certificate.parameters_before, certificate.parameters_after
    rows = len(certificate.comparisons)
    sizes = (certificate.bytes_before, certificate.bytes_after)
    weights = " -> ".join(map(output.megabytes, sizes))
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
