"""`unifmir report`: everything known of a model, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from unifmir.cli import output


def report(
    model: Annotated[str, typer.Argument(help="Checkpoint file or zoo id.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, ending in .html; without it, MODEL.html in this folder."),
    ] = None,
    artifact: Annotated[
        list[Path] | None,
        typer.Option(help="File that `unifmir export` made, with its report; repeatable."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Results of `unifmir benchmark`, for this model's rows.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Show the sample of each task before and after.")
    ] = True,
    untrained: output.UntrainedFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Write everything known of a model to one HTML file: facts, cost, proofs, pictures."""
    from rich.console import Console

    from unifmir.atomic import write_text
    from unifmir.benchmarks.measure.results import read_results
    from unifmir.benchmarks.report.model_page import model_page
    from unifmir.file_locks import held_files
    from unifmir.hashing import sha256_of
    from unifmir.zoo.catalogue.load import load_trained

    out = checked_output(model, out)
    with held_files([out]), Console(stderr=True).status("loading"):
        page = model_page(
            load_trained(model, untrained=untrained),
            artifacts=artifact or (),
            results=read_results(results) if results else None,
            pictures=pictures,
        )
        write_text(out, page)
    document = {"out": out, "size_bytes": out.stat().st_size, "sha256": sha256_of(out)}
    output.print_result(document, f"{out}: {output.megabytes(out.stat().st_size)}", as_json=as_json)


def checked_output(model: str, out: Path | None) -> Path:
    """The page's path; OutputError where it is no page, or a file that is none of these pages."""
    from unifmir.benchmarks.report.html_page import is_page_of
    from unifmir.benchmarks.report.model_page import COMMAND
    from unifmir.errors import OutputError
    from unifmir.output_place import written_to

    if out is None:
        named = Path(model)
        out = Path(f"{named.stem if named.exists() else named.name}.html")
    if out.suffix != ".html":
        raise OutputError(f"--out {out}: expected a name ending in .html")
    with written_to(out):
        if out.exists() and not is_page_of(COMMAND, out):
            raise OutputError(
                f"{out} exists and is no page of `{COMMAND}`: give another --out, or remove it"
            )
    return out
