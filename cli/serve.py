"""`unifmir serve`: the models on a page and an HTTP API, computed by this machine."""

import secrets
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unifmir.cli import output
from unifmir.cli.page_files import ResultFiles, page_folder, require_results, result_tables

MEGABYTE = 10**6
HOUR_S = 3600.0
LEAST_PASSWORD = 12
"""Letters of a password that is told by the environment, at the least."""


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than this machine's own: with --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    auth: Annotated[
        bool,
        typer.Option(
            "--auth",
            help="Ask for a password: that in UNIFMIR_SERVE_PASSWORD, or a new one, shown once.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=output.MOST_PROCESSES,
            help="Images restored at once; by cores and memory if not given.",
        ),
    ] = None,
    limit_upload: Annotated[
        int, typer.Option(min=1, max=10**6, metavar="MB", help="Largest file that is taken.")
    ] = 2000,
    memory: Annotated[
        int | None,
        typer.Option(
            min=256,
            max=10**8,
            metavar="MB",
            help="Memory of each job; a share of what is free if not given.",
        ),
    ] = None,
    keep: Annotated[
        float,
        typer.Option(
            min=0.001, max=10**5, metavar="HOURS", help="Time until ended jobs are deleted."
        ),
    ] = 24.0,
    folder: Annotated[
        Path | None,
        typer.Option(help="Private folder for jobs and their images; the user's own by default."),
    ] = None,
    results: ResultFiles = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser of this machine.")
    ] = False,
) -> None:
    """Serve the models on a page and an HTTP API, each image in a process of its own.

    Ctrl-C ends the server; images that were being restored go on at the next start.
    """
    from unifmir.errors import UnifmirError

    _require_web()
    from unifmir.zoo.serve import server_options as chosen
    from unifmir.zoo.serve.web_server import serve as run

    if not chosen.is_loopback(host) and not auth:
        raise UnifmirError(
            f"{host} can be reached from other machines: give --auth too, or leave --host out"
        )
    require_results(results or [])
    count = jobs or chosen.default_jobs()
    options = chosen.ServerOptions(
        folder=(folder or chosen.default_folder()).absolute(),
        host=host,
        port=port,
        password=_password() if auth else None,
        jobs=count,
        threads=chosen.threads_a_job(count),
        job_bytes=memory * MEGABYTE if memory else chosen.job_memory_bytes(count),
        upload_bytes=limit_upload * MEGABYTE,
        keep_seconds=keep * HOUR_S,
    )
    if not options.loopback:
        output.note(
            f"warning: {host} can be reached from other machines, and nothing on the way is "
            "encrypted, neither images nor the password: put a server with TLS before it"
        )

    def tell(address: str) -> None:
        output.print_result({"address": address}, f"unifmir serve: {address}", as_json=False)
        output.note(
            f"{count} at once with {options.threads} threads and "
            f"{output.megabytes(options.job_bytes)} each; jobs lie in {options.folder}; "
            "Ctrl-C ends"
        )
        if show:
            webbrowser.open(address)

    run(options, page=page_folder(), results=partial(result_tables, results or []), on_start=tell)


def _require_web() -> None:
    from importlib.util import find_spec

    from unifmir.errors import MissingExtraError

    if not all(map(find_spec, ("fastapi", "uvicorn", "python_multipart"))):
        raise MissingExtraError("the server needs the extra `web`: pip install 'unifmir[web]'")


def _password() -> str:
    from unifmir.errors import UnifmirError
    from unifmir.zoo.serve.server_options import PASSWORD_VARIABLE, told_password

    told = told_password()
    if told is None:
        made = secrets.token_urlsafe(24)
        # Printed as it is: what is shown otherwise hides what looks like a secret.
        typer.echo(f"password, shown this once: {made}", err=True)
        return made
    if len(told) < LEAST_PASSWORD:
        raise UnifmirError(
            f"{PASSWORD_VARIABLE} has {len(told)} letters, expected {LEAST_PASSWORD} or more"
        )
    return told
