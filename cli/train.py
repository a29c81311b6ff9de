"""`unifmir train`: a model, on prepared datasets or simulated images."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.cli.choices import (
    FreezeChoice,
    IntensitiesChoice,
    LossChoice,
    TaskChoice,
)
from unifmir.cli.commands import Command, CommandGroup
from unifmir.cli.training_progress import training_progress

if TYPE_CHECKING:
    from unifmir.training.configuration import Stage, TrainingConfig

app = typer.Typer(
    cls=CommandGroup,
    help="Train a model on your own pairs, or on simulated images.",
    no_args_is_help=True,
)

Out = Annotated[Path | None, typer.Option(help="File of the trained model, .safetensors; needed.")]
Config = Annotated[
    Path | None, typer.Option(help="Configuration, .toml or .json. Options overrule it.")
]
Preset = Annotated[
    str | None, typer.Option(help="Configuration of this name, as `unifmir train presets` lists.")
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the whole configuration, and train nothing.")
]
Tasks = Annotated[
    list[TaskChoice] | None,
    typer.Option(
        "--task",
        help="Repeatable, also to weight a task. If none: those of --data, or all of the model.",
    ),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="Dataset of `unifmir data prepare`, in place of simulated images. Repeatable.",
    ),
]
WithSimulated = Annotated[
    bool, typer.Option(help="With --data: learn from simulated images of the task as well.")
]
Init = Annotated[str | None, typer.Option(help="Checkpoint or zoo id to start from.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps, over all tasks.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of weights, scenes and patches.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate of Adam.")]
Loss = Annotated[
    LossChoice | None,
    typer.Option(
        help="mixed: L1 and L2. l1: L1 alone. cobi: features, for truths that are not aligned."
    ),
]
Intensities = Annotated[
    IntensitiesChoice | None,
    typer.Option(
        help="Percentiles that scale a truth: its own (as in the paper; results have no unit), or "
        "shared with its input (results are in the input's unit). From random weights: shared."
    ),
]
Renew = Annotated[
    list[TaskChoice] | None,
    typer.Option(help="Give this task's own layers random weights. Repeatable."),
]
Resume = Annotated[bool, typer.Option(help="Go on with an interrupted training.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=output.MOST_PROCESSES,
        help="Processes that simulate images beside this one; if not given one less than cores.",
    ),
]
Processes = Annotated[
    str,
    typer.Option(
        help="Processes that share the steps: a number, or auto, as many as cores or GPUs if a few "
        "steps show that to be faster. Those that torchrun starts count themselves."
    ),
]
LogDir = Annotated[
    Path | None, typer.Option(help="Folder of files for TensorBoard: losses, rate and pictures.")
]
PicturesEvery = Annotated[
    int, typer.Option(min=0, help="Steps between pictures of input, restored, truth. 0: none.")
]
DeviceName = Annotated[
    str, typer.Option(help="auto (a CUDA device if there is one), cpu, cuda:N or mps.")
]


@dataclass(frozen=True, slots=True)
class _Running:
    """Options that do not decide which weights a training gives."""

    resume: bool
    device: str
    processes: int | None
    """Number of processes; None: measured."""
    log_dir: Path | None
    pictures_every: int
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options that pretrain and finetune share, as they were given."""

    out: Path | None
    chosen: Path | str | None
    changes: dict[str, Any]
    how: _Running
    print_config: bool
    as_json: bool

    def run(self, stage: "Stage", **changes: Any) -> None:
        """Train, with a stage's own entries of the configuration too."""
        entries = {**self.changes, **_given(changes)}
        _run(stage, self.out, self.chosen, entries, self.how, self.print_config, self.as_json)


def _asked(
    out: Out = None,
    config: Config = None,
    preset: Preset = None,
    print_config: PrintConfig = False,
    tasks: Tasks = None,
    datasets: Data = None,
    with_simulated: WithSimulated = False,
    init: Init = None,
    steps: Steps = None,
    seed: Seed = None,
    learning_rate: Rate = None,
    loss: Loss = None,
    intensities: Intensities = None,
    renew: Renew = None,
    resume: Resume = False,
    workers: Workers = None,
    processes: Processes = "1",
    log_dir: LogDir = None,
    pictures_every: PicturesEvery = 0,
    device: DeviceName = "auto",
    as_json: output.JsonFlag = False,
) -> _Asked:
    changes = _given(
        {
            "tasks": tasks,
            "data": datasets,
            "with_simulated": with_simulated,
            "init": init,
            "steps": steps,
            "seed": seed,
            "learning_rate": learning_rate,
            "loss": loss,
            "intensities": intensities,
            "renew": renew,
        }
    )
    how = _Running(resume, device, _number(processes), log_dir, pictures_every, workers)
    return _Asked(out, _chosen(config, preset), changes, how, print_config, as_json)


def _with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `_asked`, whose result it is given, before its own."""
    shared = signature(_asked).parameters
    own = list(signature(command).parameters.values())[1:]

    @wraps(command)
    def called(**options: Any) -> None:
        asked = _asked(**{name: options.pop(name) for name in shared})
        command(asked, **options)

    # Typer reads the options off the signature.
    options = [*shared.values(), *own]
    called.__signature__ = Signature(options)  # type: ignore[attr-defined]  # as wraps sets others
    called.__annotations__ = {one.name: one.annotation for one in options}
    return called


@app.command(cls=Command)
@_with_shared_options
def pretrain(asked: _Asked) -> None:
    """Train all tasks together, from random weights or on from a model (--init).

    Without --config and --preset: the preset small-pretrain.
    """
    asked.run("pretrain")


@app.command(cls=Command)
@_with_shared_options
def finetune(
    asked: _Asked,
    freeze: Annotated[
        FreezeChoice | None,
        typer.Option(help="Weights to keep: none, what other tasks use too, or the shared body."),
    ] = None,
    adapters: Annotated[
        int | None,
        typer.Option(min=0, help="Rank of adapters (LoRA) of the body, merged at the end."),
    ] = None,
) -> None:
    """Train a model further, on your own pairs (--data) or on simulated images.

    Without --config and --preset: the preset small-finetune, which keeps every weight that the
    other tasks of the model use as it is.
    """
    asked.run("finetune", freeze=freeze, adapters=adapters)


@app.command("self-supervised", cls=Command)
def self_supervised(
    out: Out = None,
    config: Config = None,
    preset: Preset = None,
    print_config: PrintConfig = False,
    datasets: Data = None,
    repeats: Annotated[
        bool, typer.Option(help="The planes of an image are frames of one field of view.")
    ] = False,
    init: Init = None,
    steps: Steps = None,
    seed: Seed = None,
    learning_rate: Rate = None,
    resume: Resume = False,
    processes: Processes = "1",
    log_dir: LogDir = None,
    pictures_every: PicturesEvery = 0,
    device: DeviceName = "auto",
    as_json: output.JsonFlag = False,
) -> None:
    """Adapt a denoising model to noisy images alone (--data), and say whether that has helped.

    Without --config and --preset: the preset small-self-supervised. A model that restores held-out
    images no better than the one it started from is not written.
    """
    changes = _given(
        {
            "data": datasets,
            "supervision": "repeats" if repeats else None,
            "init": init,
            "steps": steps,
            "seed": seed,
            "learning_rate": learning_rate,
        }
    )
    how = _Running(resume, device, _number(processes), log_dir, pictures_every)
    _run("self-supervised", out, _chosen(config, preset), changes, how, print_config, as_json)


@app.command(cls=Command)
def presets(as_json: output.JsonFlag = False) -> None:
    """List the configurations that come with the package."""
    from unifmir.training.configuration import preset_names, preset_path, read_config

    found = {name: read_config(preset_path(name)) for name in preset_names()}
    lines = [f"{name:22} unifmir train {one.stage} --preset {name}" for name, one in found.items()]
    output.print_result(found, "\n".join(lines), as_json=as_json)


def _number(processes: str) -> int | None:
    from unifmir.errors import CheckpointError

    if processes == "auto":
        return None
    if not processes.isdecimal() or not 1 <= int(processes) <= output.MOST_PROCESSES:
        raise CheckpointError(
            f"--processes {processes:.80}: expected 1 to {output.MOST_PROCESSES}, or auto"
        )
    return int(processes)


def _chosen(config: Path | None, preset: str | None) -> Path | str | None:
    from unifmir.errors import CheckpointError

    if config and preset:
        raise CheckpointError("--config and --preset are two configurations: give one")
    return config or preset


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Entries of a configuration that were given as options; tasks and paths are text there."""
    return {
        name: [str(one) for one in value] if isinstance(value, list) else value
        for name, value in options.items()
        # By identity: a seed of 0 is given, although 0 equals False.
        if value is not None and value is not False and value != []
    }


def _read(stage: "Stage", chosen: Path | str | None, changes: dict[str, Any]) -> "TrainingConfig":
    """The configuration of a file or a preset, with the options' entries before its own."""
    from unifmir.errors import CheckpointError
    from unifmir.training.configuration import preset_path, read_config

    if not isinstance(chosen, Path):
        chosen = preset_path(chosen or f"small-{stage}")
    if "steps" in changes:
        changes = {**changes, "epochs": None}
    config = read_config(chosen, changes)
    if config.stage != stage:
        raise CheckpointError(
            f"{chosen.name} is for `unifmir train {config.stage}`, not for {stage}"
        )
    return config


def _run(
    stage: "Stage",
    out: Path | None,
    chosen: Path | str | None,
    changes: dict[str, Any],
    how: _Running,
    print_config: bool,
    as_json: bool,
) -> None:
    import torch

    from unifmir import load
    from unifmir.checkpoint.header import recorded_configuration
    from unifmir.devices import training_device
    from unifmir.errors import CheckpointError, NotHelpedError
    from unifmir.tasks import TASKS
    from unifmir.training.configuration import as_toml
    from unifmir.training.distribution import is_first
    from unifmir.training.schedule import CONFIGS
    from unifmir.training.training_record import read_training_record, record_path
    from unifmir.training.training_run import TrainingRequest, train
    from unifmir.training.training_setup import tasks_of
    from unifmir.zoo.catalogue.vgg_weights import vgg_features

    config = _read(stage, chosen, changes)
    if print_config:
        output.print_result(config, as_toml(config).rstrip(), as_json=as_json)
        return
    if out is None or out.suffix != ".safetensors":
        named = "say where the model goes" if out is None else f"{out.name}: not a model's name"
        raise CheckpointError(f"{named}; the trained model is a .safetensors file: --out NAME")
    device = training_device(how.device)
    tasks = _tasks(config)
    network = load(config.init, task=tasks[0] if len(tasks) == 1 else None) if config.init else None
    features = vgg_features(config.features) if config.loss == "cobi" else None
    tasks = tasks or tasks_of(network.config if network else CONFIGS[config.model])
    if device.is_cpu and "OMP_NUM_THREADS" not in os.environ:
        # Threads wait for each other, ruinously so where others compute; processes do not.
        torch.set_num_threads(1)
    request = TrainingRequest(
        *(out, config, network, how.resume, device.name, how.workers, features),
        *(how.processes, how.log_dir, how.pictures_every),
    )
    with training_progress(config, tasks, shown=is_first(how.processes or 2)) as watch:
        try:
            source = train(request, watch)
        except NotHelpedError as error:
            output.check_failed(str(error))
    if source is None:
        return  # not the first process
    trained = recorded_configuration(out)
    record = read_training_record(record_path(out))
    document = {
        "path": out,
        "record": record_path(out),
        "sha256": source.sha256,
        "size_bytes": source.size_bytes,
        "tasks": tasks,
        "steps": record.steps,
        "data": record.data,
        "intensities": trained.intensities if trained else None,
        "seed": config.seed,
    }
    size = output.megabytes(source.size_bytes)
    text = f"{out}: {size}, {', '.join(tasks)}, steps: {record.steps}"
    if trained and any(TASKS[name].normalization.invertible for name in tasks):
        text += f", intensities: {trained.intensities}"
    output.print_result(document, text, as_json=as_json)


def _tasks(config: "TrainingConfig") -> list[str]:
    """Tasks of a configuration: its own, or those of its datasets; none: all of the model."""
    from unifmir.datasets.dataset_manifest import read_manifest

    return config.tasks or list(dict.fromkeys(read_manifest(Path(p)).task for p in config.data))
