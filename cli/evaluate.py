"""`unifmir evaluate`: a model on held-out simulated images."""

from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import TaskChoice
from unifmir.tasks import multitask_parts
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.training.evaluation import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint file or zoo id.")],
    tasks: Annotated[
        list[TaskChoice] | None, typer.Option("--task", help="Repeatable; all it can do if none.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Held-out images per task.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the held-out images.")] = 0,
    untrained: output.UntrainedFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure a model on held-out simulated images, beside the simple methods of each task."""
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.training.evaluation import evaluate as run
    from unifmir.zoo.catalogue.load import load_trained

    network = load_trained(model, untrained=untrained)
    able = list(multitask_parts()) if network.kind == "multitask" else [network.task]
    names = [task.value for task in tasks] if tasks else able
    with Progress(console=Console(stderr=True)) as bar:
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
    from unifmir.metrics import METRICS
    from unifmir.metrics.base import FIT

    rows = []
    for result in results:
        best = result.baselines[result.best_baseline]
        for name, metric in METRICS.items():
            pair = [f"{one[name]:.{metric.decimals}f}" for one in (result.model, best)]
            rows.append((result.task, metric.heading, *pair, result.best_baseline))
    columns = ("task", "metric", "model", "simple", "best simple method")
    gains = ", ".join(f"{result.task} {result.gain_db:+.2f} dB" for result in results)
    images = results[0].images
    return (
        f"{aligned(columns, rows)}\n\nfitted: after {FIT}; unfitted: before, with intensities as "
        f"`--intensity percentile` brings them back. {images} images a task. Gain in fitted PSNR "
        f"over the best simple method: {gains}"
    )
