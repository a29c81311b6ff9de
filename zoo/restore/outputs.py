"""Files to restore, and the names of their results."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unifmir.errors import ImageError, OutputError, TooLittleMemoryError, UnifmirError
from unifmir.images.addresses import url_of
from unifmir.images.bioio import has_reader
from unifmir.images.file_names import IMAGE_SUFFIXES, image_stem, image_suffix
from unifmir.images.ome_sets import image_set
from unifmir.images.plates import fields_of, place_in_plate, place_in_zarr, zarr_at_address
from unifmir.images.zarr import is_zarr
from unifmir.output_place import PREFIX, InputPlaces, real_path, require_fitting_name
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    # Outputs are named, and images looked at, before torch is imported.
    from unifmir.images.base import Source
    from unifmir.restoration.executor import RestorationProgress

logger = logging.getLogger(__name__)

TIFF, ZARR = ".tif", ".ome.zarr"
"""Ends of names of results."""
KINDS = {"tiff": TIFF, "zarr": ZARR}
"""Choices of a format -> end of the name."""
WRITTEN = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".ome.zarr", ".zarr", ".png")
"""Ends of names of files that `out` may name."""
_AROUND = len(f"{PREFIX}.journal") + 16
"""Bytes that names beside a result have more, and those of locks."""
_NOT_WRITTEN = (".jpg", ".jpeg", ".h5", ".hdf5", ".npy", ".btf", ".ozx", ".zip")
PixelChoice = Literal["float32", "input"]
"""Pixels of results: real numbers, or those of the image, rounded."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to restore."""

    source: Path
    target: Path
    axes: str | None = None
    """Axes of the source, where the file says them wrongly or not at all."""
    series: int | None = None
    """Which image of a source that holds several."""
    channel: int | None = None
    """The only channel that is restored; None: all."""
    pixels: PixelChoice = "float32"

    def opened(self) -> "Source":
        """Open the source, to be read by regions; ImageError as `open_source`."""
        from unifmir.images.open_files import open_source

        return open_source(self.source, axes=self.axes, series=self.series, channel=self.channel)


OnProgress = Callable[[Job, "RestorationProgress"], None]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was not restored, and why. Nothing of it is left."""

    source: Path
    error: Exception

    @property
    def reason(self) -> str:
        """The reason, which names the file."""
        if isinstance(self.error, UnifmirError | OSError):
            return named(self.source, str(self.error))
        return f"{self.source}: failed with {type(self.error).__name__}: {self.error}"

    def to_error(self) -> Exception:
        """An error of the same kind whose message names the file."""
        if isinstance(self.error, UnifmirError):
            return type(self.error)(self.reason)
        if isinstance(self.error, MemoryError):
            told = f"{self.error}" or "none is left"
            return TooLittleMemoryError(
                named(self.source, f"{self.source.name}: the memory does not suffice ({told}). ")
                + "Close other programs, raise the limit (ulimit -v), or restore smaller tiles "
                "(--tile 256)"
            )
        return self.error

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"status": "refused", "input": str(self.source), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class WorkList:
    """All files that inputs name."""

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    """Files whose result exists."""
    refused: tuple[RefusedFile, ...] = ()

    @property
    def files(self) -> int:
        """Number of all of them."""
        return len(self.jobs) + len(self.skipped) + len(self.refused)

    def after(self, look: "WorkList") -> "WorkList":
        """The list once its jobs were looked at."""
        return WorkList(look.jobs, self.skipped, self.refused + look.refused)


def named(source: Path, message: str) -> str:
    """A message about a file, which names it by its path."""
    if str(source) in message:
        return message
    return f"{source}: {message.removeprefix(f'{source.name}: ')}"


def plan_jobs(
    inputs: Sequence[str],
    task: str,
    *,
    out: Path | None = None,
    kind: str | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    axes: str | None = None,
    series: int | None = None,
    channel: int | None = None,
    pixels: PixelChoice = "float32",
) -> WorkList:
    """Find the files that inputs name, and name their results.

    Parameters
    ----------
    inputs : sequence of str
        Files, OME-Zarr folders and addresses, folders of images, and patterns such as `*.tif`. A
        plate, or a well of one, stands for its fields; an OME-TIFF of several files is restored
        once.
    task : str
        Results are called NAME.TASK.tif or NAME.TASK.ome.zarr. Files that are called so are
        results themselves: in folders and patterns they are left out. Fields of a plate go to
        PLATE.TASK.ome.zarr, to the places they have in their plate.
    out : Path, optional
        Folder of the results, or the file (or plate) that is the result, told by its suffix; the
        folder of each source where not given, and the current one for addresses.
    kind : {"tiff", "zarr"}, optional
        As the source where not given; a PNG becomes a TIFF, whose pixels hold any intensity.
    overwrite : bool
        Replace results that exist.
    skip_existing : bool
        Leave out sources whose result exists.
    axes : str, optional
        Of the sources, where the files say them wrongly or not at all.
    series : int, optional
        Which image of sources that hold several; part of the result's name.
    channel : int, optional
        The only channel that is restored; part of the result's name.
    pixels : {"float32", "input"}
        Pixels of the results.

    Returns
    -------
    WorkList
        Refused are inputs that do not exist or hold no image, and images whose result exists, would
        be that of another too, or would replace a source.
    """
    refused: list[RefusedFile] = []
    found: list[Path] = []
    for text in inputs:
        try:
            found += find_images(text)
        except ImageError as error:
            refused.append(RefusedFile(Path(text), error))
    sources = _once_a_set(list(dict.fromkeys(found)))
    if out is not None and (suffix := _file_suffix(out)):
        _check_file(out, suffix, kind, sources)
        targets = [place_in_plate(path, out) or out for path in sources]
    else:
        targets = [
            output_path(path, task, out=out, kind=kind, series=series, channel=channel)
            for path in sources
        ]
    jobs = [
        Job(source, target, axes, series, channel, pixels)
        for source, target in zip(sources, targets, strict=True)
    ]
    skipped = [job for job in jobs if skip_existing and job.target.exists()]
    taken: dict[Path, Path] = {}
    places = InputPlaces(sources)
    kept = []
    for job in (job for job in jobs if job not in skipped):
        try:
            _check(job, places, taken, overwrite)
        except (ImageError, OutputError) as error:
            refused.append(RefusedFile(job.source, error))
        else:
            taken[real_path(job.target)] = job.source
            kept.append(job)
    return WorkList(tuple(kept), tuple(skipped), tuple(refused))


def find_images(text: str) -> list[Path]:
    """Find the images that one input names."""
    path = Path(text)
    if url_of(path) is not None:
        return [path]
    if "\0" in text:
        raise ImageError(f"{text}: no file has such a name")
    try:
        return _found(text, path)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ImageError(f"{text[:200]}: cannot be looked at: {error.strerror}") from error


def _found(text: str, path: Path) -> list[Path]:
    if path.is_dir() and not image_suffix(path.name) and not is_zarr(path):
        return _images(text, path.iterdir())
    if path.exists():
        return fields_of(path) or [path]
    pattern = any(character in text for character in "*?[")
    anchor = Path(path.anchor)
    matches = list(anchor.glob(str(path.relative_to(anchor)))) if pattern else []
    if not matches:
        what = "no file fits the pattern" if pattern else "no such file or folder"
        raise ImageError(f"{text}: {what}; expected TIFF, PNG or OME-Zarr images")
    return _images(text, matches)


def output_path(
    source: Path,
    task: str,
    *,
    out: Path | None = None,
    kind: str | None = None,
    series: int | None = None,
    channel: int | None = None,
) -> Path:
    """Path of the result of a source."""
    place = place_in_zarr(source)
    whole = zarr_at_address(source) if place is None else place.root
    suffix = image_suffix(whole.name) or whole.suffix
    stem = whole.name[: len(whole.name) - len(suffix)]
    in_zarr = place is not None or url_of(whole) is not None or _is_zarr_suffix(suffix)
    end = KINDS[kind] if kind else ZARR if in_zarr else TIFF
    beside = whole.parent if url_of(whole) is None else Path()
    folder = beside if out is None else out
    if end == ZARR and (field := place_in_plate(source, folder / f"{stem}.{task}{end}")):
        return field
    inside = source.relative_to(whole).parts if place is None else place.parts
    numbers = {"series": series, "channel": channel}
    chosen = [f"{word}{number}" for word, number in numbers.items() if number is not None]
    return folder / ".".join([stem, *inside, *chosen, f"{task}{end}"])


def _is_zarr_suffix(suffix: str) -> bool:
    return suffix == ".ozx" or ".zarr" in suffix


def _file_suffix(out: Path) -> str:
    """The suffix of a result that is named in full; empty for a folder."""
    lower = out.name.lower()
    if (url := url_of(out)) is not None:
        raise ImageError(f"results are written to files and folders, not to {url}")
    if out.is_dir() and not is_zarr(out):
        return ""
    if has_reader(out) or lower.endswith(_NOT_WRITTEN):
        raise ImageError(f"{out}: results are written as {', '.join(WRITTEN)}, not so")
    return next((one for one in WRITTEN if lower.endswith(one)), "")


def _check_file(out: Path, suffix: str, kind: str | None, sources: Sequence[Path]) -> None:
    """Refuse a result that is named in full for several images, or in another format."""
    made = "zarr" if suffix.endswith("zarr") else "tiff" if "tif" in suffix else "png"
    if kind is not None and kind != made:
        raise ImageError(f"{out} is the name of a {made} file: leave the format {kind} out")
    plates = {place.root if (place := place_in_zarr(one)) else one for one in sources}
    fields = all(place_in_plate(one, out) for one in sources) and made == "zarr"
    if len(plates) > 1 or (len(sources) > 1 and not fields):
        raise ImageError(
            f"{out} is the name of one file, and there are {len(sources)} images: name a folder"
        )


def _once_a_set(paths: Sequence[Path]) -> list[Path]:
    """Images without the further files of an OME-TIFF that lies in several."""
    if len(paths) < 2:
        return list(paths)
    kept: list[Path] = []
    first_of: dict[frozenset[Path], Path] = {}
    for path in paths:
        alone = frozenset({real_path(path)})
        files = image_set(path) if "tif" in image_suffix(path.name) else alone
        first = first_of.setdefault(files, path)
        if first is path:
            kept.append(path)
        else:
            logger.info("%s is a part of the image in %s, and restored with it", path, first)
    return kept


def is_result(path: Path) -> bool:
    """Whether a name is that of a result."""
    return Path(image_stem(path.name)).suffix.removeprefix(".") in TASKS


def journal_path(target: Path) -> Path:
    """Path of the journal of which tiles of a result are finished."""
    return target.with_name(f"{PREFIX}{target.name}.journal")


def _images(text: str, paths: Iterable[Path]) -> list[Path]:
    images = sorted(
        path
        for path in paths
        if image_suffix(path.name) and not path.name.startswith(".") and not is_result(path)
    )
    if not images:
        raise ImageError(
            f"{text}: no image that is not a result; their names end in {', '.join(IMAGE_SUFFIXES)}"
        )
    return [field for path in images for field in fields_of(path) or [path]]


def _check(job: Job, places: InputPlaces, taken: Mapping[Path, Path], overwrite: bool) -> None:
    require_fitting_name(job.target, _AROUND)
    target = real_path(job.target)
    if target in taken:
        raise ImageError(
            f"{taken[target].name} and {job.source.name} would both become {target.name}: "
            "restore them one by one, with another --out"
        )
    # A file of several that hold one image is an input too.
    parts = (
        image_set(job.source) if target.exists() and "tif" in image_suffix(job.source.name) else ()
    )
    try:
        places.require_other(job.target)
        InputPlaces(parts).require_other(job.target)
    except OutputError as error:
        raise ImageError(f"{job.source}: {error}") from error
    if target.exists() and not (target.is_file() or target.is_dir() or job.target.is_symlink()):
        raise ImageError(f"{job.source}: {target} is a pipe or device: choose another --out")
    if os.path.lexists(job.target) and not overwrite:
        raise ImageError(
            f"{job.source}: {job.target} exists: replace it (--overwrite), leave such images out "
            "(--skip-existing), or choose another --out"
        )
