"""Monitors of a training: TensorBoard's files, and pictures beside the model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unifmir.errors import MissingExtraError
from unifmir.images.png import write_grey
from unifmir.training.pictures import picture
from unifmir.training.pool import Pool
from unifmir.training.trainer import Training

PICTURES_SUFFIX = ".pictures"
"""End of the name of the folder of pictures beside a model."""


class TrainingMonitor:
    """Losses, rate and pictures of a training, written as its steps are taken.

    Parameters
    ----------
    training : Training
    writer : SummaryWriter, optional
        Of TensorBoard's files; None: there are none.
    folder : Path
        Where pictures go.
    pairs : mapping from task to Pool
        What they show.
    every : int
        Steps between them.
    """

    def __init__(
        self,
        training: Training,
        writer: Any,
        folder: Path,
        pairs: Mapping[str, Pool],
        every: int,
    ) -> None:
        self._training, self._writer = training, writer
        self._folder, self._pairs, self._every = folder, pairs, every

    def on_step(self, step: int, task: str, loss: float) -> None:
        """Write what a step has given, and pictures where it is their turn."""
        if self._writer:
            rate = self._training.schedule.rate(step - 1)
            self._writer.add_scalar(f"loss/{task}", loss, step)
            self._writer.add_scalar("learning_rate", rate, step)
        if self._pairs and (step % self._every == 0 or step == self._training.schedule.steps):
            for name, pairs in self._pairs.items():
                self._show(step, name, pairs)

    def _show(self, step: int, task: str, pairs: Pool) -> None:
        shown = picture(self._training, pairs)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_grey(self._folder / f"{task}-{step:07}.png", shown)
        if self._writer:
            self._writer.add_image(f"input_restored_truth/{task}", shown, step, dataformats="HW")


@contextmanager
def tensorboard_writer(folder: Path | None, step: int) -> Iterator[Any]:
    """A writer of TensorBoard's files that goes on at a step; None without a folder.

    Yields
    ------
    SummaryWriter, optional

    Raises
    ------
    MissingExtraError
        tensorboardX is not installed.
    """
    if folder is None:
        yield None
        return
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "--log-dir needs tensorboardX: pip install 'unifmir[train]'"
        ) from error
    # What was written of later steps, before a stop, is hidden.
    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    try:
        yield writer
    finally:
        writer.close()
