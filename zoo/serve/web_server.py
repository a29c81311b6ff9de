"""The server itself: the port, the folder that one server has, and how it ends."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn

from unifmir.errors import OutputError
from unifmir.file_locks import held
from unifmir.user_folders import make_private_folder
from unifmir.zoo.serve.server_options import ServerOptions
from unifmir.zoo.serve.web_app import ResultTables, create_app, no_tables

LEAVE_SECONDS = 3
"""Time that answers have to end when the server does."""


def serve(
    options: ServerOptions,
    *,
    page: Path | None = None,
    results: ResultTables = no_tables,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM comes.

    Parameters
    ----------
    options : ServerOptions
        Port 0 takes one that is free.
    page : Path, optional
        Folder of the built page.
    results : callable
        Tables of results that the page shows beside those of the models.
    on_start : callable, optional
        Called with the address once the port is taken.

    Raises
    ------
    InUseError
        Another server has the folder.
    OutputError
        The port cannot be had.
    UntrustedError
        Others may look into the folder.
    """
    make_private_folder(options.folder)
    with held(options.folder / "server"), closing(_bound(options)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(options, page=page, results=results),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=LEAVE_SECONDS,
            lifespan="on",
        )
        if on_start is not None:
            on_start(address(options.host, port))
        uvicorn.Server(config).run(sockets=[listener])


def address(host: str, port: int) -> str:
    """The address by which a browser finds a server that listens there."""
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104 - named, not bound
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _bound(options: ServerOptions) -> socket.socket:
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        raise OutputError(
            f"{options.host}:{options.port} cannot be listened at ({error.strerror or error}): "
            "choose another port (--port 0 takes one that is free) or address"
        ) from error
    return listener
