"""Bars of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unifmir.training.configuration import TrainingConfig
    from unifmir.training.training_run import TrainingCallbacks


@contextmanager
def training_progress(
    config: "TrainingConfig", tasks: list[str], *, shown: bool
) -> "Iterator[TrainingCallbacks]":
    """Bars of the simulation and of the steps, with the running mean of each task's loss."""
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    from unifmir.datasets.dataset_manifest import read_manifest
    from unifmir.training.training_run import TrainingCallbacks

    stored = set() if config.with_simulated else {read_manifest(Path(p)).task for p in config.data}
    total = sum(config.recipe(name).scenes for name in set(tasks) - stored)
    recent: dict[str, float] = {}
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not shown) as bar:
        scenes = bar.add_task("simulating", total=total, visible=total > 0)
        training = bar.add_task("training", total=config.steps)

        def on_step(step: int, task: str, loss: float) -> None:
            recent[task] = 0.95 * recent.get(task, loss) + 0.05 * loss
            told = " ".join(f"{name} {value:.4f}" for name, value in recent.items())
            bar.update(training, completed=step, description=f"training {told}")

        def on_begin(steps: int) -> None:
            bar.update(training, total=steps)

        def on_processes(count: int, gain: float) -> None:
            chosen = f"{count} processes train" if gain > 1 else "one trains alone"
            bar.console.print(f"{count} processes are {gain:.2f} times as fast as one: {chosen}")

        yield TrainingCallbacks(lambda _: bar.advance(scenes), on_step, on_begin, on_processes)
