"""Jobs on the disk: a private folder each, with the image, what is known, and the result."""

import json
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unifmir.atomic import working_folder, writing
from unifmir.errors import CheckpointError
from unifmir.output_place import PREFIX
from unifmir.plain_text_values import read_json
from unifmir.user_folders import make_private_folder
from unifmir.zoo.serve.job_record import JobRecord

logger = logging.getLogger(__name__)

RECORD, RESULT, REPORT, MESSAGES = "job.json", "result.tif", "report.json", "messages.txt"
"""Files in the folder of a job, beside its image."""


class JobStore:
    """All jobs of a server.

    Parameters
    ----------
    folder : Path
        The server's own; made if missing, for this user alone.

    Raises
    ------
    UntrustedError
        Others may look into the folder.
    """

    def __init__(self, folder: Path) -> None:
        make_private_folder(folder)
        self._folder = folder / "jobs"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._jobs: dict[str, JobRecord] = {}
        for place in sorted(self._folder.iterdir()):
            if not place.name.startswith(PREFIX):
                self._read(place)

    def _read(self, place: Path) -> None:
        try:
            job = JobRecord.from_dict(read_json(place / RECORD))
            if job.id != place.name:
                raise CheckpointError(f"it says that it is {job.id}")
        except (CheckpointError, OSError) as error:
            logger.warning("%s is no job of this version, and removed: %s", place, error)
            shutil.rmtree(place, ignore_errors=True)
            return
        self._jobs[job.id] = job

    def __iter__(self) -> Iterator[JobRecord]:
        return iter(sorted(self._jobs.values(), key=lambda job: job.created))

    def __getitem__(self, name: str) -> JobRecord:
        return self._jobs[name]

    def get(self, name: str) -> JobRecord | None:
        """A job; None if there is none."""
        return self._jobs.get(name)

    def of_session(self, session: str) -> list[JobRecord]:
        """The jobs of a session, the newest first."""
        return [job for job in self if job.session == session][::-1]

    def path(self, job: JobRecord, name: str) -> Path:
        """A file in the folder of a job."""
        return self._folder / job.id / name

    @contextmanager
    def arriving(self) -> Iterator[Path]:
        """A folder for an image that arrives; gone afterwards if no job was made of it."""
        with working_folder(self._folder) as aside:
            folder = aside / "job"
            folder.mkdir(mode=0o700)
            yield folder

    def add(self, job: JobRecord, folder: Path) -> None:
        """Make a job of a folder whose image has arrived."""
        _write(folder / RECORD, job)
        folder.rename(self._folder / job.id)
        self._jobs[job.id] = job

    def change(self, job: JobRecord, *, keep: bool = True, **changes: Any) -> JobRecord:
        """Note what is new of a job; on the disk too, unless it need not be kept.

        A job that was removed meanwhile stays so.
        """
        changed = replace(self._jobs.get(job.id, job), **changes)
        if job.id in self._jobs:
            self._jobs[job.id] = changed
            if keep:
                _write(self.path(job, RECORD), changed)
        return changed

    def remove(self, job: JobRecord) -> None:
        """Delete a job and its files."""
        self._jobs.pop(job.id, None)
        shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def remove_expired(self, keep_seconds: float) -> list[str]:
        """Delete jobs that ended so long ago; their ids."""
        moment = datetime.now(UTC)
        old = [
            job
            for job in self
            if job.ended
            and job.finished is not None
            and (moment - datetime.fromisoformat(job.finished)).total_seconds() > keep_seconds
        ]
        for job in old:
            self.remove(job)
        return [job.id for job in old]


def new_id() -> str:
    """Id of a new job, which nobody can guess."""
    return secrets.token_hex(16)


def _write(path: Path, job: JobRecord) -> None:
    with writing(path, private=True) as aside:
        aside.write_text(json.dumps(job.to_dict(), ensure_ascii=False), "utf-8")
