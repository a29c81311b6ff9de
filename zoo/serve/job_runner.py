"""Jobs run: each in a process of its own, so many at once, in the order of the fair queue."""

import asyncio
import contextlib
import hashlib
import json
import logging
import signal
from asyncio.subprocess import Process
from collections.abc import Iterator
from typing import Any

import psutil

from unifmir import machine
from unifmir.child_processes import kill_group, limited_environment
from unifmir.errors import CheckpointError
from unifmir.images.file_names import image_stem
from unifmir.plain_text_values import parse_json
from unifmir.zoo.restore import job_process
from unifmir.zoo.restore.job_process import JobOrder
from unifmir.zoo.restore.restore_settings import for_caller
from unifmir.zoo.restore.restoring_process import COMMAND
from unifmir.zoo.serve.fair_queue import FairQueue
from unifmir.zoo.serve.job_record import Fault, JobInput, JobProgress, JobRecord, JobResult, now
from unifmir.zoo.serve.job_store import MESSAGES, REPORT, RESULT, JobStore
from unifmir.zoo.serve.server_options import ServerOptions

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 0.25
"""Time between two looks at the memory of a job's process."""
STOP_SECONDS = job_process.GRACE_S + 2.0
_NO_MEMORY = (
    "Restore smaller tiles (setting `tile`, 256 for example), or ask whoever runs the server for "
    "more memory a job"
)


class JobRunner:
    """Runs the jobs of a store.

    Parameters
    ----------
    store : JobStore
        Jobs in it that had not ended wait again, in the order in which they came.
    options : ServerOptions
    """

    def __init__(self, store: JobStore, options: ServerOptions) -> None:
        self._store, self._options = store, options
        self._queue = FairQueue()
        self._arrived = asyncio.Condition()
        self._processes: dict[str, Process] = {}
        self._cancelled: set[str] = set()
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Begin to run jobs."""
        for job in self._store:
            if not job.ended:
                self._store.change(job, state="waiting", progress=JobProgress())
                self._queue.add(job.session, job.id)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._options.jobs)]

    async def stop(self) -> None:
        """End running processes, which keep what is finished: jobs go on at the next start."""
        self._stopping = True
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        async with self._arrived:
            self._arrived.notify_all()
        _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for process in self._processes.values():
            _kill(process)
        for task in late:
            task.cancel()
        for watchers in self._watchers.values():
            for one in watchers:
                one.set()

    @property
    def stopping(self) -> bool:
        """Whether the server ends."""
        return self._stopping

    def place(self, job: JobRecord) -> int | None:
        """Jobs before this one in the queue; None if it does not wait."""
        return self._queue.place(job.id)

    async def submit(self, job: JobRecord) -> None:
        """Put a job, which is in the store, into the queue."""
        async with self._arrived:
            self._queue.add(job.session, job.id)
            self._arrived.notify()

    def cancel(self, job: JobRecord) -> JobRecord:
        """Take a job out of the queue, or end its process."""
        if not self._queue.remove(job.id):
            self._cancelled.add(job.id)
            if job.id in self._processes:
                _kill(self._processes[job.id])
        return self._changed(job, state="cancelled", finished=now())

    @contextlib.contextmanager
    def watching(self, job: JobRecord) -> Iterator[asyncio.Event]:
        """An event that is set whenever something is new of a job."""
        event = asyncio.Event()
        self._watchers.setdefault(job.id, set()).add(event)
        try:
            yield event
        finally:
            watchers = self._watchers[job.id]
            watchers.discard(event)
            if not watchers:
                del self._watchers[job.id]

    def _changed(self, job: JobRecord, *, keep: bool = True, **changes: Any) -> JobRecord:
        changed = self._store.change(job, keep=keep, **changes)
        for event in self._watchers.get(job.id, ()):
            event.set()
        if "state" in changes:
            # The places of all that wait are others now.
            for watchers in self._watchers.values():
                for event in watchers:
                    event.set()
        return changed

    async def _work(self) -> None:
        while True:
            async with self._arrived:
                while not self._stopping and (name := self._queue.take()) is None:
                    await self._arrived.wait()
            if self._stopping:
                return
            assert name is not None  # noqa: S101 - waited for above
            job = self._store.get(name)
            if job is None:
                continue
            try:
                await self._run(self._changed(job, state="running"))
            except Exception:
                # This loop runs everybody's jobs: whatever one of them meets must not end it.
                logger.exception("job %s", job.id)
                self._failed(job, Fault("the server failed on this job", "Try again"))

    async def _run(self, job: JobRecord) -> None:
        with self._store.path(job, MESSAGES).open("wb") as messages:
            process = await _started(messages.fileno(), self._options.threads)
        self._processes[job.id] = process
        if job.id in self._cancelled:  # while it was started
            _kill(process)
        watch = asyncio.create_task(_watch_memory(process, self._options.job_bytes))
        end: dict[str, Any] = {}
        try:
            assert process.stdin is not None  # noqa: S101 - it was started with pipes
            process.stdin.write(json.dumps(self._order(job).to_dict()).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
            end = await self._told(job, process)
            if not end:
                code = await process.wait()
                memory = watch.done() or code == -signal.SIGKILL
                end = {
                    "event": "failed",
                    "message": f"its process was ended: {machine.ending(code)}",
                    "memory": memory,
                }
        finally:
            watch.cancel()
            _kill(process)
            await process.wait()
            del self._processes[job.id]
        if job.id in self._cancelled:
            self._cancelled.discard(job.id)
        elif not self._stopping or end["event"] == "done":
            self._end(job, end)

    def _order(self, job: JobRecord) -> JobOrder:
        return JobOrder(
            source=str(self._store.path(job, job.source)),
            target=str(self._store.path(job, RESULT)),
            report=str(self._store.path(job, REPORT)),
            settings=job.settings,
            threads=self._options.threads,
            memory_bytes=self._options.job_bytes,
        )

    async def _told(self, job: JobRecord, process: Process) -> dict[str, Any]:
        """Note what the process tells, up to the end; empty if it ends without saying how."""
        assert process.stdout is not None  # noqa: S101 - it was started with pipes
        async for line in process.stdout:
            told = _line(line)
            event = told.pop("event", None)
            if event == "progress":
                self._changed(job, keep=False, progress=JobProgress(**told))
            elif event == "image":
                given = job.input
                shown = JobInput(given.name, given.bytes, told["axes"], tuple(told["shape"]))
                job = self._changed(job, input=shown)
            elif event in ("done", "failed"):
                return {"event": event, **told}
        return {}

    def _end(self, job: JobRecord, end: dict[str, Any]) -> None:
        path = self._store.path(job, RESULT)
        if end["event"] == "failed":
            source = self._store.path(job, job.source)
            message = for_caller(str(end["message"]), source, job.input.name)
            self._failed(job, Fault(message, _NO_MEMORY if end.get("memory") else ""))
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"{image_stem(job.input.name)}.{job.settings.task}.tif"
        result = JobResult(name, path.stat().st_size, digest)
        self._changed(job, state="done", finished=now(), result=result)

    def _failed(self, job: JobRecord, why: Fault) -> None:
        self._changed(job, state="failed", finished=now(), error=why)


def _line(line: bytes) -> dict[str, Any]:
    try:
        told = parse_json(line)
    except CheckpointError:
        return {}
    return told if isinstance(told, dict) else {}


async def _started(messages: int, threads: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=messages,
        env=limited_environment(threads),
        # Ctrl-C goes to the group of the terminal; the server ends the process.
        start_new_session=True,
    )


async def _watch_memory(process: Process, memory_bytes: int) -> None:
    """Return when the process takes more than its memory, and kill it then."""
    while process.returncode is None:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(process.pid).memory_info().rss > memory_bytes:
                _kill(process)
                return
        await asyncio.sleep(WATCH_EVERY_S)
    await asyncio.Event().wait()  # ended by itself: cancelled by who watches


def _kill(process: Process) -> None:
    if process.returncode is None:
        kill_group(process.pid)
