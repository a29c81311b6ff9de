"""`unifmir data`: datasets to train on, from a lab's folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import SplitChoice, TaskChoice
from unifmir.cli.commands import Command, CommandGroup

if TYPE_CHECKING:
    from unifmir.datasets.dataset_manifest import DatasetManifest
    from unifmir.datasets.pairing import PairRule

app = typer.Typer(
    cls=CommandGroup,
    help="Prepare images to train on: pairs from a lab's folders, or simulated ones.",
    no_args_is_help=True,
)
_MOST_TOLD = 20
"""Files that were set aside are named up to this many; the manifest has all."""


@app.command(cls=Command)
def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the images.")],
    out: Annotated[Path, typer.Option(help="The dataset, a folder that ends in .zarr.")],
    task: Annotated[
        TaskChoice | None, typer.Option(help="What is to be learned; a recipe says it too.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Public set whose layout the folder has: care-planaria, biosr, ..."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Inputs: the name of a folder, or a pattern such as 'low/*.tif'.",
        ),
    ] = None,
    truths: Annotated[
        str | None,
        typer.Option(
            "--truth",
            help="Truths, likewise; pairs are what matches with the same text. None: noisy alone.",
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes of the inputs, where the files do not say them: zyx, tyx, yx."),
    ] = None,
    truth_axes: Annotated[
        str | None, typer.Option(help="Axes of the truths, where they have others.")
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Average the planes of an input, exposures of one.")
    ] = False,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel to take, counted from 0.")
    ] = None,
    series: Annotated[
        int | None, typer.Option(min=0, help="Which image of files that hold several, from 0.")
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(min=8, help="Side of a patch: pixels of the input.  [default: 128]"),
    ] = None,
    planes: Annotated[
        int | None, typer.Option(min=1, help="Planes of a patch.  [default: 16]")
    ] = None,
    patches: Annotated[int, typer.Option(min=1, help="Patches of a pair, at most.")] = 64,
    foreground: Annotated[
        float,
        typer.Option(min=0, max=1, help="Signal a patch must hold, of the brightest patch's."),
    ] = 0.1,
    max_shift: Annotated[
        float, typer.Option(min=0, help="Pixels that a truth may lie beside its input.")
    ] = 2.0,
    max_saturated: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the pixels that may be saturated.")
    ] = 0.01,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the files for validation.")
    ] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the files for test.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the splits and the patches.")] = 0,
    as_json: output.JsonFlag = False,
) -> None:
    """Find pairs of images, check them, and cut them into patches in one Zarr store.

    Bad pairs are named and set aside. An interrupted run goes on where it ended.
    """
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.datasets.preparation import prepare as run
    from unifmir.datasets.preparation_request import PreparationCallbacks, PreparationRequest
    from unifmir.datasets.public_sets import public_set
    from unifmir.errors import ImageError

    rules = _rules(inputs, truths, axes, truth_axes, average=average)
    learned = task.value if task is not None else None
    if recipe is not None:
        row = public_set(recipe)
        if rules or learned not in (None, row.task):
            raise ImageError(
                f"--recipe {recipe} says where the images lie, and that it is {row.task}"
            )
        rules, learned = row.rules, row.task
    if learned is None:
        raise ImageError("what is to be learned? Name the task with --task")
    with Progress(console=Console(stderr=True)) as bar:
        looking = bar.add_task("looking", total=None)
        cutting = bar.add_task("cutting", total=None)

        def on_found(count: int) -> None:
            bar.update(looking, total=count)
            bar.update(cutting, total=count)

        def on_pair(name: str) -> None:
            bar.update(cutting, advance=1, description=f"cutting {output.bar_label(name)}")

        request = PreparationRequest(
            folder=folder,
            out=out,
            task=learned,
            rules=rules,
            recipe=recipe or "",
            patch=patch,
            planes=planes,
            patches=patches,
            foreground=foreground,
            most_shift_px=max_shift,
            most_saturated=max_saturated,
            fractions=(validation, test),
            channel=channel,
            series=series,
            seed=seed,
        )
        manifest = run(
            request, PreparationCallbacks(on_found, lambda _: bar.advance(looking), on_pair)
        )
    for one in manifest.set_aside[:_MOST_TOLD]:
        output.note(f"set aside: {one.name}: {one.reason}")
    if len(manifest.set_aside) > _MOST_TOLD:
        output.note(f"and {len(manifest.set_aside) - _MOST_TOLD} more; all are in the manifest")
    output.print_result(_summary(out, manifest), _text(out, manifest), as_json=as_json)


@app.command(cls=Command)
def simulate(
    task: Annotated[TaskChoice, typer.Option(help="What the pairs are for.")],
    out: Annotated[Path, typer.Option(help="Folder; input/ and truth/ are made in it.")],
    images: Annotated[int, typer.Option(min=1, max=100_000, help="Pairs.")] = 20,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=4096, help="Side of an input: pixels, of light fields lenses."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated images.")] = 0,
    as_json: output.JsonFlag = False,
) -> None:
    """Write simulated pairs as a lab would have them: two folders of TIFF files."""
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.datasets.simulated_folder import simulate_folder

    with Progress(console=Console(stderr=True)) as bar:
        progress = bar.add_task("simulating", total=images)
        files = simulate_folder(
            out,
            task.value,
            images=images,
            size=size,
            seed=seed,
            on_image=lambda: bar.advance(progress),
        )
    document = {"path": out, "task": task.value, "pairs": images, "seed": seed, "files": files}
    text = f"{out}: {images} simulated pairs for {task.value}, in input/ and truth/"
    output.print_result(document, text, as_json=as_json)


@app.command(cls=Command)
def show(
    store: Annotated[Path, typer.Argument(help="Dataset of `unifmir data prepare`.")],
    out: Annotated[Path, typer.Option(help="The picture, .png.")],
    split: Annotated[SplitChoice, typer.Option(help="Part of the dataset.")] = "train",
    pairs: Annotated[int, typer.Option(min=1, max=400, help="Patches to show.")] = 16,
    as_json: output.JsonFlag = False,
) -> None:
    """Draw inputs beside their truths on one sheet, which says at what contrast."""
    from unifmir.datasets.contact_sheet import CAPTIONS, contact_sheet, contrast_of, write_sheet
    from unifmir.datasets.stored_dataset import StoredDataset
    from unifmir.file_locks import held_files

    with held_files([out]):
        dataset = StoredDataset(store)
        sheet = contact_sheet(dataset, split, pairs=pairs)
        write_sheet(sheet, out)
    height, width = sheet.shape
    contrast = contrast_of(dataset)
    document = {"path": out, "width": width, "height": height, "contrast": contrast}
    text = f"{out}: {width} x {height} pixels, {CAPTIONS[contrast]}"
    output.print_result(document, text, as_json=as_json)


def _rules(
    inputs: str | None,
    truths: str | None,
    axes: str | None,
    truth_axes: str | None,
    *,
    average: bool,
) -> "tuple[PairRule, ...]":
    from unifmir.datasets.pairing import PairRule
    from unifmir.errors import ImageError

    if inputs is not None:
        return (PairRule(inputs, truths, None, axes, truth_axes, average),)
    if truths is not None:
        raise ImageError("--truth names the truths; name the inputs too, with --input")
    if axes is not None or truth_axes is not None or average:
        raise ImageError("--axes, --truth-axes and --average are of inputs named with --input")
    return ()


def _summary(out: Path, manifest: "DatasetManifest") -> dict[str, object]:
    from unifmir.datasets.pairing import SPLITS

    return {
        "path": out,
        "task": manifest.task,
        "kind": manifest.kind,
        "patch": manifest.patch,
        "truth_patch": manifest.truth_patch,
        "splits": {
            split: {"files": len(manifest.of(split)), "patches": manifest.patches(split)}
            for split in SPLITS
        },
        "set_aside": {one.name: one.reason for one in manifest.set_aside},
    }


def _text(out: Path, manifest: "DatasetManifest") -> str:
    from unifmir.datasets.pairing import SPLITS

    size = " x ".join(map(str, manifest.patch))
    parts = ", ".join(
        f"{split} {manifest.patches(split)} of {len(manifest.of(split))} files" for split in SPLITS
    )
    aside = f"; {len(manifest.set_aside)} files set aside" if manifest.set_aside else ""
    return f"{out}: patches of {size} pixels (z, y, x) for {manifest.task}: {parts}{aside}"
