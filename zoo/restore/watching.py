"""A folder that is watched: images are restored as a microscope writes them."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unifmir.errors import ImageError
from unifmir.images.file_names import image_suffix
from unifmir.restoration.base import Predictor
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.files import restore_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, OnProgress, RefusedFile, WorkList, is_result
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.preflight import sort_out
from unifmir.zoo.restore.restored_file import RestoredFile

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
QUIET_S = 2.0
"""Time that neither size nor time of change moved, after which a file is taken as written."""
State = tuple[int, int, int]
"""Files, bytes, and the latest time of change in nanoseconds, of an image that may be a folder."""


@dataclass(frozen=True, slots=True)
class WatchedOutcome:
    """An image of a watched folder that was restored or refused."""

    outcome: RestoredFile | RefusedFile
    latency_s: float
    """Time since the image was last written to."""


class FolderWatch:
    """Finds the images of a folder that are written completely, each once.

    Parameters
    ----------
    folder : Path
    quiet_s : float
        Seconds that an image must not have changed.

    Raises
    ------
    ImageError
        There is no such folder.
    """

    def __init__(self, folder: Path, quiet_s: float = QUIET_S) -> None:
        if not folder.is_dir():
            raise ImageError(f"{folder}: no such folder; --watch takes one that images come to")
        self._folder, self._quiet_s = folder, quiet_s
        self._seen: dict[Path, tuple[State, float]] = {}
        self._given: dict[Path, State] = {}

    def settled(self) -> list[Path]:
        """Images that have not changed for the quiet time, and were not given so before.

        One that is written anew is given again.
        """
        moment, found = time.monotonic(), []
        for path in sorted(self._folder.iterdir()):
            if not _is_image(path) or (state := _state(path)) is None:
                continue
            known = self._seen.get(path)
            if known is None or known[0] != state:
                self._seen[path] = state, moment
            elif moment - known[1] >= self._quiet_s and state[1] and self._given.get(path) != state:
                self._given[path] = state
                found.append(path)
        return found


def restore_watched(
    watch: FolderWatch,
    planned: Callable[[Path], WorkList],
    choice: ModelChoice,
    options: Options,
    *,
    task: str,
    on_progress: OnProgress | None = None,
) -> Iterator[WatchedOutcome]:
    """Restore the images of a folder as they are written, without an end.

    Parameters
    ----------
    watch : FolderWatch
    planned : callable
        The work that an image is; images whose result exists are none.
    choice : ModelChoice
    options : Options
    task : str
    on_progress : callable, optional

    Raises
    ------
    UnifmirError
        The model cannot be had or run.
    """
    predictor = predictor_for(choice)
    while True:
        for path in watch.settled():
            named = planned(path)
            work = named.after(sort_out(named.jobs, task, choice, options))
            outcomes: list[RestoredFile | RefusedFile] = [*work.refused]
            outcomes += [_restored(job, predictor, options, on_progress) for job in work.jobs]
            for outcome in outcomes:
                yield WatchedOutcome(outcome, time.time() - _changed_at(path))
        time.sleep(LOOK_EVERY_S)


def _restored(
    job: Job, predictor: Predictor, options: Options, on_progress: OnProgress | None
) -> RestoredFile | RefusedFile:
    try:
        return restore_file(job, predictor, options, on_progress=on_progress)
    # Exception: what a library raises on one damaged file is no reason to leave the rest.
    except Exception as error:
        logger.debug("%s", job.source, exc_info=True)
        return RefusedFile(job.source, error)


def _is_image(path: Path) -> bool:
    return bool(image_suffix(path.name)) and not path.name.startswith(".") and not is_result(path)


def _state(path: Path) -> State | None:
    """The state of an image; None if it is gone."""
    try:
        if not path.is_dir():
            found = path.stat()
            return 1, found.st_size, found.st_mtime_ns
        files = [Path(place, name).stat() for place, _, names in os.walk(path) for name in names]
    except OSError:
        return None
    latest = max((one.st_mtime_ns for one in files), default=0)
    return len(files), sum(one.st_size for one in files), latest


def _changed_at(path: Path) -> float:
    state = _state(path)
    return time.time() if state is None else state[2] / 1e9
