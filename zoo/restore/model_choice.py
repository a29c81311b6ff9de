"""The choice of a model, and what is known of it before it is loaded. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unifmir.checkpoint.header import recorded_configuration
from unifmir.config import MultiTaskConfig, SingleConfig
from unifmir.errors import UnifmirError
from unifmir.export.recorded_report import read_report
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.pull import present_file

if TYPE_CHECKING:
    from unifmir.checkpoint.weight_sets import WeightKind


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model restores, and how it runs. Can be pickled: workers open it themselves."""

    model: str | Path | None = None
    """Zoo id, checkpoint, or a file of `unifmir export`. None: the model that ships with the
    package."""
    task: str | None = None
    """Needed where the model has several."""
    weights: "WeightKind | None" = None
    """`raw` or `ema`, where a checkpoint has both."""
    device: str = "auto"
    """`auto` or a name of `unifmir.devices`."""
    precision: str = "fp32"
    """Element type of the arithmetic; a file of `unifmir export` has its own."""
    fast: bool = False
    """Leave out the middle group of the network's body."""
    runtime: str | None = None
    """A name in `RUNTIMES`; None: the first in their order that is usable."""
    threads: int | None = None
    """Threads on the CPU; None: `unifmir.machine.default_threads`."""
    untrained: bool = False
    """Take a reference model by its bare name, with fresh weights: for tests."""


def known_task(choice: ModelChoice) -> str | None:
    """The task that is asked for, or that the model's file says without being loaded.

    Raises
    ------
    UnifmirError
        Neither a task nor a model is named.
    """
    if choice.task is not None:
        return TASKS[choice.task].name
    if choice.model is None:
        raise UnifmirError("name the task, a model or an exported file (--task sr, for example)")
    config = known_configuration(choice)
    return None if config is None else config.task


def known_configuration(choice: ModelChoice) -> SingleConfig | None:
    """The configuration that a choice's file names, without loading it.

    None where no file is here yet, or it does not say: official checkpoints are known by their
    tensors alone. What is loaded is looked at again.
    """
    try:
        path = _present_file(choice)
        if path is None:
            return None
        report = read_report(path)
        weights = path if report is None else path.with_name(report.parent.name)
        found = recorded_configuration(weights)
        if isinstance(found, MultiTaskConfig):
            return None if choice.task is None else found.single(choice.task)
    except (UnifmirError, OSError):
        return None  # for whoever loads it to say
    return found if found is None or choice.task in (None, found.task) else None


def _present_file(choice: ModelChoice) -> Path | None:
    model = choice.model if choice.model is not None else EMBEDDED
    return Path(model) if Path(model).is_file() else present_file(find(str(model)))
