"""Hostile images: how one is given to what restores files, and when what was served is a lie."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.hostile import Case, Room
from tests.helpers.restoration_cases import SMALL
from unifmir.images import open_source, whole_region
from unifmir.images.base import Region
from unifmir.restoration.base import Predictor
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.files import restore_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import plan_jobs
from unifmir.zoo.restore.preflight import sort_out

LARGE = 2**22
"""Pixels beyond which an image is looked at, and not restored: that would be work, no hang."""
TASK = "denoise"


@dataclass(frozen=True)
class ImageCase(Case):
    """One hostile image.

    `pixels` is what is right where it is served, axes of length 1 left out, and None where nothing
    is; `corner` is that of the first pixels alone, of images that are large by right.
    """

    pixels: NDArray[Any] | None = None
    corner: NDArray[Any] | None = None


def refused(name: str, write: Callable[[Room], Any]) -> ImageCase:
    """A case of which nothing may be served."""
    return ImageCase(name, write)


def right(name: str, write: Callable[[Room], Any], pixels: NDArray[Any]) -> ImageCase:
    """A case that may be refused, or served with these pixels."""
    return ImageCase(name, write, pixels)


def stand_in() -> Predictor:
    """A network that changes nothing: what is attacked is the reading."""
    return Predictor(lambda image: image, replace(SMALL.single(TASK), in_channels=1))


def give(path: Path, room: Room) -> dict[str, NDArray[Any]]:
    """Take an image the way `unifmir restore` does, and read all of it that is not too much."""
    predictor = stand_in()
    options = Options(tile=64, halo=16)
    work = plan_jobs([str(path)], TASK, out=room.out)
    # A file that says no configuration: looking for one takes longer than the image does.
    choice = ModelChoice(model=Path(__file__), task=TASK)
    work = work.after(sort_out(work.jobs, TASK, choice, options))
    if work.refused:
        raise work.refused[0].to_error()
    served = {}
    for job in work.jobs:
        source = open_source(job.source)
        try:
            if math.prod(source.shape) > LARGE:
                source.read(_last(source.shape))
                served["corner"] = source.read(_first(source.shape)).squeeze()
                continue
            served["pixels"] = source.read(whole_region(source.shape)).squeeze()
        finally:
            source.close()
        restore_file(job, predictor, options)
        result = open_source(job.target)
        restored = result.read(whole_region(result.shape)).squeeze()
        result.close()
        if restored.shape != served["pixels"].shape:
            served["restored"] = restored
    return served


def _first(shape: tuple[int, ...]) -> Region:
    t, c, z, y, x = (
        slice(0, min(length, n)) for length, n in zip(shape, (1, 1, 1, 8, 8), strict=True)
    )
    return t, c, z, y, x


def _last(shape: tuple[int, ...]) -> Region:
    t, c, z, y, x = (
        slice(max(0, length - n), length) for length, n in zip(shape, (1, 1, 1, 8, 8), strict=True)
    )
    return t, c, z, y, x


def lie(case: Case, served: dict[str, NDArray[Any]]) -> str | None:
    """Why what was served is wrong; None where it is the case's own pixels."""
    assert isinstance(case, ImageCase)
    if "restored" in served:
        return f"restored as {served['restored'].shape}"
    for name, expected in (("pixels", case.pixels), ("corner", case.corner)):
        found = served.get(name)
        if found is None:
            continue
        if expected is None:
            return f"served: {found.shape} {found.dtype}, {found.ravel()[:4]}"
        if found.shape != np.squeeze(expected).shape:
            return f"served {found.shape}, expected {np.squeeze(expected).shape}"
        if not np.array_equal(found, np.squeeze(expected)):
            return f"served {found.ravel()[:4]}, expected {expected.ravel()[:4]}"
    return None


def kept_path(write: Callable[[Path], Any], name: str) -> Callable[[Room], Path]:
    """A function that writes a file of this name in a room's folder of given files."""

    def written(room: Room) -> Path:
        path = room.given / name
        write(path)
        return path

    return written


def special_files(name: str, template: bytes) -> list[ImageCase]:
    """What stands under an image's name and is no regular file."""

    def fifo(room: Room) -> Path:
        os.mkfifo(room.given / name)
        return room.given / name

    def folder(room: Room) -> Path:
        (room.given / name).mkdir()
        return room.given / name

    def linked(target: str) -> Callable[[Room], Path]:
        def write(room: Room) -> Path:
            (room.given / name).symlink_to(target)
            return room.given / name

        return write

    def long_name(room: Room) -> Path:
        return room.given / ("a" * 300 + name)

    def below_a_file(room: Room) -> Path:
        (room.given / name).write_bytes(template)
        return room.given / name / name

    return [
        refused("a named pipe", fifo),
        refused("a folder", folder),
        refused("a link to /dev/zero", linked("/dev/zero")),
        refused("a link to /dev/full", linked("/dev/full")),
        refused("a link to itself", linked(name)),
        refused("a link to nothing", linked("nothing")),
        refused("a link to the file of another", linked("../victim/precious.txt")),
        refused("a link to a process's memory", linked("/proc/self/mem")),
        refused("a name of 300 letters", long_name),
        refused("a file below a file", below_a_file),
        refused("an empty file", kept_path(lambda path: path.touch(), name)),
        refused("a name with a null", lambda room: room.given / f"a\0{name}"),
    ]
