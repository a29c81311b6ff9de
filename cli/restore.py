"""`unifmir restore`: images in, restored images out."""

import re
from collections.abc import Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import (
    DEVICE_NAMES,
    ElementTypeChoice,
    ImageFormatChoice,
    IntensityChoice,
    PixelTypeChoice,
    PlanesChoice,
    RuntimeChoice,
    TaskChoice,
    WeightsChoice,
)
from unifmir.cli.restore_progress import watched
from unifmir.cli.restore_watch import restore_as_written
from unifmir.cli.trust import TrustOption, trust_given
from unifmir.text_tables import aligned
from unifmir.zoo import EMBEDDED, EMBEDDED_NOTE

if TYPE_CHECKING:
    from unifmir.restoration.restoration_options import Options
    from unifmir.zoo.restore.model_choice import ModelChoice
    from unifmir.zoo.restore.outputs import Job, RefusedFile, WorkList
    from unifmir.zoo.restore.restored_file import RestoredFile


def restore(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Images (TIFF, OME-Zarr, PNG, MRC, NIfTI, others by bioio), folders of them, or "
            "patterns.",
        ),
    ],
    task: Annotated[
        TaskChoice | None, typer.Option(help="What to restore; needed where the model has several.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help=f"Checkpoint file, package or zoo id; {EMBEDDED} if not given."),
    ] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(help="Where the checkpoint has both: as trained, or their running average."),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="File that `unifmir export` made, in place of a model.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, or the file that is the result (result.tif); the folder "
            "of each image if not given."
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes of the images, as zyx, where the files say them wrongly or not at all."
        ),
    ] = None,
    series: Annotated[
        int | None,
        typer.Option(min=0, help="Which image of files that hold several, from 0."),
    ] = None,
    channel: Annotated[
        int | None, typer.Option(min=0, help="The only channel that is restored, from 0.")
    ] = None,
    pixels: Annotated[
        PixelTypeChoice,
        typer.Option(
            "--dtype", help="Pixels of the results: real numbers, or the image's, rounded."
        ),
    ] = "float32",
    form: Annotated[
        ImageFormatChoice | None,
        typer.Option("--format", help="Format of the results; that of the image if not given."),
    ] = None,
    device: Annotated[
        str, typer.Option(help=f"{DEVICE_NAMES}. auto: a GPU if there is one.")
    ] = "auto",
    tile: Annotated[
        str,
        typer.Option(help="Side in pixels of what is restored at once; auto: what memory allows."),
    ] = "auto",
    precision: Annotated[
        ElementTypeChoice,
        typer.Option(help="Precision of the arithmetic; refused where the picture would change."),
    ] = ElementTypeChoice["fp32"],
    pixel_size: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Micrometres a pixel of the images the model was trained on: images are "
            "resampled to it before and back after.",
        ),
    ] = None,
    z_factor: Annotated[
        float | None,
        typer.Option(min=0, help="isotropic: z step over pixel size, where files do not say both."),
    ] = None,
    lens_pitch: Annotated[
        float | None,
        typer.Option(min=0, help="volume: pixels a lens, where they are not the network's."),
    ] = None,
    lens_centre: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COLUMN",
            help="volume: of any lens, in pixels, as a white image shows it; found in the image if "
            "not given.",
        ),
    ] = None,
    planes: Annotated[
        PlanesChoice,
        typer.Option(
            help="projection, of stacks with another number of planes than the network's: "
            "interpolate them, or crop them around the surface."
        ),
    ] = "resample",
    intensity: Annotated[
        IntensityChoice | None,
        typer.Option(
            help="How intensities come back: percentile (as in the official inference), matched "
            "(also a line fitted to the raw image) or local (the line, and low frequencies of the "
            "raw image). If not given, the model and the task decide."
        ),
    ] = None,
    percentiles: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Percentiles of the image that become 0 and 1 for the network; the task's if not "
            "given.",
        ),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Leave out the middle group of the network: less quality."),
    ] = False,
    runtime: Annotated[
        RuntimeChoice | None, typer.Option(help="What runs the model; `unifmir doctor` shows them.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=output.MOST_PROCESSES, help="CPU threads of each process."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=output.MOST_PROCESSES,
            help="Processes on this machine; for several files one a GPU or core if not given. "
            "Needs the extra zarr.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler: tcp://host:8786.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out images whose result exists.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="IN is a folder: restore its images as they are written, until Ctrl-C."
        ),
    ] = False,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop at the first image that cannot be restored."),
    ] = False,
    untrained: output.UntrainedFlag = False,
    trust: TrustOption = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Restore images of any size, tile by tile, to NAME.TASK.tif or NAME.TASK.ome.zarr.

    An interrupted run goes on where it stopped when the same command is given again. One image
    that cannot be restored does not stop the others; the exit code is 1 then.
    """
    from unifmir.restoration.restoration_options import Options
    from unifmir.zoo.restore.model_choice import ModelChoice
    from unifmir.zoo.restore.outputs import plan_jobs
    from unifmir.zoo.restore.preflight import sort_out

    trust_given(trust)
    options = Options(
        tile=_tile(tile),
        pixel_size_um=pixel_size,
        z_factor=z_factor,
        lens_pitch=lens_pitch,
        lens_centre=_centre(lens_centre),
        planes=planes,
        intensity=intensity,
        percentiles=percentiles,
    )
    choice = ModelChoice(
        model=_model(model, artifact),
        task=task.value if task else None,
        weights=weights,
        device=device,
        precision=precision.value,
        fast=fast,
        runtime=runtime.value if runtime else None,
        threads=threads,
        untrained=untrained,
    )
    wanted = _task(choice)
    planned = partial(
        plan_jobs,
        task=wanted,
        out=out,
        kind=form,
        overwrite=overwrite,
        skip_existing=skip_existing or (watch and not overwrite),
        axes=axes,
        series=series,
        channel=channel,
        pixels=pixels,
    )
    if watch:
        restore_as_written(inputs, planned, choice, options, task=wanted, as_json=as_json)
        return
    named = planned(inputs)
    work = named.after(sort_out(named.jobs, wanted, choice, options))
    fail_fast = fail_fast or work.files == 1
    if work.refused and fail_fast:
        raise work.refused[0].to_error()
    outcomes: Sequence[RestoredFile | RefusedFile] = ()
    if work.jobs:
        if artifact is not None:
            _check_exported(artifact)
        if choice.model is None:
            output.note(EMBEDDED_NOTE)
        outcomes = _restored(
            work.jobs, choice, options, scheduler=scheduler, workers=workers, fail_fast=fail_fast
        )
    _report(work, outcomes, as_json=as_json)


def _task(choice: "ModelChoice") -> str:
    """The task that is asked for, or that the model's file says; else the loaded model's."""
    from unifmir.zoo.restore.model_choice import known_task

    known = known_task(choice)
    if known is not None:
        return known
    from unifmir.zoo.restore.predictors import task_of

    return task_of(choice)


def _model(model: str | None, artifact: Path | None) -> str | Path | None:
    """The model or file to run; UnifmirError if both are given or the file is not there."""
    from unifmir.errors import UnifmirError

    if artifact is None:
        return model
    if model is not None:
        raise UnifmirError("give either --model or --artifact, not both")
    if not artifact.is_file():
        raise UnifmirError(f"{artifact}: no such file; `unifmir export` makes one")
    return artifact


def _check_exported(artifact: Path) -> None:
    from unifmir.errors import UnifmirError
    from unifmir.zoo.restore.predictors import exported_path

    if exported_path(artifact) is None:
        raise UnifmirError(
            f"{artifact}: not a name that `unifmir export` gives; a checkpoint goes after --model"
        )


def _restored(
    jobs: "Sequence[Job]",
    choice: "ModelChoice",
    options: "Options",
    *,
    scheduler: str | None,
    workers: int | None,
    fail_fast: bool,
) -> "list[RestoredFile | RefusedFile]":
    from unifmir.zoo.restore.files import restore_files

    with watched() as tell:
        return list(
            restore_files(
                jobs,
                choice,
                options,
                scheduler=scheduler,
                workers=workers,
                fail_fast=fail_fast,
                on_progress=tell,
            )
        )


def _report(
    work: "WorkList", outcomes: "Sequence[RestoredFile | RefusedFile]", *, as_json: bool
) -> None:
    """Say what became of each file; exit with 1 if one was refused."""
    from unifmir.zoo.restore.outputs import RefusedFile

    done = [one for one in outcomes if not isinstance(one, RefusedFile)]
    refused = [*work.refused, *(one for one in outcomes if isinstance(one, RefusedFile))]
    skipped = [
        {"status": "skipped", "input": str(job.source), "reason": f"{job.target} exists"}
        for job in work.skipped
    ]
    documents = [*(one.to_dict() for one in done), *skipped, *(one.to_dict() for one in refused)]
    output.print_result(documents, _table(done) if done else "", as_json=as_json)
    for row in skipped:
        output.note(f"skipped: {row['input']}: {row['reason']}")
    for one in refused:
        output.note(f"refused: {one.reason}")
    if work.files > 1:
        counts = f"{len(done)} restored, {len(skipped)} skipped, {len(refused)} refused"
        output.note(f"{work.files} files: {counts}")
    if refused:
        raise SystemExit(output.CHECK_FAILED)


def _tile(text: str) -> int | None:
    if text == "auto":
        return None
    # Not isdigit: a superscript two is a digit, and no number.
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise typer.BadParameter(f"{text!r}: expected auto, or a number of pixels")
    return int(text)


def _centre(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: expected a row and a column, as 9.9,9.1") from error
    if not (isfinite(row) and isfinite(column)):
        raise typer.BadParameter(f"{text!r}: expected two numbers, as 9.9,9.1")
    return row, column


def _table(done: "Sequence[RestoredFile]") -> str:
    rows = [
        (
            str(one.job.target),
            "x".join(map(str, one.plan.out_shape)),
            one.ran["model"],
            f"{one.ran['runtime']} on {one.ran['device']}",
            one.tiles,
            one.tiles_resumed,
            f"{one.megapixels_per_second:.3g}",
            one.plan.intensity_facts()["intensity"],
        )
        for one in done
    ]
    columns = (
        "result",
        "shape (tczyx)",
        "model",
        "ran",
        "tiles",
        "resumed",
        "MP/s",
        "intensities",
    )
    return aligned(columns, rows)
