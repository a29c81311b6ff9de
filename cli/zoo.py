"""`unifmir zoo`: list, show, add, remove, pull and verify models, and lint their packages."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import TaskChoice, WeightsChoice
from unifmir.cli.commands import Command, CommandGroup
from unifmir.cli.page_files import ResultFiles, page_folder, readable_tables
from unifmir.cli.zoo_text import (
    checks_text,
    entry_lines,
    facts_text,
    training_text,
    verdict_lines,
)
from unifmir.reference import REFERENCES
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.zoo.catalogue.adding import Description
    from unifmir.zoo.catalogue.schema import ZooEntry

app = typer.Typer(
    name="zoo",
    cls=CommandGroup,
    help="List, show, add, remove, pull and verify models; lint packages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ModelId = Annotated[str, typer.Argument(metavar="ID", help="Id of a model.")]


@app.command("list", cls=Command)
def list_models(as_json: output.JsonFlag = False) -> None:
    """Show the models there are, and which of them are on this machine."""
    from unifmir.zoo.catalogue.index import entries, reference_of
    from unifmir.zoo.catalogue.pull import present_file

    rows = [
        {
            "id": entry.id,
            "task": entry.task,
            "dataset": entry.dataset,
            "title": entry.title,
            "source": entry.source.kind,
            "licence": entry.licence,
            "size_bytes": entry.source.size_bytes,
            "local": present_file(entry),
            "reference": reference_of(entry),
        }
        for entry in entries().values()
    ]
    shown = [
        (row["id"], row["task"], row["dataset"], row["source"], "yes" if row["local"] else "no")
        for row in rows
    ]
    text = aligned(("id", "task", "dataset", "source", "here"), shown)
    names = ", ".join(REFERENCES)
    text += f"\n\nreference models, with fresh weights, taken wherever an id is: {names}"
    if trained := [str(row["id"]) for row in rows if row["reference"] and row["local"]]:
        text += f"\ntheir trained weights, which a benchmark takes: {', '.join(trained)}"
    output.print_result(rows, text, as_json=as_json)


@app.command("show", cls=Command)
def show(model_id: ModelId, as_json: output.JsonFlag = False) -> None:
    """Show everything a model's entry says, or what a reference model is and how to train it."""
    from unifmir.zoo.catalogue.index import find

    if model_id in REFERENCES:
        from unifmir.zoo.catalogue.reference_training import training_commands

        row = REFERENCES[model_id]
        commands = {task: training_commands(model_id, task) for task in row.tasks}
        text = f"{facts_text(asdict(row))}\n{training_text(commands)}"
        output.print_result({**asdict(row), "training": commands}, text, as_json=as_json)
        return
    entry = find(model_id)
    output.print_result(entry.model_dump(mode="json"), entry_lines(entry), as_json=as_json)


@app.command("add", cls=Command)
def add(
    entry: Annotated[
        Path | None, typer.Argument(help="JSON file of an entry, as `zoo show --json` prints.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Checkpoint of the model, or a package with it.")
    ] = None,
    existing: Annotated[
        str | None, typer.Option("--from", help="Id of the model that --file is the file of.")
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--id", help="Id of a new model, made from --file alone.")
    ] = None,
    package: Annotated[
        Path | None,
        typer.Option(
            help="BioImage.IO package of format 0.4, TorchScript alone, whose words describe the "
            "model; an official one becomes the file of its model."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Where the file fits several tasks: which one.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the new model.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data that the new model was trained on.")
    ] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="Author of the new model; repeatable.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="SPDX identifier of the new model's licence.")
    ] = None,
    notes: Annotated[str | None, typer.Option(help="What users of the model must know.")] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(help="Where the checkpoint has both: as trained, or their running average."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --from: in place of the file given before.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Add a model of your own, or the file of a model that cannot be downloaded.

    An entry's JSON file, with --file if it has one; or --from ID --file FILE; or --id ID --file
    FILE --title TEXT --dataset TEXT --author NAME; or --package OLD.zip.
    """
    from unifmir.errors import ZooError
    from unifmir.zoo.catalogue import adding
    from unifmir.zoo.catalogue.old_packages import add_package

    about: Description = {
        "id": model_id,
        "task": task,
        "title": title,
        "dataset": dataset,
        "authors": author,
        "licence": licence,
        "notes": notes,
    }
    if package is not None:
        _require_alone(entry, existing, file, weights)
        _tell_added(add_package(package, about, replace=replace), as_json=as_json)
        return
    described = sorted(name for name, value in about.items() if value)
    if sum((entry is not None, existing is not None, model_id is not None)) != 1:
        raise ZooError("give exactly one of an entry's JSON file, --from ID, or --id ID")
    if replace and existing is None:
        raise ZooError(
            "--replace goes with --from ID; entries are not replaced: `unifmir zoo remove ID` first"
        )
    if model_id is None and described:
        raise ZooError(f"{', '.join(described)} describe a new model: they go with --id ID")
    if file is None:
        if entry is None:
            raise ZooError("--from and --id need the model's checkpoint: --file FILE")
        if weights is not None:
            raise ZooError("--weights goes with --file")
        added = adding.add_entry(entry)
    else:
        with adding.with_one_set(file, weights) as kept:
            if entry is not None:
                added = adding.add_entry(entry, kept)
            elif existing is not None:
                added = adding.give_file(existing, kept, replace=replace)
            else:
                added = adding.add_checkpoint(kept, about)
    _tell_added(added, as_json=as_json)


def _require_alone(*others: object) -> None:
    from unifmir.errors import ZooError

    if any(other is not None for other in others):
        raise ZooError("--package goes without an entry's JSON file, --from, --file, --weights")


def _tell_added(added: "ZooEntry", *, as_json: bool) -> None:
    from unifmir.zoo.catalogue.pull import present_file

    place = present_file(added)
    document = {"id": added.id, "task": added.task, "path": place}
    text = f"added {added.id} ({added.task})" + (f": {place}" if place else "")
    output.print_result(document, text, as_json=as_json)


@app.command("remove", cls=Command)
def remove(
    model_id: ModelId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Remove a model of your own, or the file that you gave for a model that ships with unifmir.

    A model that ships stays, and so does its download.
    """
    from unifmir.zoo.catalogue.removing import additions_of, remove_additions

    found = additions_of(model_id)
    listed = [f"  {path} ({output.megabytes(size)})" for path, size in found.sizes.items()]
    what = "\n".join([f"{found.words}, {output.megabytes(found.size_bytes)}:", *listed])
    if not yes:
        output.require_yes(f"remove {what}")
    remove_additions(found)
    output.print_result(found.to_dict(), f"removed {what}", as_json=as_json)


@app.command("pull", cls=Command)
def pull(
    model_id: ModelId,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: only check what is here.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Get a model's file, check it, and print where it lies."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from unifmir.hashing import sha256_of
    from unifmir.zoo.catalogue.index import find
    from unifmir.zoo.catalogue.pull import local_file

    entry = find(model_id)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    # Where nobody watches, rich would still end its display with an empty line.
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bars:
        bar = bars.add_task(entry.id, total=None, visible=False)

        def told(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total or None, visible=True)

        path = local_file(entry, offline=offline, progress=told)
    document = {
        "id": entry.id,
        "path": path,
        "sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
    }
    output.print_result(document, str(path), as_json=as_json)


@app.command("verify", cls=Command)
def verify(
    model_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Id of a model; all of them if none.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Read the files on this machine again, and compare with what their entries say.

    Uses no network. Exits with 1 if a file is not what was recorded.
    """
    from unifmir.zoo.catalogue.index import entries, find
    from unifmir.zoo.catalogue.verifying import verify_local

    chosen = [find(model_id)] if model_id else list(entries().values())
    verdicts = [verify_local(entry) for entry in chosen]
    if model_id and verdicts[0].path is None and verdicts[0].passed:
        from unifmir.errors import ZooError
        from unifmir.zoo.catalogue.pull import how_to_get

        raise ZooError(f"{model_id} has no file on this machine to verify. {how_to_get(chosen[0])}")
    output.print_result(
        [verdict.to_dict() for verdict in verdicts],
        "\n".join(line for verdict in verdicts for line in verdict_lines(verdict)),
        as_json=as_json,
    )
    failed = [verdict.id for verdict in verdicts if not verdict.passed]
    if failed:
        output.check_failed(f"{', '.join(failed)}: not what was recorded; the rows above say where")


@app.command("site", cls=Command)
def site(
    out: Annotated[Path, typer.Argument(help="Folder of the site.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model that can be tried; repeatable. All that are here by default."),
    ] = None,
    task: Annotated[
        list[TaskChoice] | None,
        typer.Option(help="Task that can be tried; repeatable. All by default."),
    ] = None,
    results: ResultFiles = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a folder that holds anything but such a site."),
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Write a static web site of the zoo, on which browsers restore images by themselves.

    Cards, measured tables and pictures of every model; those on this machine can be tried, in the
    browser of whoever opens the site. Any web server will do: python -m http.server -d OUT
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    from unifmir.zoo.site.building import build_site

    tables = readable_tables(results or [])
    console = Console(stderr=True)
    quiet = not console.is_terminal
    columns = (BarColumn(), MofNCompleteColumn(), "{task.description}")
    with Progress(*columns, console=console, transient=True, disable=quiet) as bars:
        bar = bars.add_task("", total=None)

        def told(step: str, done: int, total: int) -> None:
            bars.update(bar, description=output.bar_label(step), completed=done, total=total)
            if quiet:
                output.note(step)

        built = build_site(
            out,
            page=page_folder(),
            models=model or (),
            tasks=[one.value for one in task or ()],
            tables=tables,
            overwrite=overwrite,
            on_step=told,
        )
    tried = [{"model": one, "task": name} for one, name in built.networks]
    document = {
        "path": built.folder,
        "networks": tried,
        "size_bytes": built.size_bytes,
        "page_bytes": built.page_bytes,
    }
    text = (
        f"{built.folder}: {output.megabytes(built.size_bytes)}, {len(tried)} networks to try\n"
        f"to look at it: python -m http.server -d {built.folder}"
    )
    output.print_result(document, text, as_json=as_json)


@app.command("lint", cls=Command)
def lint(
    package: Annotated[Path, typer.Argument(help="BioImage.IO package, a zip.")],
    partner: Annotated[
        list[str] | None,
        typer.Option(help="Only this partner's check, beside the lint; repeatable."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: only environments that are there.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Check a package as the BioImage.IO collection and the programs of its partners do.

    Each partner's libraries get an environment of their own on first use, made by pip in the
    user's cache. Without --partner the results are kept beside the package, where `unifmir publish`
    finds them. Exits with 1 if a check failed.
    """
    from unifmir.errors import OutputError
    from unifmir.export.formats.bioimageio.partners.package_checks import check_package
    from unifmir.export.formats.bioimageio.partners.recorded_checks import write_checks

    checks = check_package(package, partners=partner or (), offline=offline, say=output.note)
    if not partner:
        try:
            write_checks(checks, package)
        except OutputError as error:
            output.note(f"the results are not kept: {error}")
    output.print_result(checks.to_dict(), checks_text(checks), as_json=as_json)
    if checks.failed:
        output.check_failed(f"{package.name}: failed {', '.join(checks.failed)}")
