"""Facts of a job: as it lies on the disk, and as its session sees it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from unifmir.json_values import Count, JsonValues, Matching, Sha256
from unifmir.zoo.restore.restore_settings import RestoreSettings

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")
"""States that nothing follows."""
JobId = Annotated[str, Matching("[0-9a-f]{32}", "an id of 32 hexadecimal digits")]


@dataclass(frozen=True, slots=True)
class JobInput(JsonValues):
    """The uploaded image."""

    name: str
    """The caller's name for it; never a path."""
    bytes: Count
    axes: str | None = None
    """Axes of the file; null until the job has opened it."""
    shape: tuple[int, ...] | None = None
    """Pixels along `axes`."""


@dataclass(frozen=True, slots=True)
class JobProgress(JsonValues):
    """How far a job is."""

    done: int = 0
    total: int | None = None
    """Null until the image is planned."""
    unit: Literal["tiles"] = "tiles"
    seconds_left: float | None = None
    """Time left at the rate so far; null before the first tile."""


@dataclass(frozen=True, slots=True)
class Fault(JsonValues):
    """Why something was not done."""

    message: str
    hint: str
    """Advice; empty where the message says it."""


@dataclass(frozen=True, slots=True)
class JobResult(JsonValues):
    """The restored image."""

    name: str
    bytes: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class JobRecord(JsonValues):
    """A job as it lies on the disk."""

    id: JobId
    session: Sha256
    """SHA-256 of the session's token: who reads the disk cannot take its place."""
    settings: RestoreSettings
    input: JobInput
    source: Annotated[str, Matching("image[.a-z0-9]+", "the name of an image in its folder")]
    """Name of the image in the job's folder; never a path."""
    created: str
    """UTC, as ISO 8601 has it."""
    state: JobState = "waiting"
    finished: str | None = None
    progress: JobProgress = JobProgress()
    error: Fault | None = None
    result: JobResult | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobView(JsonValues):
    """A job as its session sees it."""

    id: str
    state: JobState
    task: str
    model: str
    settings: RestoreSettings
    input: JobInput
    place: int | None
    """Jobs before this one in the queue, counted from 0; null when it does not wait."""
    progress: JobProgress
    created: str
    finished: str | None
    error: Fault | None
    result: JobResult | None


def view(job: JobRecord, place: int | None) -> JobView:
    """A job as its session sees it."""
    return JobView(
        id=job.id,
        state=job.state,
        task=job.settings.task,
        model=job.settings.model,
        settings=job.settings,
        input=job.input,
        place=place,
        progress=job.progress,
        created=job.created,
        finished=job.finished,
        error=job.error,
        result=job.result,
    )


def now() -> str:
    """The present moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
