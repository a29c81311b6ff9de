"""Files of a dataset as images of pairs: image files, and csbdeep's training files of both."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from unifmir.datasets.pair_image import PairImage
from unifmir.datasets.pairing import FoundPair
from unifmir.datasets.training_archive import opened_training_archive
from unifmir.hashing import sha256_of
from unifmir.images.base import Source
from unifmir.images.open_files import open_source
from unifmir.tasks.base import TaskSpec


@dataclass(frozen=True, slots=True)
class OpenPair:
    """The two images of a pair while their files are open."""

    input: PairImage
    truth: PairImage | None
    normalised: bool
    """Whether the file holds images that are normalised already, as csbdeep's do."""


@contextmanager
def opened_pair(
    folder: Path,
    pair: FoundPair,
    task: TaskSpec,
    *,
    channel: int | None,
    scratch: Path,
    series: int | None = None,
) -> Iterator[OpenPair]:
    """Open the files of a pair.

    Parameters
    ----------
    folder : Path
        The folder that the pair's paths lie below.
    pair : FoundPair
    task : TaskSpec
    channel : int, optional
    scratch : Path
        Folder for what a compressed training file holds, meanwhile.
    series : int, optional
        Which image of files that hold several, from 0.

    Raises
    ------
    ImageError
        A file is no image, or is damaged; or its axes are not the task's.
    """
    rule = pair.rule
    truth_axes = rule.truth_axes or rule.axes
    with ExitStack() as stack:

        def fitting(source: Source, axes: str, *, averaged: bool = False) -> PairImage:
            stack.callback(source.close)
            found = PairImage(source, axes, channel, averaged)
            found.require_fitting()
            return found

        if pair.holds_both:
            first, second = stack.enter_context(
                opened_training_archive(folder / pair.input, scratch, axes=rule.axes)
            )
            yield OpenPair(
                fitting(first, task.input_axes), fitting(second, task.output_axes), normalised=True
            )
            return
        image = fitting(
            open_source(folder / pair.input, axes=rule.axes, series=series),
            task.input_axes,
            averaged=rule.averaged,
        )
        truth = None
        if pair.truth is not None:
            truth = fitting(
                open_source(folder / pair.truth, axes=truth_axes, series=series), task.output_axes
            )
        yield OpenPair(image, truth, normalised=False)


def content_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the names and hashes of all files below it."""
    if not path.is_dir():
        return sha256_of(path)
    digest = hashlib.sha256()
    for one in sorted(path.rglob("*")):
        if one.is_file():
            digest.update(f"{one.relative_to(path).as_posix()}\0{sha256_of(one)}\n".encode())
    return digest.hexdigest()
