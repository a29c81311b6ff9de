"""A whole training: gather images, train, save as it goes, and write the model at the end."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from unifmir.training.distribution import by_torchrun, is_first, most_processes
from unifmir.training.monitoring import PICTURES_SUFFIX, TrainingMonitor, tensorboard_writer
from unifmir.training.pictures import fixed_pairs
from unifmir.training.pool import Pool
from unifmir.training.process_choice import gain_of_processes
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
OnStep = Callable[[int, str, float], None]
"""Called after a step with the number of steps so far, its task and its loss."""
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
    processes: int | None = 1
    """Processes that share the steps; None: as many as cores or GPUs if that is faster."""
    log_dir: Path | None = None
    """Folder of TensorBoard's files; None: there are none."""
    pictures_every: int = 0
    """Steps between pictures, which go into a folder beside the model; 0: there are none."""


@dataclass(frozen=True, slots=True)
class TrainingCallbacks:
    """Called while a training runs."""

    on_scene: Callable[[str], None]
    on_step: OnStep
    on_begin: Callable[[int], None] = lambda _steps: None
    """Called with the number of steps once it is known."""
    on_processes: Callable[[int, float], None] = lambda _count, _gain: None
    """Called with a number of processes and how many times as fast as one they were measured."""


def train(request: TrainingRequest, watch: TrainingCallbacks) -> Provenance | None:
    """Train, and write the averaged weights to `request.out`.

    An interrupt (Ctrl-C, and where it is an exception SIGTERM) saves the state first; `resume` then
    goes on from it. Of several processes the first one alone calls back and writes; the others run
    the same program, and get None.

    Raises
    ------
    CheckpointError
        A state is there and `resume` was not asked for, or it is another training's; or the model
        is there already.
    InUseError
        Another process is training this model.
    ClusterError
        A process of several has ended.
    """
    count = 1 if by_torchrun() else request.processes or most_processes(request.device)
    if is_first(count):
        with held(request.out):
            return _trained(request, watch, count)
    return _trained(request, TrainingCallbacks(lambda _: None, lambda *_: None), count)


def _check_place(request: TrainingRequest, state: Path, *, first: bool) -> None:
    """Refuse what would be lost, and say where there is nothing to go on with."""
    if state.exists() and not request.resume:
        raise CheckpointError(
            f"{state} is an unfinished training: go on with --resume, or remove the file"
        )
    if request.out.exists() and not state.exists():
        raise CheckpointError(
            f"{request.out} is a finished model, which is not replaced: name another file with "
            "--out, or remove this one"
        )
    if request.resume and not state.exists() and first:
        logger.warning(
            "%s has no unfinished training to go on with (%s is not there): it begins anew",
            request.out,
            state.name,
        )


def _trained(request: TrainingRequest, watch: TrainingCallbacks, count: int) -> Provenance | None:
    state = request.out.with_name(request.out.name + STATE_SUFFIX)
    _check_place(request, state, first=is_first(count))
    training, held_out = set_up(
        request.config, request.init, request.device, request.features, count
    )
    first = is_first(count)
    before = training.errors(training.network, held_out) if held_out and first else ()
    if request.resume and state.exists():
        training.resume(state)
    training.processes.launch()
    training.require_same_everywhere()
    watch.on_begin(training.schedule.steps)
    began, started = monotonic(), training.step
    with (
        _simulating(training, request.workers if first else 0, watch.on_scene),
        _interrupted_between_steps(training) as stop,
    ):
        if request.processes is None and count > 1:
            _choose_processes(training, watch)
        if first or training.processes.count > 1:
            with _monitored(request, training, held_out, watch) as on_step:
                _run_to_the_end(training, state, on_step)
            if training.stopped and first:
                stop()
    training.processes.close()
    if not first:
        return None
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
    write_training_record(record_of(training, hours, origin), record_path(request.out))
    state.unlink(missing_ok=True)
    return source


def _run_to_the_end(training: Training, state: Path, on_step: OnStep) -> None:
    """Take all steps that are left, or those before the training is stopped, and save as it goes.

    The first process saves.
    """
    first = training.processes.number == 0
    while training.step < training.schedule.steps and not training.stopped:
        until = min(training.step + SAVE_EVERY, training.schedule.steps)
        try:
            training.run(until=until, on_step=on_step)
        except SimulationError:
            if first:
                training.save(state)
            raise
        if first:
            training.save(state)


@contextmanager
def _monitored(
    request: TrainingRequest, training: Training, held_out: Pool | None, watch: TrainingCallbacks
) -> Iterator[OnStep]:
    """Call monitors after each step as well, in the first process, where they are wanted."""
    if training.processes.number or not (request.log_dir or request.pictures_every):
        yield watch.on_step
        return
    pairs = {}
    if request.pictures_every:
        pairs = fixed_pairs(training, [Path(path) for path in request.config.data], held_out)
    folder = request.out.with_name(request.out.name + PICTURES_SUFFIX)
    with tensorboard_writer(request.log_dir, training.step) as writer:
        monitor = TrainingMonitor(training, writer, folder, pairs, request.pictures_every)

        def on_step(step: int, task: str, loss: float) -> None:
            watch.on_step(step, task, loss)
            monitor.on_step(step, task, loss)

        yield on_step


def _choose_processes(training: Training, watch: TrainingCallbacks) -> None:
    """Leave the first process alone where that is faster than all of them."""
    gain = gain_of_processes(training)
    watch.on_processes(training.processes.count, gain)
    if gain <= 1:
        training.processes.close()
        training.processes = training.processes.alone()


@contextmanager
def _simulating(
    training: Training, workers: int | None, on_scene: Callable[[str], None]
) -> Iterator[None]:
    """Have the scenes of a training simulated while it goes on.

    A step waits for the scenes that it draws alone, so that the first need not wait for all.
    """
    turns = {task: training.turn(task, training.step) for task in training.pools}
    of = {task: training.turn(task, training.schedule.steps) for task in training.pools}
    streams = {task: pool.stream for task, pool in training.pools.items() if pool.stream}
    if training.processes.number:
        streams = {}  # the first process has all of them
    left = sum(one.total(of[task]) - one.first(turns[task]) for task, one in streams.items())
    count = fitting_workers() if workers is None else workers
    with ExitStack() as ends:
        others = None
        if left > FEW_SCENES and count:
            others = ends.enter_context(SceneWorkers(min(count, left)))
        progress = _SceneProgress(left, others, on_scene)
        for task, one in streams.items():
            window = one.first(turns[task]) + one.count
            one.start(others, turns[task], of[task], partial(progress.told, task, window))
        yield


class _SceneProgress:
    """Scenes that are still to come, told by the threads that have them.

    Parameters
    ----------
    left : int
    workers : SceneWorkers, optional
        Their processes end with the last scene.
    on_scene : callable
        Called with the task of each scene that the next step may draw.
    """

    def __init__(
        self, left: int, workers: SceneWorkers | None, on_scene: Callable[[str], None]
    ) -> None:
        self._left, self._workers, self._on_scene = left, workers, on_scene
        self._lock = threading.Lock()

    def told(self, task: str, window: int, number: int) -> None:
        """Count one; `window` is the number behind the last that the next step may draw."""
        with self._lock:
            self._left -= 1
            over = not self._left
        if number < window:
            self._on_scene(task)
        if over and self._workers:
            self._workers.end_processes()


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
