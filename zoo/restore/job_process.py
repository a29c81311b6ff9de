"""The process of a job: restores one image as `unifmir restore` does, and says how far it is.

    python -m unifmir.zoo.restore.job_process

It reads its order, one line of JSON, from standard input, and ends when that is closed: with the
server or the viewer that started it. Each line of standard output is one thing told: `image`,
`progress`, and `done` or `failed` at the end.
"""

import _thread
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import IO, Any

from unifmir.atomic import write_text
from unifmir.errors import InUseError, UnifmirError
from unifmir.export.limits import set_limit
from unifmir.json_values import Count, JsonValues, json_form
from unifmir.machine import nvml, resident_bytes
from unifmir.plain_text_values import parse_json
from unifmir.zoo.restore.outputs import Job, plan_jobs
from unifmir.zoo.restore.preflight import sort_out
from unifmir.zoo.restore.restore_settings import RestoreSettings

TELL_EVERY_S = 0.2
"""Time between two tellings of progress."""
GRACE_S = 8.0
"""Time to keep what is finished when the starter ends; then this process ends however it is."""
Interval = tuple[Count, Count]
"""First pixel, and the one after the last."""


@dataclass(frozen=True, slots=True)
class JobOrder(JsonValues):
    """Order for the process of a job."""

    source: str
    target: str
    report: str
    settings: RestoreSettings
    threads: Count
    memory_bytes: Count | None = None
    """Memory that it may take; null: all there is."""
    region: tuple[Interval, Interval, Interval, Interval, Interval] | None = None
    """Part of the image, along t, c, z, y and x, whose part of the result is wanted; null: all."""


def main() -> None:
    """Do what the order says; the exit status is 0 also where the image was refused."""
    # What libraries print goes to the messages, never between the lines for the starter.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    order = JobOrder.from_dict(parse_json(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_starter, daemon=True).start()
    try:
        if order.memory_bytes is not None:
            _limit_memory(order.memory_bytes)
        report = _restored(order, told)
        write_text(Path(order.report), json.dumps(json_form(report), ensure_ascii=False))
        _tell(told, "done")
    except (UnifmirError, OSError) as error:
        _tell(told, "failed", message=str(error), memory=isinstance(error, MemoryError))
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except MemoryError as error:
        _tell(told, "failed", message=f"the memory does not suffice ({error})", memory=True)


def _restored(order: JobOrder, told: IO[str]) -> dict[str, Any]:
    """Restore the image, by the functions that `unifmir restore` calls."""
    settings, choice = order.settings, order.settings.choice(order.threads)
    named = plan_jobs(
        [order.source],
        settings.task,
        out=Path(order.target),
        kind="tiff",
        overwrite=True,
        axes=settings.axes,
        series=settings.series,
        channel=settings.channel,
        pixels=settings.dtype,
    )
    work = named.after(sort_out(named.jobs, settings.task, choice, settings.options))
    for refused in work.refused:
        raise refused.to_error()
    _tell(told, "image", **_image_facts(work.jobs[0]))
    watch = _ProgressLines(told)
    if order.region is not None:
        from unifmir.zoo.restore.region_file import restore_region_file

        t, c, z, y, x = (slice(*interval) for interval in order.region)
        return restore_region_file(
            work.jobs[0], choice, settings.options, (t, c, z, y, x), on_progress=watch.tell
        ).to_dict()
    from unifmir.zoo.restore.files import restore_files

    began = time.monotonic()
    while True:
        try:
            (outcome,) = restore_files(
                work.jobs, choice, settings.options, fail_fast=True, on_progress=watch.tell
            )
        except InUseError:
            # The process of a server that was killed ends, too, but keeps first what is finished.
            if time.monotonic() - began > GRACE_S + 1.0:
                raise
            time.sleep(0.2)
        else:
            return outcome.to_dict()


def _image_facts(job: Job) -> dict[str, Any]:
    from unifmir.images.base import AXES

    source = job.opened()
    try:
        sizes = dict(zip(AXES, source.shape, strict=True))
        return {"axes": source.info.axes, "shape": [sizes[axis] for axis in source.info.axes]}
    finally:
        source.close()


class _ProgressLines:
    """Progress as lines, a few a second."""

    def __init__(self, told: IO[str]) -> None:
        self._told = told
        self._last = 0.0

    def tell(self, _job: Job, progress: Any) -> None:
        moment = time.monotonic()
        if moment - self._last < TELL_EVERY_S and progress.tiles_done < progress.tiles:
            return
        self._last = moment
        left = progress.seconds_left
        _tell(
            self._told,
            "progress",
            done=progress.tiles_done,
            total=progress.tiles,
            seconds_left=round(left, 1) if left is not None and isfinite(left) else None,
        )


def _tell(told: IO[str], event: str, **facts: Any) -> None:
    told.write(json.dumps({"event": event, **facts}) + "\n")
    told.flush()


def _limit_memory(memory_bytes: int) -> None:
    """Let allocations fail beyond the limit, where the system can.

    What the libraries have mapped is not memory: the limit on addresses lies so far above them.
    Drivers of GPUs reserve more addresses than there is memory: there the server alone watches.
    """
    if nvml() is not None:
        return
    import psutil

    import unifmir.zoo.restore.predictors  # noqa: F401 - with it torch, mapped before the limit

    mapped = int(psutil.Process().memory_info().vms)
    set_limit("RLIMIT_AS", mapped - resident_bytes("VmRSS") + memory_bytes)


def _end_with_starter() -> None:
    """Interrupt the work when standard input is closed, so that what is finished is kept."""
    sys.stdin.buffer.read()
    _thread.interrupt_main()
    time.sleep(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
