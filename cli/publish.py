"""`unifmir publish`: a package handed to a place where others find it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import DestinationChoice
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.zoo.publish.destination import PlannedCall, Standing
    from unifmir.zoo.publish.publishing import DryRun
    from unifmir.zoo.publish.submission import Submission


def publish(
    package: Annotated[Path, typer.Argument(help="A BioImage.IO package, by `unifmir export`.")],
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
    as_json: output.JsonFlag = False,
) -> None:
    """Hand a package to the place where others find it, up to the step that publishes.

    Nothing is ever made public: a reviewer or you yourself take that step on the site. What was
    done is kept beside the package, so the same command again goes on where one ended.
    """
    from unifmir.errors import ZooError
    from unifmir.zoo.publish import publishing
    from unifmir.zoo.publish.destination import SendOptions

    if sum((upload, status, withdraw)) > 1:
        raise ZooError("give one of --upload, --status and --withdraw")
    # Only somebody at a terminal can log in.
    show = output.note if sys.stdin.isatty() else None
    options = SendOptions(
        sandbox=sandbox, skip_test=skip_test, repository=repository, base_model=base_model
    )
    if upload:
        done = publishing.upload(package, to, options=options, tell=output.note, show=show)
        output.print_result(done.to_dict(), _sent(done), as_json=as_json)
    elif status or withdraw:
        ask = publishing.withdraw if withdraw else publishing.standing
        found = ask(package, to, show=show)
        output.print_result(found.to_dict(), _standing(found), as_json=as_json)
    else:
        plan = publishing.dry_run(package, to, options=options)
        output.print_result(plan.to_dict(), _planned(plan), as_json=as_json)


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
        tested = (
            "the library's test of this file is recorded as passed"
            if plan.score.is_tested
            else "no test of this file is recorded: it counts as missed; `unifmir export` runs it"
        )
        lines += [f"expected score {plan.score.score.total:.3f} ({tested})"]
        lines += [f"  {reason}" for reason in plan.score.score.reasons]
    lines += [f"for the table of a README: {plan.readme_row}"]
    lines += [f"record: {plan.record}", "Nothing was sent. To send it: the same with --upload"]
    return "\n".join(lines)


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
    if done.report:
        lines.append(f"the server's test: {done.report.get('status')}")
    return "\n".join(lines)


def _standing(found: "Standing") -> str:
    lines = [f"{found.record}: {found.status}, {found.files} files"]
    lines += _places("", found.link, found.doi)
    if found.report:
        lines.append(f"the server's test: {found.report.get('status')}")
    return "\n".join(lines)


def _places(record: str, link: str, doi: str) -> list[str]:
    named = {"record": record, "link": link, "doi": doi}
    return [f"{name}: {value}" for name, value in named.items() if value]
