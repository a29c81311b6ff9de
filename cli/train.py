"""`unifmir train` and `unifmir evaluate`, on simulated images."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from rich.console import Console

    from unifmir.training.evaluation import Evaluation

Task = StrEnum("Task", {name: name for name in TASKS})  # type: ignore[misc]  # the one list of tasks; mypy reads only literal enums


class Loss(StrEnum):
    """Choices of --loss."""

    mixed = "mixed"
    l1 = "l1"


class Device(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def train(
    out: Annotated[Path, typer.Option(help="The trained model, .safetensors.")],
    tasks: Annotated[
        list[Task] | None,
        typer.Option(
            "--task", help="Repeatable, also to weight a task; all five if none is named."
        ),
    ] = None,
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
        Loss | None,
        typer.Option(help="mixed: 0.5 L1 + 0.5 L2, the default without --init. l1: with it."),
    ] = None,
    renew: Annotated[
        list[Task] | None,
        typer.Option(help="With --init: give this task's own layers random weights. Repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted training.")] = False,
    device: Annotated[
        Device, typer.Option(help="auto: a CUDA device if there is one.")
    ] = Device.auto,
    as_json: output.JsonFlag = False,
) -> None:
    """Train on simulated images: all five tasks in one model, or fine-tune some.

    Fine-tuning some tasks of a multi-task model leaves every weight that the others use as it is.
    """
    import torch
    from rich.progress import Progress, TimeRemainingColumn

    from unifmir import load
    from unifmir.errors import CheckpointError
    from unifmir.training.recipe import SMALL
    from unifmir.training.session import Request, Watch
    from unifmir.training.session import train as run

    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name}: the trained model is a .safetensors file; name it so")
    names = [task.value for task in tasks] if tasks else list(TASKS)
    if renew and init is None:
        raise CheckpointError("--renew changes the model given with --init, and none is given")
    cuda = torch.cuda.is_available()
    if device is Device.cuda and not cuda:
        raise CheckpointError("no CUDA device was found here; use --device cpu or auto")
    network = load(init, task=names[0] if len(names) == 1 else None) if init else None
    with Progress(*Progress.get_default_columns(), TimeRemainingColumn(), console=_stderr()) as bar:
        scenes = bar.add_task("simulating", total=sum(SMALL[name].scenes for name in set(names)))
        training = bar.add_task("training", total=steps)
        recent: dict[str, float] = {}

        def on_step(step: int, task: str, loss: float) -> None:
            recent[task] = 0.95 * recent.get(task, loss) + 0.05 * loss
            told = " ".join(f"{name} {value:.4f}" for name, value in recent.items())
            bar.update(training, completed=step, description=f"training {told}")

        request = Request(
            out=out,
            tasks=names,
            steps=steps,
            seed=seed,
            learning_rate=learning_rate,
            init=network,
            mixed_loss=None if loss is None else loss is Loss.mixed,
            renew=[task.value for task in renew or ()],
            resume=resume,
            device="cuda" if cuda and device is not Device.cpu else "cpu",
        )
        source = run(request, Watch(lambda _: bar.advance(scenes), on_step))
    document = {
        "path": out,
        "sha256": source.sha256,
        "size_bytes": source.size_bytes,
        "tasks": names,
        "steps": steps,
        "seed": seed,
    }
    text = f"{out}: {source.size_bytes / 1e6:.2f} MB, {steps} steps of {', '.join(names)}"
    output.print_result(document, text, as_json=as_json)


def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint file or zoo id.")],
    tasks: Annotated[
        list[Task] | None, typer.Option("--task", help="Repeatable; all it can do if none.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Held-out images per task.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the held-out images.")] = 0,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure a model on held-out simulated images, beside the simple methods of each task."""
    from rich.progress import Progress

    from unifmir import load
    from unifmir.training.evaluation import evaluate as run

    network = load(model)
    able = list(TASKS) if network.kind == "multitask" else [network.task]
    names = [task.value for task in tasks] if tasks else able
    with Progress(console=_stderr()) as bar:
        progress = bar.add_task("evaluating", total=images * len(names))
        results = [
            run(network, name, images=images, seed=seed, on_image=lambda: bar.advance(progress))
            for name in names
        ]
    document = {
        "model": network.source.name,
        "sha256": network.source.sha256,
        "tasks": {result.task: result.to_dict() for result in results},
    }
    output.print_result(document, _table(results), as_json=as_json)


def _table(results: "list[Evaluation]") -> str:
    rows = []
    for result in results:
        best = result.baselines[result.best_baseline]
        psnr, other = f"{result.model.psnr_db:.2f}", f"{best.psnr_db:.2f}"
        ssim = f"{result.model.ssim:.3f} / {best.ssim:.3f}"
        gain = f"{result.gain_db:+.2f}"
        rows.append((result.task, psnr, other, result.best_baseline, gain, ssim, result.images))
    columns = ("task", "PSNR dB", "simple", "best simple method", "gain", "SSIM", "images")
    return output.table(columns, rows)


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
