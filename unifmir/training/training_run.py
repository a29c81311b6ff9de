"""A whole training: gather images, train, save as it goes, and write the model at the end."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic
from types import FrameType

import torch

from unifmir.checkpoint.pruning import kept_keys, prune
from unifmir.checkpoint.saving import save
from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError, ImageError, NotHelpedError
from unifmir.file_locks import held
from unifmir.model import Provenance, build
from unifmir.networks.base import Network
from unifmir.networks.multitask import UniFMIR
from unifmir.networks.swin import BODY_PARTS, SwinBody
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TrainingRecipe, TruthScaling
from unifmir.training.adapters import add_adapters, merge_adapters
from unifmir.training.configuration import Frozen, TrainingConfig
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
from unifmir.training.schedule import CONFIGS, Schedule
from unifmir.training.self_supervision import Evidence, noisy_pools
from unifmir.training.trainer import Training, fitting_precision
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
    """A training: its configuration, and where it starts and ends."""

    out: Path
    """The model, safetensors; the state lies beside it until the training ends, then its record."""
    config: TrainingConfig
    init: Network | None = None
    """The model of `config.init`, loaded."""
    resume: bool = False
    device: str = "cpu"


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
    training, held_out = _prepared(request, watch)
    before = training.errors(training.network, held_out) if held_out else ()
    if request.resume and state.exists():
        training.resume(state)
    watch.on_begin(training.schedule.steps)
    began, started = monotonic(), training.step
    with _interrupted_between_steps(training) as stop:
        while training.step < training.schedule.steps:
            until = min(training.step + SAVE_EVERY, training.schedule.steps)
            training.run(until=until, on_step=watch.on_step)
            training.save(state)
            if training.stopping:
                stop()
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


def _prepared(request: TrainingRequest, watch: TrainingCallbacks) -> tuple[Training, Pool | None]:
    config = request.config
    torch.manual_seed(config.seed)
    network, fresh = _started(request)
    datasets = _datasets(config, network.config)
    tasks = tuple(config.tasks or datasets or tasks_of(network.config))
    for task in tasks:
        if task not in datasets or config.with_simulated:
            check_fits(network.config, task)
    # A noisy image that is its own truth is scaled as it is read.
    chosen: TruthScaling = "shared"
    if config.supervision == "pairs":
        chosen = chosen_intensities(
            config.intensities, network.config, tasks, datasets.values(), fresh=fresh
        )
    network.config = replace(network.config, intensities=chosen)
    recipes = {
        task: fitting_recipe(config.recipe(task), datasets[task])
        if task in datasets
        else config.recipe(task)
        for task in tasks
    }
    held_out = None
    if config.supervision == "pairs":
        pools = _pools(config, recipes, datasets, chosen, watch)
    else:
        pools, held_out = _noisy_pools(config, network, datasets)
    freeze(network, tasks, config.freeze)
    if config.adapters:
        add_adapters(network, config.adapters)
    network.to(request.device)
    precision = config.precision
    training = Training(
        network=network,
        pools=pools,
        recipes=recipes,
        schedule=Schedule(
            config.learning_rate,
            config.steps or _steps(config.epochs or 1, tasks, pools, recipes),
            config.schedule,
            config.halve_at,
        ),
        seed=config.seed,
        order=tasks,
        mixed_loss=config.loss == "mixed",
        precision=fitting_precision(request.device) if precision == "auto" else precision,
        supervision=config.supervision,
        datasets={task: dataset.sha256 for task, dataset in datasets.items()},
    )
    return training, held_out


def _noisy_pools(
    config: TrainingConfig, network: Network, datasets: Mapping[str, StoredDataset]
) -> tuple[dict[str, Pool], Pool]:
    """Images to learn from by their task, and held-out ones."""
    if not datasets:
        raise CheckpointError(
            "self-supervised training learns from a dataset of noisy images: name it (--data)"
        )
    (task, dataset), signature = next(iter(datasets.items())), network.config.signature
    if TASKS[task].shape.slices != "odd" or signature.volumetric or signature.enlarge != 1:
        raise CheckpointError(
            "learning from noisy images alone is for denoising plane by plane, and "
            f"{dataset.path.name} or the model is not"
        )
    repeats = config.supervision == "repeats"
    learned, held_out = noisy_pools(dataset, signature.channels, repeats=repeats)
    return {task: learned}, held_out


def _started(request: TrainingRequest) -> tuple[Network, bool]:
    """The network that is trained, with the weights it starts from, and whether they are random."""
    if request.init is None:
        return start_dark(build(CONFIGS[request.config.model])), True
    # Training is in place: the model that was given stays what a resumed one starts from, too.
    network = deepcopy(request.init)
    # A reference model that is named comes with random weights, and from no file.
    fresh = network.source is not None and not network.source.sha256
    whole = request.config.stage == "self-supervised" or request.config.adapters
    if whole and isinstance(network, UniFMIR):
        # One task's network alone is adapted whole; of all five, all others would change with it.
        return prune(network, request.config.tasks[0]), False
    if isinstance(network, UniFMIR):
        # A new network of its own size lends the layers to renew.
        lender = start_dark(build(network.config))
        assert isinstance(lender, UniFMIR)  # noqa: S101 - built from the same configuration
        renew(network, lender, request.config.renew)
    elif fresh and isinstance(network.config, ReferenceConfig):
        network = start_dark(_for_simulated_images(network, network.config))
    return network, fresh


def tasks_of(config: ModelConfig) -> list[str]:
    """Tasks of a network: its own, or all of a multi-task one."""
    return list(multitask_parts()) if isinstance(config, MultiTaskConfig) else [config.task]


def _steps(
    epochs: int,
    order: Sequence[str],
    pools: Mapping[str, Pool],
    recipes: Mapping[str, TrainingRecipe],
) -> int:
    """Steps in which as many patches are cut as there are pairs, that many times over."""
    rounds = {task: ceil(len(pools[task].images) / recipes[task].batch) for task in pools}
    # Tasks take turns: the one that needs the most turns decides.
    turns = max(rounds[task] / order.count(task) for task in pools)
    return ceil(epochs * turns) * len(order)


def _datasets(wanted: TrainingConfig, config: ModelConfig) -> dict[str, StoredDataset]:
    """The datasets by their tasks, held against the model.

    Raises
    ------
    ImageError
        Two are for one task, or one for a task that is not trained.
    """
    found: dict[str, StoredDataset] = {}
    for path in map(Path, wanted.data):
        dataset = StoredDataset(path)
        task = dataset.manifest.task
        if task in found:
            raise ImageError(f"{found[task].path.name} and {path.name} are both for {task}")
        if wanted.tasks and task not in wanted.tasks:
            raise ImageError(
                f"{path.name} is for {task}, which is not trained: name it with --task"
            )
        check_fits_dataset(config, dataset)
        found[task] = dataset
    return found


def _pools(
    config: TrainingConfig,
    recipes: Mapping[str, TrainingRecipe],
    datasets: Mapping[str, StoredDataset],
    intensities: TruthScaling,
    watch: TrainingCallbacks,
) -> dict[str, Pool]:
    pools = {task: stored_pool(dataset, intensities) for task, dataset in datasets.items()}
    for task, recipe in recipes.items():
        if task in pools and not config.with_simulated:
            continue
        on_scene = partial(watch.on_scene, task)
        made = simulate_pool(task, recipe, config.seed, intensities, on_scene=on_scene)
        pools[task] = joined(pools[task], made) if task in pools else made
    return pools


def _for_simulated_images(network: Network, config: ReferenceConfig) -> Network:
    """The published light-field network has the planes of its own data; others stay."""
    made = TASKS[config.task].simulation
    if not made.views:
        return network
    return build(replace(config, options=(("planes", made.result_planes),)))


def freeze(network: Network, tasks: Sequence[str], frozen: Frozen) -> None:
    """Fix the weights that are not to be trained.

    Parameters
    ----------
    network : Network
    tasks : sequence of str
        Those that are trained.
    frozen : {"nothing", "others", "body"}
        `others` of a multi-task model: every weight that another task uses too, so that its
        pictures stay as they are; nothing when all tasks are trained.
    """
    names = {name for name, _ in network.named_parameters()}
    fixed: set[str] = set()
    if frozen == "others" and isinstance(network.config, MultiTaskConfig):
        others = [task for task in multitask_parts() if task not in tasks]
        fixed = {key for task in others for key in kept_keys(network, task)}
    elif frozen == "body":
        fixed = {
            f"{prefix}.{name}".lstrip(".")
            for prefix, body in network.named_modules()
            if isinstance(body, SwinBody)
            for part in BODY_PARTS
            for name, _ in body.get_submodule(part).named_parameters(prefix=part)
        }
    if not names - fixed:
        raise CheckpointError("no weight is left to train: another `freeze` leaves some")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in fixed)
