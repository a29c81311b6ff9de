"""The HTTP API and the page, over the store and the runner of jobs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from unifmir.errors import UnifmirError
from unifmir.version import __version__
from unifmir.zoo.serve import api_page, fact_routes, job_routes, sign_in
from unifmir.zoo.serve.job_runner import JobRunner
from unifmir.zoo.serve.job_store import JobStore
from unifmir.zoo.serve.refusals import RefusalError, refused
from unifmir.zoo.serve.request_guard import RequestGuard
from unifmir.zoo.serve.server_options import ServerOptions
from unifmir.zoo.serve.sign_in import Password

EXPIRY_EVERY_S = 30.0
NO_PAGE = (
    "The page of unifmir serve is not built: run `make web` in the checkout, or install a wheel.\n"
    "The API is here: /api/docs\n"
)
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own tracing, whatever the environment says: nothing of anybody's use is told."""


ResultTables = Callable[[], list[dict[str, Any]]]
"""Reads tables of measured results, anew each time: files may change while a server runs."""


def no_tables() -> list[dict[str, Any]]:
    """Tables of a server that was given no results."""
    return []


def create_app(
    options: ServerOptions, *, page: Path | None = None, results: ResultTables = no_tables
) -> RequestGuard:
    """Make the application of a server.

    Parameters
    ----------
    options : ServerOptions
    page : Path, optional
        Folder of the built page; where not given, `/` says how to build it.
    results : callable
        Tables of results that the page shows beside those of the models.

    Returns
    -------
    ASGI application

    Raises
    ------
    UntrustedError
        Others may look into the server's folder.
    """
    store = JobStore(options.folder)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        runner = JobRunner(store, options)
        app.state.runner = runner
        await runner.start()
        expiry = asyncio.create_task(_expire(store, options))
        try:
            yield
        finally:
            expiry.cancel()
            await runner.stop()

    app = FastAPI(
        title="unifmir serve",
        version=__version__,
        description="Restore fluorescence microscopy images: the API of `unifmir serve`.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        lifespan=running,
    )
    password = None if options.password is None else Password(options.password, options.folder)
    app.state.options, app.state.store, app.state.password = options, store, password
    app.state.results = results
    _add_handlers(app)
    app.include_router(job_routes.router)
    app.include_router(fact_routes.router)
    app.include_router(sign_in.router)
    _add_pages(app, page)
    return RequestGuard(app, options, password)


async def _expire(store: JobStore, options: ServerOptions) -> None:
    while True:
        store.remove_expired(options.keep_seconds)
        await asyncio.sleep(EXPIRY_EVERY_S)


def _add_handlers(app: FastAPI) -> None:
    """Say every error in the same form."""

    @app.exception_handler(RefusalError)
    async def _refusal(_request: Request, error: RefusalError) -> Response:
        return refused(error.status, error.fault.message, error.fault.hint)

    @app.exception_handler(UnifmirError)
    async def _known(_request: Request, error: UnifmirError) -> Response:
        return refused(400, str(error))

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return refused(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return refused(400, "; ".join(str(one["msg"]) for one in error.errors()))


class _Page(StaticFiles):
    """The built page: what has a hash in its name is kept for ever, the rest is asked for anew."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        for_ever = path.startswith("assets/")
        answer.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if for_ever else "no-cache"
        )
        return answer


def _add_pages(app: FastAPI, page: Path | None) -> None:
    @app.get("/api/docs", include_in_schema=False)
    async def _docs() -> HTMLResponse:
        return HTMLResponse(api_page.text(app.openapi()))

    if page is not None and (page / "index.html").is_file():
        app.mount("/", _Page(directory=page, html=True))
        return

    @app.get("/", include_in_schema=False)
    async def _no_page() -> PlainTextResponse:
        return PlainTextResponse(NO_PAGE, 503)
