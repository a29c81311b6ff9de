"""`unifmir publish`: a package handed to a place where others find it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.cli.choices import DestinationChoice, TaskChoice
from unifmir.cli.credit_options import Authors, Licence, Maintainers, Packagers, stated_credit
from unifmir.cli.score_text import score_line
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.export.credit import Credit
    from unifmir.zoo.publish.destination import PlannedCall, Standing
    from unifmir.zoo.publish.publication import PublishedScore
    from unifmir.zoo.publish.publishing import DryRun
    from unifmir.zoo.publish.submission import Submission


def publish(
    package: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE|MODEL",
            help="A BioImage.IO package, by `unifmir export`; or the id of a model of the zoo, "
            "which is exported first.",
        ),
    ],
    to: Annotated[DestinationChoice, typer.Option(help="Where to.")],
    upload: Annotated[
        bool,
        typer.Option(
            "--upload/--dry-run",
            help="Send it; else it is only checked, and every call is listed without a network.",
        ),
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Ask the server how the submission stands.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take the submission back: a draft again.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Use the place for trials, where there is one.")
    ] = False,
    skip_test: Annotated[
        bool, typer.Option("--skip-test", help="Hand it in without the server's own test.")
    ] = False,
    repository: Annotated[
        str, typer.Option(help="Hugging Face: name of the repository, if not the model's.")
    ] = "",
    base_model: Annotated[
        str,
        typer.Option(
            metavar="OWNER/NAME", help="Hugging Face: the model there that it was made from."
        ),
    ] = "",
    task: Annotated[TaskChoice | None, typer.Option(help="Task, of a MODEL with several.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the package of a MODEL; one of its name if none is named."),
    ] = None,
    author: Authors = None,
    licence: Licence = "",
    packaged_by: Packagers = None,
    maintainer: Maintainers = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Hand a package to the place where others find it, up to the step that publishes.

    Nothing is ever made public: a reviewer or you yourself take that step on the site. What was
    done is kept beside the package, so the same command again goes on where one ended. A MODEL's
    package is kept too, and taken as it is from then on; it is exported again where --author,
    --licence, --packaged-by or --maintainer is given.
    """
    from unifmir.errors import ZooError
    from unifmir.zoo.publish import publishing
    from unifmir.zoo.publish.destination import SendOptions

    if sum((upload, status, withdraw)) > 1:
        raise ZooError("give one of --upload, --status and --withdraw")
    path = _file(
        package,
        out,
        task.value if task else None,
        stated_credit(author, licence, packaged_by, maintainer),
        new=not (status or withdraw),
    )
    # Only somebody at a terminal can log in.
    show = output.note if sys.stdin.isatty() else None
    options = SendOptions(
        sandbox=sandbox, skip_test=skip_test, repository=repository, base_model=base_model
    )
    if upload:
        done = publishing.upload(path, to, options=options, tell=output.note, show=show)
        output.print_result(done.to_dict(), _sent(done), as_json=as_json)
    elif status or withdraw:
        ask = publishing.withdraw if withdraw else publishing.standing
        found = ask(path, to, show=show)
        output.print_result(found.to_dict(), _standing(found), as_json=as_json)
    else:
        plan = publishing.dry_run(path, to, options=options)
        output.print_result(plan.to_dict(), _planned(plan), as_json=as_json)


def _file(package: str, out: Path | None, task: str | None, stated: "Credit", *, new: bool) -> Path:
    """The package's file; that of a model's package, which is exported first if one may be new."""
    from unifmir.errors import ZooError
    from unifmir.export.credit import Credit

    if Path(package).is_file() or _looks_like_a_path(package):
        if out is not None or task is not None or stated != Credit():
            raise ZooError(
                "--out, --task, --author, --licence, --packaged-by and --maintainer are for a "
                f"MODEL, which is exported; {package} is finished: export it again with them"
            )
        return Path(package)
    from unifmir.zoo.publish.exported_model import exported_model, package_place

    folder = out or Path(package)
    if new:
        return exported_model(package, folder, task=task, stated=stated, tell=output.note)
    return package_place(package, folder, task=task)


def _looks_like_a_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.lower().endswith(".zip")


def _planned(plan: "DryRun") -> str:
    """A plan as text for people."""
    submission = plan.submission
    files = [
        (file.name, f"{file.size_bytes:,}", file.sha256, str(file.download_weight))
        for file in submission.files
    ]
    calls = [f"{number:3d}  {_called(call)}" for number, call in enumerate(plan.calls, 1)]
    where = f"{submission.server}, {submission.place}"
    lines = [
        f"{submission.package} to {submission.destination}: {where}",
        "",
        aligned(("file", "bytes", "sha256", "weight"), files),
        f"{plan.package.size_bytes:,} bytes in all",
        "",
        *calls,
        "",
        *(f"warning: {one.where}: {one.message}" for one in plan.package.findings),
    ]
    if plan.score is not None:
        lines += score_lines(plan.score, plan.package.path.name)
    lines += [f"for the table of a README: {plan.readme_row}"]
    lines += [f"record: {plan.record}", "Nothing was sent. To send it: the same with --upload"]
    return "\n".join(lines)


def score_lines(found: "PublishedScore", package: str) -> list[str]:
    """Lines on the score to expect, and which of its parts were run."""
    if found.checks is not None:
        rows = [
            f"  {one.outcome.ljust(7)}  {one.name}: {one.detail}" for one in found.checks.checks
        ]
        score = found.checks.score
        told = score_line(score.to_dict()) if score else "no score: the library did not test it"
        return ["by the last `unifmir zoo lint` of this file:", *rows, told.lstrip("\n")]
    tested = (
        "the library's test of this file is recorded as passed"
        if found.is_tested
        else "no test of this file is recorded: it counts as missed; `unifmir export` runs it"
    )
    old = "; its last result is of another file" if found.has_old_checks else ""
    return [
        f"expected score {found.score.total:.3f} ({tested})",
        *(f"  {reason}" for reason in found.score.reasons),
        f"of the partners their rules are known; `unifmir zoo lint {package}` asks them{old}",
    ]


def _called(call: "PlannedCall") -> str:
    """A call in one line; the whole metadata are in the record."""
    shown = {
        name: "{...}" if name in ("manifest", "metadata") else repr(value)
        for name, value in call.arguments.items()
    }
    text = f"{call.name}({', '.join(f'{name}={value}' for name, value in shown.items())})"
    remarks = [f"{call.size_bytes:,} bytes"] if call.size_bytes else []
    remarks += [call.note] if call.note else []
    return f"{text}  # {', '.join(remarks)}" if remarks else text


def _sent(done: "Submission") -> str:
    lines = [f"{done.package}: {done.state} at {done.destination}, {len(done.files)} files stored"]
    lines += _places(done.record, done.link, done.doi)
    return "\n".join([*lines, *_report(done.report)])


def _standing(found: "Standing") -> str:
    lines = [f"{found.record}: {found.status}, {found.files} files"]
    lines += _places("", found.link, found.doi)
    return "\n".join([*lines, *_report(found.report)])


def _report(report: Mapping[str, Any] | None) -> list[str]:
    """Lines on the server's test, where it has run one."""
    from unifmir.zoo.publish.server_report import report_lines

    return report_lines(report) if report else []


def _places(record: str, link: str, doi: str) -> list[str]:
    named = {"record": record, "link": link, "doi": doi}
    return [f"{name}: {value}" for name, value in named.items() if value]
