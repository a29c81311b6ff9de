"""A whole training: gather images, train, save as it goes, and write the model at the end."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType

from unifmir.checkpoint.saving import save
from unifmir.errors import CheckpointError, NotHelpedError, SimulationError
from unifmir.file_locks import held
from unifmir.model import Provenance
from unifmir.networks.base import Network
from unifmir.training.adapters import merge_adapters
from unifmir.training.configuration import TrainingConfig
from unifmir.training.scene_workers import SceneWorkers, fitting_workers
from unifmir.training.self_supervision import Evidence
from unifmir.training.trainer import Training
from unifmir.training.training_facts import record_of
from unifmir.training.training_record import record_path, write_training_record
from unifmir.training.training_setup import set_up
from unifmir.training.vgg_features import VggFeatures

logger = logging.getLogger(__name__)

SAVE_EVERY = 250
"""Steps between two saves of the state: a kill loses at most these."""
FEW_SCENES = 32
"""Scenes that are simulated in less time than another process takes to start."""
MOST_WAITING = 0.1
"""Share of the time that steps may wait for their images before the user is told what to do."""
STATE_SUFFIX = ".state.pt"
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """A training: its configuration, and where it starts and ends."""

    out: Path
    """The model, safetensors; the state lies beside it until the training ends, then its record."""
    config: TrainingConfig
    init: Network | None = None
    """The model of `config.init`, loaded."""
    resume: bool = False
    device: str = "cpu"
    workers: int | None = None
    """Processes that simulate images beside this one; None: as many as there are cores for."""
    features: VggFeatures | None = None
    """The network of `config.features`, loaded, for the loss `cobi`."""


@dataclass(frozen=True, slots=True)
class TrainingCallbacks:
    """Called while a training runs."""

    on_scene: Callable[[str], None]
    on_step: Callable[[int, str, float], None]
    on_begin: Callable[[int], None] = lambda _steps: None
    """Called with the number of steps once it is known."""


def train(request: TrainingRequest, watch: TrainingCallbacks) -> Provenance:
    """Train, and write the averaged weights to `request.out`.

    An interrupt (Ctrl-C, and where it is an exception SIGTERM) saves the state first; `resume` then
    goes on from it.

    Raises
    ------
    CheckpointError
        A state is there and `resume` was not asked for, or it is another training's.
    InUseError
        Another process is training this model.
    """
    with held(request.out):
        return _trained(request, watch)


def _trained(request: TrainingRequest, watch: TrainingCallbacks) -> Provenance:
    state = request.out.with_name(request.out.name + STATE_SUFFIX)
    if state.exists() and not request.resume:
        raise CheckpointError(
            f"{state} is an unfinished training: go on with --resume, or remove the file"
        )
    training, held_out = set_up(request.config, request.init, request.device, request.features)
    before = training.errors(training.network, held_out) if held_out else ()
    if request.resume and state.exists():
        training.resume(state)
    watch.on_begin(training.schedule.steps)
    began, started = monotonic(), training.step
    with (
        _simulating(training, request.workers, watch.on_scene),
        _interrupted_between_steps(training) as stop,
    ):
        while training.step < training.schedule.steps:
            until = min(training.step + SAVE_EVERY, training.schedule.steps)
            try:
                training.run(until=until, on_step=watch.on_step)
            except SimulationError:
                training.save(state)
                raise
            training.save(state)
            if training.stopping:
                stop()
    _tell_waiting(training)
    origin = ""
    if held_out:
        after = training.errors(training.average, held_out)
        evidence = Evidence(before, after, training.supervision == "repeats")
        if not evidence.has_helped:
            state.unlink(missing_ok=True)
            raise NotHelpedError(
                f"learning from {', '.join(request.config.data)} has not helped: {evidence.words}. "
                "Nothing was written; the model it started from serves as well"
            )
        origin = evidence.words
    merge_adapters(training.average)
    source = save(training.average.cpu(), request.out)
    resumed = request.resume and started > 0
    hours = None if resumed else (monotonic() - began) / 3600
    write_training_record(
        record_of(training, request.device, hours, origin), record_path(request.out)
    )
    state.unlink(missing_ok=True)
    return source


@contextmanager
def _simulating(
    training: Training, workers: int | None, on_scene: Callable[[str], None]
) -> Iterator[None]:
    """Have the scenes of a training simulated, those of its next steps first, while it goes on.

    Raises
    ------
    SimulationError
        A process that does so has ended.
    """
    turns = {task: training.turn(task, training.step) for task in training.pools}
    of = {task: training.turn(task, training.schedule.steps) for task in training.pools}
    streams = {task: pool.stream for task, pool in training.pools.items() if pool.stream}
    left = sum(one.total(of[task]) - one.first(turns[task]) for task, one in streams.items())
    count = fitting_workers() if workers is None else workers
    if left <= FEW_SCENES or not count:
        for task, one in streams.items():
            one.fill(turns[task], partial(on_scene, task))
        yield
        return
    with SceneWorkers(min(count, left)) as processes:
        for task, one in streams.items():
            one.start(processes, turns[task], of[task])
        for task, one in streams.items():
            one.fill(turns[task], partial(on_scene, task))
        if not any(one.rate for one in streams.values()):
            processes.close()
        yield


def _tell_waiting(training: Training) -> None:
    """Say how long the steps waited for their images."""
    share = training.waited_s / max(training.ran_s, 1e-9)
    told = logger.warning if share > MOST_WAITING and training.ran_s > 60 else logger.info
    told(
        "%.1f %% of the time was waited for images%s",
        100 * share,
        "; more cores (--workers), smaller `scene_size` or fewer `fresh_scenes` would be faster"
        if share > MOST_WAITING
        else "",
    )


@contextmanager
def _interrupted_between_steps(training: Training) -> Iterator[Callable[[], None]]:
    """Let the first signal to end do so after the training's step, a second one at once.

    In the middle of a step some weights are updated and others are not.

    Yields
    ------
    callable
        To be called between steps once `training.stopping`: does what the signal does elsewhere.
    """
    # Python gives signals to the main thread only. A signal that is no exception ends the process.
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _ENDING} if main else {}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        training.stopping = True
        came.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop() -> None:
        for number in came:
            before[signal.Signals(number)](number, None)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
