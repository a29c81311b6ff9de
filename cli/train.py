"""`unifmir train`: a model, on prepared datasets or simulated images."""

from pathlib import Path
from typing import Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import DeviceChoice, IntensitiesChoice, LossChoice, TaskChoice
from unifmir.tasks import TASKS, multitask_parts


def train(
    out: Annotated[Path, typer.Option(help="The trained model, .safetensors.")],
    tasks: Annotated[
        list[TaskChoice] | None,
        typer.Option(
            "--task",
            help="Repeatable, also to weight a task. None: those of --data, or all five.",
        ),
    ] = None,
    datasets: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Dataset of `unifmir data prepare`, in place of simulated images. Repeatable.",
        ),
    ] = None,
    with_simulated: Annotated[
        bool, typer.Option(help="With --data: learn from simulated images of the task as well.")
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(help="Checkpoint or zoo id to start from; random weights if none."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps, over all tasks.")] = 8500,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the weights, the scenes and the patches.")
    ] = 0,
    learning_rate: Annotated[
        float | None, typer.Option(help="5e-5 (the paper's) with --init, 1e-3 without.")
    ] = None,
    loss: Annotated[
        LossChoice | None,
        typer.Option(help="mixed: 0.5 L1 + 0.5 L2, the default without --init. l1: with it."),
    ] = None,
    intensities: Annotated[
        IntensitiesChoice | None,
        typer.Option(
            help="Percentiles that scale a truth: own (the paper's; the result has no unit), or "
            "shared with its input (the result is in photons), the default without --init. With "
            "it: the model's."
        ),
    ] = None,
    renew: Annotated[
        list[TaskChoice] | None,
        typer.Option(help="With --init: give this task's own layers random weights. Repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted training.")] = False,
    device: Annotated[
        DeviceChoice, typer.Option(help="auto: a CUDA device if there is one.")
    ] = "auto",
    as_json: output.JsonFlag = False,
) -> None:
    """Train on your own pairs (--data) or on simulated images, anew or from a model (--init).

    Fine-tuning some tasks of a multi-task model leaves every weight that the others use as it is.
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    from unifmir import load
    from unifmir.checkpoint.header import recorded_configuration
    from unifmir.datasets.dataset_manifest import read_manifest
    from unifmir.errors import CheckpointError
    from unifmir.training.training_record import record_path
    from unifmir.training.training_run import TrainingCallbacks, TrainingRequest
    from unifmir.training.training_run import train as run

    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name}: the trained model is a .safetensors file; name it so")
    stored = list(dict.fromkeys(read_manifest(path).task for path in datasets or ()))
    names = [task.value for task in tasks] if tasks else stored or list(multitask_parts())
    if with_simulated and not datasets:
        raise CheckpointError("--with-simulated goes with --data: simulated images are the default")
    if renew and init is None:
        raise CheckpointError("--renew changes the model given with --init, and none is given")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise CheckpointError("no CUDA device was found here; use --device cpu or auto")
    network = load(init, task=names[0] if len(names) == 1 else None) if init else None
    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), TimeRemainingColumn(), console=console) as bar:
        simulated = set(names) if with_simulated else set(names) - set(stored)
        scenes = bar.add_task(
            "simulating", total=sum(TASKS[name].training.scenes for name in simulated)
        )
        training = bar.add_task("training", total=steps)
        recent: dict[str, float] = {}

        def on_step(step: int, task: str, loss: float) -> None:
            recent[task] = 0.95 * recent.get(task, loss) + 0.05 * loss
            told = " ".join(f"{name} {value:.4f}" for name, value in recent.items())
            bar.update(training, completed=step, description=f"training {told}")

        request = TrainingRequest(
            out=out,
            tasks=names,
            steps=steps,
            seed=seed,
            learning_rate=learning_rate,
            init=network,
            mixed_loss=None if loss is None else loss == "mixed",
            intensities=intensities,
            renew=[task.value for task in renew or ()],
            datasets=datasets or (),
            with_simulated=with_simulated,
            resume=resume,
            device="cuda" if cuda and device != "cpu" else "cpu",
        )
        source = run(request, TrainingCallbacks(lambda _: bar.advance(scenes), on_step))
    trained = recorded_configuration(out)
    document = {
        "path": out,
        "record": record_path(out),
        "sha256": source.sha256,
        "size_bytes": source.size_bytes,
        "tasks": names,
        "steps": steps,
        "seed": seed,
        "intensities": trained.intensities if trained else None,
    }
    text = f"{out}: {source.size_bytes / 1e6:.2f} MB, {steps} steps of {', '.join(names)}"
    if trained and any(TASKS[name].normalization.invertible for name in names):
        text += f", intensities {trained.intensities}"
    output.print_result(document, text, as_json=as_json)
