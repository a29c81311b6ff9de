"""Progress of `unifmir restore`: a bar for each image, and for the kernels' first compiling."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.cli import output
from unifmir.shown_text import shown

if TYPE_CHECKING:
    from unifmir.restoration.executor import RestorationProgress
    from unifmir.zoo.restore.outputs import Job

LINE_EVERY_S = 30.0
"""Seconds between lines of progress, printed where no terminal shows the bars."""


@contextmanager
def watched() -> "Iterator[Callable[[Job, RestorationProgress], None]]":
    """A bar for each image, or now and then a line where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with (
        Bars(*columns, console=console, disable=not console.is_terminal) as bars,
        _compiling_told(bars, lines=not console.is_terminal),
    ):
        watch = _ProgressBars(bars, lines=not console.is_terminal)
        try:
            yield watch.tell
        except KeyboardInterrupt:
            output.note("what is finished is kept: give the same command again to go on")
            raise


class _ProgressBars:
    """Progress of each image: a bar on a terminal, else a line now and then."""

    def __init__(self, bars: Any, *, lines: bool) -> None:
        self._bars = bars
        self._lines = lines
        self._shown: dict[Path, Any] = {}
        self._said = time.monotonic()

    def tell(self, job: "Job", progress: "RestorationProgress") -> None:
        """Update the image's bar."""
        name = shown(job.source.name)
        if job.source not in self._shown:
            self._shown[job.source] = self._bars.add_task(
                output.bar_label(name), total=progress.pixels, told=""
            )
            if progress.pixels_resumed:
                part = progress.pixels_resumed / max(1, progress.pixels)
                output.note(f"{name}: going on with an interrupted run, {part:.0%} is finished")
        told = _rate(progress)
        bar = self._shown[job.source]
        self._bars.update(bar, completed=progress.pixels_done, total=progress.pixels, told=told)
        if self._lines and time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            part = progress.pixels_done / max(1, progress.pixels)
            output.note(f"{name}: {part:.0%}, {told}")


def _rate(progress: "RestorationProgress") -> str:
    left = progress.seconds_left
    told = f"{progress.megapixels_per_second:.3g} MP/s"
    if left is None:
        return told
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{told}, {hours}:{minutes:02}:{seconds:02} left"


class _CompilationBar(logging.Handler):
    """A bar without an end while the kernels are compiled, or a line where nobody watches."""

    def __init__(self, bars: Any, *, lines: bool) -> None:
        super().__init__(logging.DEBUG)
        self._bars = bars
        self._lines = lines
        self._bar: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show that it began; take it away when it ended."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        elif record.levelno == logging.INFO and self._lines:
            output.note(record.getMessage())
        elif record.levelno == logging.INFO:
            self._bar = self._bars.add_task(
                output.bar_label(record.getMessage()), total=None, told=""
            )


@contextmanager
def _compiling_told(bars: Any, *, lines: bool) -> Iterator[None]:
    logger = logging.getLogger("unifmir.native.compilation")
    before = logger.level, logger.propagate
    handler = _CompilationBar(bars, lines=lines)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
