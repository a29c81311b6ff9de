"""Routes of jobs: given, watched, fetched, cancelled. Another session's job is not there."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from unifmir.errors import UnifmirError
from unifmir.zoo.restore.job_process import TELL_EVERY_S
from unifmir.zoo.restore.restore_settings import RestoreSettings
from unifmir.zoo.serve.caller_settings import parse_settings
from unifmir.zoo.serve.job_record import JobInput, JobRecord, JobView, now, view
from unifmir.zoo.serve.job_runner import JobRunner
from unifmir.zoo.serve.job_store import REPORT, RESULT, JobStore, new_id
from unifmir.zoo.serve.refusals import RefusalError, Refused
from unifmir.zoo.serve.server_options import ServerOptions
from unifmir.zoo.serve.sign_in import SESSION
from unifmir.zoo.serve.uploads import ReceivedUpload, UploadLimits, receive

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "settings"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "settings": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "A JSON object; `RestoreSettings` has its entries.",
                        },
                    },
                }
            }
        },
    }
}
_NOT_THERE: dict[int | str, dict[str, Any]] = {404: {"model": Refused}}

router = APIRouter(prefix="/api", tags=["jobs"])


def _store(request: Request) -> JobStore:
    found: JobStore = request.app.state.store
    return found


def _runner(request: Request) -> JobRunner:
    found: JobRunner = request.app.state.runner
    return found


def _session(request: Request) -> str:
    found: str = request.scope[SESSION]
    return found


Store = Annotated[JobStore, Depends(_store)]
Runner = Annotated[JobRunner, Depends(_runner)]
Session = Annotated[str, Depends(_session)]


def _own_job(job_id: str, store: Store, session: Session) -> JobRecord:
    job = store.get(job_id)
    if job is None or job.session != session:
        raise RefusalError(404, "there is no such job", "Jobs are deleted some time after they end")
    return job


OwnJob = Annotated[JobRecord, Depends(_own_job)]


@router.post(
    "/restore",
    status_code=202,
    openapi_extra=_FORM,
    responses={400: {"model": Refused}, 413: {"model": Refused}, 408: {"model": Refused}},
)
async def restore(request: Request, store: Store, runner: Runner, session: Session) -> JobView:
    """Give an image to be restored: a form with the parts `image` and `settings`."""
    options: ServerOptions = request.app.state.options
    if len(store.of_session(session)) >= options.jobs_a_session:
        raise RefusalError(
            429, f"a session has at most {options.jobs_a_session} jobs", "Delete some"
        )
    _require_room(options)
    length = request.headers.get("content-length", "")
    with store.arriving() as folder:
        upload = await receive(
            aiter(request.stream()),
            request.headers.get("content-type", ""),
            int(length) if length.isdecimal() else None,
            folder,
            UploadLimits(options.upload_bytes, options.silence_s),
        )
        job = _record(upload, _settings(upload), session)
        store.add(job, folder)
    await runner.submit(job)
    return _viewed(job, store, runner)


def _settings(upload: ReceivedUpload) -> RestoreSettings:
    try:
        return parse_settings(upload.settings)
    except UnifmirError as error:
        raise RefusalError(
            400, str(error), "The settings are the options of `unifmir restore`"
        ) from error


def _record(upload: ReceivedUpload, settings: RestoreSettings, session: str) -> JobRecord:
    return JobRecord(
        id=new_id(),
        session=session,
        settings=settings,
        input=JobInput(upload.name, upload.size_bytes),
        source=upload.file,
        created=now(),
    )


def _require_room(options: ServerOptions) -> None:
    """Refuse what would fill the disk: an upload, and a result of its size."""
    if shutil.disk_usage(options.folder).free < 2 * options.upload_bytes:
        raise RefusalError(507, "the server's disk is full", "Try later, or delete jobs that ended")


def _viewed(job: JobRecord, store: JobStore, runner: JobRunner) -> JobView:
    job = store.get(job.id) or job
    return view(job, runner.place(job))


@router.get("/jobs")
async def jobs(store: Store, runner: Runner, session: Session) -> list[JobView]:
    """The jobs of this session, the newest first."""
    return [_viewed(job, store, runner) for job in store.of_session(session)]


@router.get("/jobs/{job_id}", responses=_NOT_THERE)
async def job(job: OwnJob, store: Store, runner: Runner) -> JobView:
    """A job and how far it is."""
    return _viewed(job, store, runner)


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=_NOT_THERE)
async def events(job: OwnJob, store: Store, runner: Runner) -> AsyncIterator[ServerSentEvent]:
    """The job whenever something is new of it, up to its end: server-sent events named `job`."""
    with runner.watching(job) as news:
        while not runner.stopping:
            news.clear()
            found = store.get(job.id)
            if found is None:
                return
            yield ServerSentEvent(event="job", data=view(found, runner.place(found)).to_dict())
            if found.ended:
                return
            await asyncio.sleep(TELL_EVERY_S)
            await news.wait()


@router.get("/jobs/{job_id}/result", response_class=FileResponse, responses=_NOT_THERE)
def result(job: OwnJob, store: Store) -> FileResponse:
    """The restored image, a TIFF; parts of it by `Range`."""
    if job.result is None:
        raise RefusalError(404, f"the job is {job.state}: it has no result", "")
    return FileResponse(
        store.path(job, RESULT),
        media_type="image/tiff",
        filename=job.result.name,
    )


@router.get("/jobs/{job_id}/input", response_class=FileResponse, responses=_NOT_THERE)
def uploaded(job: OwnJob, store: Store) -> FileResponse:
    """The image that was uploaded."""
    return FileResponse(
        store.path(job, job.source),
        media_type="application/octet-stream",
        filename=job.input.name,
    )


@router.get("/jobs/{job_id}/report", response_class=FileResponse, responses=_NOT_THERE)
def report(job: OwnJob, store: Store) -> FileResponse:
    """The report on the restored file, as `unifmir restore --json` prints it."""
    path = store.path(job, REPORT)
    if job.result is None:
        raise RefusalError(404, f"the job is {job.state}: it has no report", "")
    return FileResponse(path, media_type="application/json")


@router.delete("/jobs/{job_id}", responses=_NOT_THERE)
async def delete(job: OwnJob, store: Store, runner: Runner) -> JobView:
    """Cancel a job that waits or runs; delete the files of one that ended."""
    if job.ended:
        store.remove(job)
        return view(job, None)
    return view(runner.cancel(job), None)
