"""`unifmir export`: verified files of a model."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.cli.choices import (
    ElementTypeChoice,
    FormatChoice,
    InterfaceChoice,
    TaskChoice,
    WeightsChoice,
)
from unifmir.cli.credit_options import Authors, Licence, Maintainers, Packagers, stated_credit
from unifmir.cli.format_options import given_options, with_format_options
from unifmir.cli.score_text import score_line
from unifmir.export.runtimes.onnx_graph import FIJI_OPSET, OPSETS
from unifmir.text_tables import aligned
from unifmir.zoo import EMBEDDED, EMBEDDED_NOTE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from unifmir.export.base import Artifact

TOLD = ("authors", "license", "packaged_by", "maintainers")
"""Fields of a BioImage.IO package that only the user can fill; each raises the zoo's score."""


@with_format_options
def export(
    task: Annotated[TaskChoice | None, typer.Option(help="Task to export.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint file: .pt, .pth, .ckpt, .h5, .safetensors, TorchScript, package."
        ),
    ] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(help="Where the checkpoint has both: as trained, or their running average."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"Zoo id or checkpoint file; {EMBEDDED} if nothing is named. With --checkpoint: "
            "the zoo model that it is, whose entry then describes the package."
        ),
    ] = None,
    formats: Annotated[
        list[FormatChoice] | None,
        typer.Option(
            "--format",
            "-f",
            help="Format to write; repeatable. onnx and bioimageio if none is named.",
        ),
    ] = None,
    precision: Annotated[
        ElementTypeChoice,
        typer.Option(
            help="Type of the weights, and for GPU formats of the arithmetic; refused where the "
            "picture would change."
        ),
    ] = ElementTypeChoice["fp32"],
    interface: Annotated[
        InterfaceChoice,
        typer.Option(
            help="image: takes a user's image, normalised. raw: takes whole images in raw "
            "intensities and gives intensities, onnx if no format is named. network: the plain "
            "(N, C, H, W) network."
        ),
    ] = "image",
    opset: Annotated[
        int,
        typer.Option(
            help=f"ONNX opset, {OPSETS[0]} to {OPSETS[-1]}; {FIJI_OPSET} is what Fiji reads."
        ),
    ] = FIJI_OPSET,
    out: Annotated[Path, typer.Option(help="Folder for the artifacts.")] = Path("out"),
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="Image to measure value ranges on; repeatable."),
    ] = None,
    author: Authors = None,
    licence: Licence = "",
    packaged_by: Packagers = None,
    maintainer: Maintainers = None,
    training_record: Annotated[
        Path | None,
        typer.Option(help="JSON with facts of the training, as `unifmir train` writes it."),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="What `unifmir evaluate MODEL --json` printed.")
    ] = None,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(help="Result file of `unifmir benchmark` with the model; repeatable."),
    ] = None,
    repository: Annotated[
        str, typer.Option(help="Address of the repository that the model is developed in.")
    ] = "",
    funded_by: Annotated[str, typer.Option(help="Funding of the training.")] = "",
    untrained: output.UntrainedFlag = False,
    as_json: output.JsonFlag = False,
    **format_options: Any,
) -> None:
    """Export a model to verified files: prune, choose the precision, write, prove, publish."""
    # Before PyTorch is imported, which then asks for pages of 2 MiB: a TorchScript file of the
    # paper's size took 32 s of a core where it took 39 s, for 56 slices of 56 x 56 pixels.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from rich.console import Console

    from unifmir.benchmarks.report.measured_costs import with_measurements
    from unifmir.checkpoint.pruning import prune
    from unifmir.errors import UnifmirError
    from unifmir.export.pipeline import export as run
    from unifmir.export.pipeline import exported_task
    from unifmir.training.training_record import read_training_record
    from unifmir.zoo.catalogue.entry_credit import completed_credit
    from unifmir.zoo.catalogue.index import find
    from unifmir.zoo.catalogue.load import load_in_place, load_trained

    if checkpoint is not None and not checkpoint.exists():
        raise UnifmirError(f"{checkpoint}: no such file; give a checkpoint, or --model ZOO_ID")
    usual = ["onnx"] if interface == "raw" else ["onnx", "bioimageio"]
    chosen = [f.value for f in formats] if formats else usual
    options = given_options(format_options, chosen)
    credit = replace(
        stated_credit(author, licence, packaged_by, maintainer),
        training=read_training_record(training_record) if training_record else None,
        git_repo=repository,
        funded_by=funded_by,
    )
    source = checkpoint if checkpoint is not None else (model or EMBEDDED)
    if checkpoint is None and model is None:
        output.note(EMBEDDED_NOTE)
    console = Console(stderr=True)
    with console.status("loading") as status:
        wanted = task.value if task else None
        if checkpoint is not None and model is not None:
            network = load_in_place(model, checkpoint, task=wanted, weights=weights)
        else:
            network = load_trained(source, task=wanted, weights=weights, untrained=untrained)
        wanted = exported_task(network, wanted)
        if (zoo_id := network.source.zoo_id) is not None:
            credit = completed_credit(credit, find(zoo_id), wanted)
        if evaluation or benchmark:
            credit = with_measurements(
                credit,
                network.source,
                wanted,
                evaluation=evaluation,
                benchmarks=benchmark or (),
            )
        # Here, so that the other tasks of a large model do not stay in memory.
        _say(console, status, f"pruning to {wanted}")
        network = prune(network, wanted)
        artifacts = run(
            network,
            out,
            formats=chosen,
            precision=precision.value,
            task=wanted,
            interface=interface,
            opset=opset,
            calibration=calibration or (),
            options=options,
            credit=credit,
            on_step=lambda text: _say(console, status, text),
        )
    document = {"out": out, "artifacts": [artifact.to_dict() for artifact in artifacts]}
    output.print_result(document, _artifact_table(artifacts), as_json=as_json)
    _tell_of(artifacts)


def _tell_of(artifacts: "tuple[Artifact, ...]") -> None:
    """Print what the user should know of the files, and what would make a package better."""
    if artifacts and (kept := artifacts[0].details.get("kept_in_fp32")):
        listed = ", ".join(f"{part} ({count})" for part, count in kept.items())
        output.note(f"in fp32 stay, so that the picture does: {listed}")
    for artifact in artifacts:
        if "unverified" in artifact.details:
            output.note(f"{artifact.path.name}: {artifact.details['unverified']}")
        for finding in artifact.details.get("findings", ()):
            if finding["where"] in TOLD:
                output.note(f"{artifact.path.name}: {finding['where']}: {finding['message']}")
        if missing := artifact.details.get("missing_facts"):
            best = missing[0]
            output.note(
                f"{artifact.path.name}: what would raise its score most is {best['fact']} "
                f"(+{best['gain']:.3f}): {best['option']}"
            )


def _say(console: "Console", status: "Status", text: str) -> None:
    """Show a step on the moving line, or as a line of its own where there is no terminal."""
    if console.is_terminal:
        status.update(output.bar_label(text))
    else:
        output.note(text)


def _artifact_table(artifacts: "tuple[Artifact, ...]") -> str:
    rows = []
    for a in artifacts:
        unverified = "unverified" in a.details
        worst = "" if unverified else f"{a.report.worst.max_abs_over_std:.1e}"
        verdict = "passed" if a.report.passed else "not verified" if unverified else "failed"
        rows.append(
            (
                a.format,
                a.precision if a.variant == "stored" else f"{a.precision} compute",
                f"{a.size_bytes / 1e6:.2f}",
                worst,
                verdict,
                a.path,
            )
        )
    columns = ("format", "precision", "MB", "max diff / std", "same picture", "file")
    scores = [score_line(a.details["expected_score"]) for a in artifacts if _scored(a)]
    return "\n".join([aligned(columns, rows), *scores])


def _scored(artifact: "Artifact") -> bool:
    return "expected_score" in artifact.details
