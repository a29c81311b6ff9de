"""Set-up of a training from its configuration: network, images, recipes, what is trained."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import ceil
from pathlib import Path

import torch

from unifmir.checkpoint.pruning import kept_keys, prune
from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError, ImageError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.networks.swin import BODY_PARTS, SwinBody
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import TrainingRecipe, TruthScaling
from unifmir.training.adapters import add_adapters
from unifmir.training.configuration import Frozen, TrainingConfig
from unifmir.training.distribution import TrainingProcesses, fitting_precision
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
from unifmir.training.self_supervision import noisy_pools
from unifmir.training.trainer import Training
from unifmir.training.truth_scaling import chosen_intensities
from unifmir.training.vgg_features import VggFeatures


def set_up(
    config: TrainingConfig,
    init: Network | None,
    device: str,
    features: VggFeatures | None = None,
    count: int = 1,
) -> tuple[Training, Pool | None]:
    """A training before its first step, and held-out images where it has no truths.

    Parameters
    ----------
    config : TrainingConfig
    init : Network, optional
        The model of `config.init`, loaded.
    device : str
        A name of `unifmir.devices` on which networks are trained.
    features : VggFeatures, optional
        The network of `config.features`, loaded, for the loss `cobi`.
    count : int
        Processes that share the steps, which are not launched here.

    Raises
    ------
    CheckpointError
        The model does not fit the tasks or the images, or no weight is left to train.
    ImageError
        The datasets do not fit the tasks.
    """
    torch.manual_seed(config.seed)
    network, fresh = _started(config, init)
    datasets = _datasets(config, network.config)
    tasks = tuple(config.tasks or datasets or tasks_of(network.config))
    for task in tasks:
        if task not in datasets or config.with_simulated:
            check_fits(network.config, task)
    if config.loss == "cobi":
        _check_compared(network.config, tasks, features)
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
        pools = _pools(config, recipes, datasets, chosen)
    else:
        pools, held_out = _noisy_pools(config, network, datasets)
    freeze(network, tasks, config.freeze)
    if config.adapters:
        add_adapters(network, config.adapters)
    precision = fitting_precision(device) if config.precision == "auto" else config.precision
    processes = TrainingProcesses(device, precision, count)
    network.to(processes.fabric.device)
    training = Training(
        network=network,
        pools=pools,
        recipes=recipes,
        schedule=Schedule(
            config.learning_rate,
            config.steps or _steps(config.epochs or 1, tasks, pools, recipes),
            config.schedule,
            config.halve_at,
            config.warm_up,
        ),
        seed=config.seed,
        order=tasks,
        features=None if features is None else features.to(processes.fabric.device),
        mixed_loss=config.loss == "mixed",
        processes=processes,
        accumulate=config.accumulate,
        clip_norm=config.clip_norm,
        average_decay=config.average_decay,
        supervision=config.supervision,
        datasets={task: dataset.sha256 for task, dataset in datasets.items()},
    )
    return training, held_out


def _check_compared(
    config: ModelConfig, tasks: Sequence[str], features: VggFeatures | None
) -> None:
    """Refuse results that are no planes, and features that nobody gave."""
    if features is None:
        raise CheckpointError("the loss `cobi` compares features: give set_up some")
    for task in tasks:
        single = config.single(task) if isinstance(config, MultiTaskConfig) else config
        if single.signature.out_channels != 1 or single.signature.volumetric_output:
            raise CheckpointError(
                f"the loss `cobi` compares planes, and the model's results for {task} are "
                "stacks: train it with --loss l1, and other tasks (--task) with cobi"
            )


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


def _started(config: TrainingConfig, init: Network | None) -> tuple[Network, bool]:
    """The network that is trained, with the weights it starts from, and whether they are random."""
    if init is None:
        return start_dark(build(CONFIGS[config.model])), True
    # Training is in place: the model that was given stays what a resumed one starts from, too.
    network = deepcopy(init)
    # A reference model that is named comes with random weights, and from no file.
    fresh = network.source is not None and not network.source.sha256
    if isinstance(network.config, MultiTaskConfig):
        # A new network of its own size lends the layers to renew.
        renew(network, start_dark(build(network.config)), config.renew)
        # What tasks share is changed by learning one of them, and its results alone are good after.
        shared = network.config.sharing == "body" and config.freeze == "nothing"
        alone = config.stage == "finetune" and shared and len(set(config.tasks)) == 1
        if alone or config.stage == "self-supervised" or config.adapters:
            return prune(network, config.tasks[0]), False
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
    rounds = {task: ceil(len(pools[task]) / recipes[task].batch) for task in pools}
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
) -> dict[str, Pool]:
    pools = {task: stored_pool(dataset, intensities) for task, dataset in datasets.items()}
    for task, recipe in recipes.items():
        if task in pools and not config.with_simulated:
            continue
        made = simulate_pool(task, recipe, config.seed, intensities)
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
