"""Files to restore, and the names of their results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unifmir.atomic import PREFIX
from unifmir.errors import ImageError
from unifmir.images.zarr import is_zarr
from unifmir.restoration.executor import RestorationProgress
from unifmir.tasks import TASKS

IMAGE_SUFFIXES = (
    ".ome.zarr",
    ".ome.tiff",
    ".ome.tif",
    ".zarr",
    ".tiff",
    ".tif",
    ".btf",
    ".png",
)
"""Ends of names of images in folders and patterns, the longer before those they end in."""
TIFF, ZARR = ".tif", ".ome.zarr"
"""Ends of names of results."""
KINDS = {"tiff": TIFF, "zarr": ZARR}
"""Choices of a format -> end of the name."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to restore."""

    source: Path
    target: Path
    axes: str | None = None
    """Axes of the source, where the file says them wrongly or not at all."""


OnProgress = Callable[[Job, RestorationProgress], None]


def plan_jobs(
    inputs: Sequence[str],
    task: str,
    *,
    out: Path | None = None,
    kind: str | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    axes: str | None = None,
) -> list[Job]:
    """Find the files that inputs name, and name their results.

    Parameters
    ----------
    inputs : sequence of str
        Files, OME-Zarr folders, folders of images, and patterns such as `*.tif`.
    task : str
        Results are called NAME.TASK.tif or NAME.TASK.ome.zarr. Files that are called so are
        results themselves: in folders and patterns they are left out.
    out : Path, optional
        Folder of the results; that of each source where not given.
    kind : {"tiff", "zarr"}, optional
        As the source where not given; a PNG becomes a TIFF, whose pixels hold any intensity.
    overwrite : bool
        Replace results that exist.
    skip_existing : bool
        Leave out sources whose result exists.
    axes : str, optional
        Of the sources, where the files say them wrongly or not at all.

    Raises
    ------
    ImageError
        An input does not exist or holds no image, a result exists, two would have one name, or a
        result would replace a source.
    """
    sources = list(dict.fromkeys(path for text in inputs for path in find_images(text)))
    jobs = [Job(path, output_path(path, task, out=out, kind=kind), axes) for path in sources]
    if skip_existing:
        jobs = [job for job in jobs if not job.target.exists()]
    _check(jobs, overwrite)
    return jobs


def find_images(text: str) -> list[Path]:
    """Find the images that one input names."""
    path = Path(text)
    if path.is_dir() and not image_suffix(path) and not is_zarr(path):
        return _images(text, path.iterdir())
    if path.exists():
        return [path]
    pattern = any(character in text for character in "*?[")
    anchor = Path(path.anchor)
    matches = list(anchor.glob(str(path.relative_to(anchor)))) if pattern else []
    if not matches:
        what = "no file fits the pattern" if pattern else "no such file or folder"
        raise ImageError(f"{text}: {what}; expected TIFF, PNG or OME-Zarr images")
    return _images(text, matches)


def output_path(
    source: Path, task: str, *, out: Path | None = None, kind: str | None = None
) -> Path:
    """Path of the result of a source."""
    suffix = image_suffix(source) or source.suffix
    stem = source.name[: len(source.name) - len(suffix)]
    end = KINDS[kind] if kind else ZARR if suffix.endswith("zarr") else TIFF
    return (source.parent if out is None else out) / f"{stem}.{task}{end}"


def image_suffix(path: Path) -> str:
    """The end of an image's name; empty if it is none of `IMAGE_SUFFIXES`."""
    lower = path.name.lower()
    return next((one for one in IMAGE_SUFFIXES if lower.endswith(one)), "")


def is_result(path: Path) -> bool:
    """Whether a name is that of a result."""
    stem = path.name[: len(path.name) - len(image_suffix(path))]
    return Path(stem).suffix.removeprefix(".") in TASKS


def journal_path(target: Path) -> Path:
    """Path of the journal of which tiles of a result are finished."""
    return target.with_name(f"{PREFIX}{target.name}.journal")


def _images(text: str, paths: Iterable[Path]) -> list[Path]:
    images = sorted(
        path
        for path in paths
        if image_suffix(path) and not path.name.startswith(".") and not is_result(path)
    )
    if not images:
        raise ImageError(
            f"{text}: no image that is not a result; their names end in {', '.join(IMAGE_SUFFIXES)}"
        )
    return images


def _check(jobs: Sequence[Job], overwrite: bool) -> None:
    sources = {job.source.resolve() for job in jobs}
    seen: dict[Path, Path] = {}
    for source, target in ((job.source, job.target.resolve()) for job in jobs):
        if target in seen:
            raise ImageError(
                f"{seen[target].name} and {source.name} would both become {target.name}: "
                "restore them one by one, with another --out"
            )
        seen[target] = source
        if target in sources:
            raise ImageError(f"the result of {source} would replace it; choose another --out")
        if target.exists() and not overwrite:
            raise ImageError(
                f"{target} exists: replace it (--overwrite), leave such images out "
                "(--skip-existing), or choose another --out"
            )
