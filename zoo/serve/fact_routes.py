"""Routes of what a server knows without any job: machine, models, samples, benchmarks."""

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from unifmir.errors import UnknownNameError
from unifmir.zoo.serve import server_facts
from unifmir.zoo.serve.refusals import RefusalError

router = APIRouter(prefix="/api", tags=["facts"])


@router.get("/about")
async def about(request: Request) -> dict[str, Any]:
    """Version, machine, limits and tasks."""
    return await to_thread.run_sync(server_facts.about, request.app.state.options)


@router.get("/models")
def models() -> list[dict[str, Any]]:
    """The models of the zoo; those with `available` can be asked for."""
    return server_facts.models()


@router.get("/models/{name}")
def model(name: str) -> dict[str, Any]:
    """Everything known of a model."""
    try:
        return server_facts.model(name)
    except UnknownNameError as error:
        raise RefusalError(404, str(error), "") from error


@router.get("/samples")
def samples() -> list[dict[str, Any]]:
    """The real sample image of each task, and whose it is."""
    return server_facts.samples()


@router.get("/samples/{task}", response_class=FileResponse)
def sample(task: str) -> FileResponse:
    """The sample image of a task, a TIFF."""
    try:
        path = server_facts.sample_path(task)
    except UnknownNameError as error:
        raise RefusalError(404, str(error), "") from error
    return FileResponse(path, media_type="image/tiff", filename=path.name)


@router.get("/benchmarks")
def benchmarks(request: Request) -> list[dict[str, Any]]:
    """Tables of measured results: those that the server was given, then those of the models."""
    return [*request.app.state.results(), *server_facts.measured()]
