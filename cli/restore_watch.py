"""`unifmir restore --watch`: images restored as they are written, told one by one."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unifmir.cli import output
from unifmir.cli.restore_progress import watched
from unifmir.errors import UnifmirError

if TYPE_CHECKING:
    from unifmir.restoration.restoration_options import Options
    from unifmir.zoo.restore.model_choice import ModelChoice
    from unifmir.zoo.restore.outputs import WorkList
    from unifmir.zoo.restore.watching import WatchedOutcome


def restore_as_written(
    inputs: Sequence[str],
    planned: "Callable[[list[str]], WorkList]",
    choice: "ModelChoice",
    options: "Options",
    *,
    task: str,
    as_json: bool,
) -> None:
    """Watch a folder until Ctrl-C; one line, or one line of JSON, an image.

    Parameters
    ----------
    inputs : sequence of str
        The folder.
    planned : callable
        The work that inputs are.
    choice : ModelChoice
    options : Options
    task : str
    as_json : bool

    Raises
    ------
    UnifmirError
        Not one folder is given, or the model cannot be had or run.
    """
    from unifmir.zoo.restore.watching import FolderWatch, restore_watched

    if len(inputs) != 1:
        raise UnifmirError(f"--watch takes one folder, found {len(inputs)} inputs")
    watch = FolderWatch(Path(inputs[0]))
    output.note(f"watching {inputs[0]}; Ctrl-C ends")
    with watched() as tell:
        for one in restore_watched(
            watch,
            partial(_planned, planned),
            choice,
            options,
            task=task,
            on_progress=tell,
        ):
            _say(one, as_json=as_json)


def _planned(planned: "Callable[[list[str]], WorkList]", path: Path) -> "WorkList":
    return planned([str(path)])


def _say(one: "WatchedOutcome", *, as_json: bool) -> None:
    from unifmir.zoo.restore.outputs import RefusedFile

    facts = {**one.outcome.to_dict(), "latency_s": round(one.latency_s, 2)}
    if isinstance(one.outcome, RefusedFile):
        text = f"refused: {one.outcome.reason}"
    else:
        text = f"{one.outcome.job.target}: {one.latency_s:.1f} s after it was written"
    if as_json:
        text = json.dumps(facts, ensure_ascii=False, default=str)
    output.print_result(facts, text, as_json=False)
