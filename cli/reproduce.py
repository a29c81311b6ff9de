"""`unifmir reproduce`: the paper's quality tables measured again."""

from pathlib import Path
from typing import Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import DEVICE_NAMES
from unifmir.text_tables import aligned


def reproduce(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of the public sets, each in a folder named like its recipe: "
            "care-planaria, biosr, ..."
        ),
    ],
    rivals: Annotated[
        Path | None,
        typer.Option(
            help="Folder of weights for the models whose weights were not published: "
            "care-planaria.safetensors, dfcan-ccps.safetensors, ..."
        ),
    ] = None,
    tables: Annotated[
        list[int] | None,
        typer.Option("--table", min=3, max=6, help="Repeatable; 3, 4, 5 and 6 if none."),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images of a set, at most; all if not given.")
    ] = None,
    device: Annotated[
        str, typer.Option(help=f"{DEVICE_NAMES}. auto: a GPU if there is one.")
    ] = "auto",
    as_json: output.JsonFlag = False,
) -> None:
    """Measure the paper's Extended Data Tables 3 to 6 again, on the public data and weights.

    What is on disk is measured, and shown beside the printed figure; what is not is named, with
    where it comes from. Nothing is downloaded. The exit code is 1 where an image cannot be
    measured.
    """
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.benchmarks.reproduction.quality_run import ReproductionRequest
    from unifmir.benchmarks.reproduction.quality_run import reproduce as run
    from unifmir.benchmarks.reproduction.quality_tables import missing_lines, quality_table

    chosen = tuple(sorted(set(tables))) if tables else (3, 4, 5, 6)
    request = ReproductionRequest(data, rivals, chosen, images, device)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        progress = bar.add_task("looking", total=None)
        rows = list(
            run(request, lambda text: bar.update(progress, description=output.bar_label(text)))
        )
    shown, lacking = quality_table(rows), missing_lines(rows)
    measured = sum(bool(row.figures) for row in rows)
    lines = [aligned(shown.columns, shown.rows, shown.words), ""] if measured else []
    lines.append(
        f"Cells of the tables: {len(rows)}, measured: {measured}. fitted: after the scale and "
        "offset that fit the truth best; unfitted: before, both scaled as the network learned "
        "them. The paper does not say which its figures are. float16: weights in two bytes."
    )
    text = "\n".join([*lines, *(["", "Not on disk:", *lacking] if lacking else [])])
    output.print_result({"rows": [row.to_dict() for row in rows]}, text, as_json=as_json)
    failed = {name: why for row in rows for name, why in row.failed.items()}
    for name, reason in failed.items():
        output.note(f"{name}: {reason}")
    if failed:
        output.check_failed(f"images that could not be measured: {len(failed)}")
