"""A whole training: gather images, train, save as it goes, and write the model at the end."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType

import torch

from unifmir.checkpoint.pruning import kept_keys
from unifmir.checkpoint.saving import save
from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError, ImageError
from unifmir.file_locks import held
from unifmir.model import Provenance, build
from unifmir.networks.base import Network
from unifmir.networks.multitask import UniFMIR
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TrainingRecipe, TruthScaling
from unifmir.training.initialization import renew, start_dark
from unifmir.training.pool import (
    Pool,
    check_fits,
    check_fits_dataset,
    fitting_recipe,
    joined,
    simulate_pool,
    stored_pool,
)
from unifmir.training.schedule import (
    PAPER_LEARNING_RATE,
    SCRATCH_LEARNING_RATE,
    SMALL_CONFIG,
    Schedule,
)
from unifmir.training.trainer import Training
from unifmir.training.training_facts import record_of
from unifmir.training.training_record import record_path, write_training_record
from unifmir.training.truth_scaling import chosen_intensities

logger = logging.getLogger(__name__)

SAVE_EVERY = 250
"""Steps between two saves of the state: a kill loses at most these."""
STATE_SUFFIX = ".state.pt"
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """Tasks, length and settings of a training."""

    out: Path
    """The model, safetensors; the state lies beside it until the training ends, then its record."""
    tasks: Sequence[str]
    steps: int
    seed: int
    learning_rate: float | None = None
    """Peak rate; None: the paper's when fine-tuning, else `SCRATCH_LEARNING_RATE`."""
    init: Network | None = None
    """Weights to start from; random ones of the small model if None."""
    mixed_loss: bool | None = None
    """Whether L1 and L2 are mixed; None: as in the paper, from random weights and not later."""
    renew: Sequence[str] = ()
    """Tasks whose own layers start from random weights all the same."""
    datasets: Sequence[Path] = ()
    """Prepared datasets, at most one a task, which take the place of simulated images."""
    with_simulated: bool = False
    """Whether the simulated images of their tasks are learned from as well."""
    intensities: TruthScaling | None = None
    """Scaling of the truths; None: the model's own, and shared from random weights."""
    resume: bool = False
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class TrainingCallbacks:
    """Called while a training runs."""

    on_scene: Callable[[str], None]
    on_step: Callable[[int, str, float], None]


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
    training = _prepared(request, watch)
    if request.resume and state.exists():
        training.resume(state)
    began, started = monotonic(), training.step
    with _interrupted_between_steps(training) as stop:
        while training.step < request.steps:
            until = min(training.step + SAVE_EVERY, request.steps)
            training.run(until=until, on_step=watch.on_step)
            training.save(state)
            if training.stopping:
                stop()
    source = save(training.average.cpu(), request.out)
    resumed = request.resume and started > 0
    hours = None if resumed else (monotonic() - began) / 3600
    write_training_record(record_of(training, request.device, hours), record_path(request.out))
    state.unlink(missing_ok=True)
    return source


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


def _prepared(request: TrainingRequest, watch: TrainingCallbacks) -> Training:
    torch.manual_seed(request.seed)
    network = request.init
    # A reference model that is named comes with random weights, and from no file.
    fresh = network is None or (network.source is not None and not network.source.sha256)
    if network is None:
        network = start_dark(build(SMALL_CONFIG))
    elif isinstance(network, UniFMIR):
        # A new network of its own size lends the layers to renew.
        lender = start_dark(build(network.config))
        assert isinstance(lender, UniFMIR)  # noqa: S101 - built from the same configuration
        renew(network, lender, list(request.renew))
    elif fresh and isinstance(network.config, ReferenceConfig):
        network = start_dark(_for_simulated_images(network, network.config))
    datasets = _datasets(request, network.config)
    chosen = chosen_intensities(
        request.intensities, network.config, request.tasks, datasets.values(), fresh=fresh
    )
    network.config = replace(network.config, intensities=chosen)
    for task in request.tasks:
        if task not in datasets or request.with_simulated:
            check_fits(network.config, task)
    rate = request.learning_rate
    if rate is None:
        rate = SCRATCH_LEARNING_RATE if fresh else PAPER_LEARNING_RATE
    recipes = {
        task: fitting_recipe(TASKS[task].training, datasets[task])
        if task in datasets
        else TASKS[task].training
        for task in request.tasks
    }
    pools = _pools(request, recipes, datasets, chosen, watch)
    if request.init is not None and isinstance(network.config, MultiTaskConfig):
        freeze_others(network, request.tasks)
    mixed = fresh if request.mixed_loss is None else request.mixed_loss
    network.to(request.device)
    return Training(
        network=network,
        pools=pools,
        recipes=recipes,
        schedule=Schedule(rate, request.steps),
        seed=request.seed,
        order=tuple(request.tasks),
        mixed_loss=mixed,
        datasets={task: dataset.sha256 for task, dataset in datasets.items()},
    )


def _datasets(request: TrainingRequest, config: ModelConfig) -> dict[str, StoredDataset]:
    """The datasets by their tasks, held against the model.

    Raises
    ------
    ImageError
        Two are for one task, or one for a task that is not trained.
    """
    found: dict[str, StoredDataset] = {}
    for path in request.datasets:
        dataset = StoredDataset(path)
        task = dataset.manifest.task
        if task in found:
            raise ImageError(f"{found[task].path.name} and {path.name} are both for {task}")
        if task not in request.tasks:
            raise ImageError(
                f"{path.name} is for {task}, which is not trained: name it with --task"
            )
        check_fits_dataset(config, dataset)
        found[task] = dataset
    return found


def _pools(
    request: TrainingRequest,
    recipes: Mapping[str, TrainingRecipe],
    datasets: Mapping[str, StoredDataset],
    intensities: TruthScaling,
    watch: TrainingCallbacks,
) -> dict[str, Pool]:
    pools = {task: stored_pool(dataset, intensities) for task, dataset in datasets.items()}
    for task, recipe in recipes.items():
        if task in pools and not request.with_simulated:
            continue
        on_scene = partial(watch.on_scene, task)
        made = simulate_pool(task, recipe, request.seed, intensities, on_scene=on_scene)
        pools[task] = joined(pools[task], made) if task in pools else made
    return pools


def _for_simulated_images(network: Network, config: ReferenceConfig) -> Network:
    """The published light-field network has the planes of its own data; others stay."""
    made = TASKS[config.task].simulation
    if not made.views:
        return network
    return build(replace(config, options=(("planes", made.result_planes),)))


def freeze_others(network: Network, tasks: Sequence[str]) -> None:
    """Fix every weight that another task uses too, so that its pictures stay as they are.

    Nothing is fixed when all tasks are trained.
    """
    others = [task for task in multitask_parts() if task not in tasks]
    used = {key for task in others for key in kept_keys(network, task)}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in used)
