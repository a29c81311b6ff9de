"""Lint of a package: rules of the zoo and its consumers that the library does not check."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.checkpoint.model_package import read_description
from unifmir.errors import ArchiveError, CheckpointError, ExportError
from unifmir.export.formats.bioimageio import lint_weights
from unifmir.export.formats.bioimageio.cover import LIMIT_BYTES
from unifmir.export.formats.bioimageio.lint_weights import Problem, Severity
from unifmir.export.formats.bioimageio.rdf import RDF
from unifmir.export.formats.bioimageio.score import axes_order
from unifmir.export.formats.bioimageio.tensors import SMALLEST_MAXIMUM
from unifmir.json_values import JsonOutput
from unifmir.zip_archive import Archive, opened_zip

_NAME = re.compile(r"[A-Za-z0-9_+\-() ]{5,64}")
_DOI = re.compile(r"10\.[0-9]{4}.+")
_LATER_FIELDS = {"strict", "pad", "output_of"}
"""Fields that came after format 0.5.7 (found by running core 0.9.6)."""
_HEADINGS = ("## Description", "## Intended Use", "## Validation", "## Citation")
_DIMENSIONS = {"2d", "3d"}
_TASKS = {"denoising", "super-resolution", "image-restoration", "image-reconstruction"}
_MALFORMED = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    SyntaxError,  # of the architecture file
    RecursionError,
)
_MODALITIES = {"fluorescence-light-microscopy", "super-resolution-microscopy"}


@dataclass(frozen=True, slots=True)
class LintFinding(JsonOutput):
    """One broken rule."""

    severity: Severity
    """`error`: the package must not be published; `warning`: it loses reach or score."""
    where: str
    """Field of the description or file."""
    message: str


@dataclass(frozen=True, slots=True)
class Package:
    """A package's description and files in memory."""

    rdf: dict[str, Any]
    files: Mapping[str, bytes]


class _Members(Mapping[str, bytes]):
    """Files of an open archive, read each time they are asked for: together they may be large."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __getitem__(self, name: str) -> bytes:
        if name not in self._archive.members:
            raise KeyError(name)
        return self._archive.read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._archive.members

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.members)

    def __len__(self) -> int:
        return len(self._archive.members)


def lint(path: Path) -> tuple[LintFinding, ...]:
    """Check a package against the whole list.

    Parameters
    ----------
    path : Path
        The zip.

    Returns
    -------
    tuple of LintFinding
        Empty if nothing is wrong.
    """
    with _opened(path) as (archive, rdf):
        package = Package(rdf, _Members(archive))
        return tuple(LintFinding(*problem) for problem in problems(package))


def problems(package: Package) -> Iterator[Problem]:
    """Broken rules, and checks that a malformed description does not get through."""
    for check in CHECKS:
        try:
            yield from check(package)
        except _MALFORMED as error:
            what = check.__name__.removeprefix("check_")
            told = f"{type(error).__name__}: {str(error)[:200]}"
            yield "error", RDF, f"malformed, its {what} cannot be checked ({told})"


def read_package(path: Path) -> Package:
    """Description and files of a package; ExportError if it is no zip with a readable rdf.yaml."""
    with _opened(path) as (archive, rdf):
        return Package(rdf, {name: archive.read(name) for name in archive.members})


def read_rdf(path: Path) -> dict[str, Any]:
    """Description of a package alone; ExportError as for `read_package`."""
    with _opened(path) as (_, rdf):
        return rdf


def unpack_file(path: Path, name: str, target: Path) -> None:
    """Write one file of a package; ExportError as for `read_package`, or if there is none."""
    with _opened(path) as (archive, _):
        if name not in archive.members:
            raise ExportError(
                f"{path.name}: it has no {name}, which is what would be run; get it again, or "
                "export the model again"
            )
        archive.unpack(name, target)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Archive, dict[str, Any]]]:
    """A package's archive and description."""
    try:
        with opened_zip(path) as archive:
            yield archive, read_description(archive, RDF)
    except (ArchiveError, CheckpointError) as error:
        raise ExportError(f"{path.name}: expected a zip with a readable {RDF}: {error}") from error


def referenced_files(rdf: Mapping[str, Any]) -> dict[str, str]:
    """Declared sha256 (or nothing) by name of every file the description refers to."""
    found: dict[str, str] = {}

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            source = value.get("source")
            if isinstance(source, str) and "://" not in source:
                found[source] = str(value.get("sha256", ""))
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    # `config` is free: a `source` in it names anything.
    visit({key: value for key, value in rdf.items() if key != "config"})
    for name in [rdf.get("documentation"), *rdf.get("covers", [])]:
        if isinstance(name, str):
            found[name] = ""
    return found


def check_text(package: Package) -> Iterator[Problem]:
    """Name, description, citation, licence."""
    rdf = package.rdf
    if not _NAME.fullmatch(str(rdf.get("name", ""))):
        yield "error", "name", "5 to 64 letters, digits, spaces and _ + - ( ) are allowed"
    if not 50 <= len(str(rdf.get("description", ""))) <= 512:
        yield "warning", "description", "should have 50 to 512 characters"
    if not any(_DOI.fullmatch(c.get("doi") or "") for c in rdf.get("cite") or []):
        yield "error", "cite", "no entry has a DOI of the form 10.1234/..."
    for field in ("version", "timestamp"):
        if rdf.get(field) is None:
            yield "error", field, "missing"
    if rdf.get("license") is None:
        # The format allows it; `unifmir publish` does not.
        yield "warning", "license", "none is known, so nobody may share the model: --licence SPDX"
    elif not isinstance(rdf["license"], str):
        yield "error", "license", "must be an SPDX identifier: Fiji and QuPath read no file there"
    if not rdf.get("git_repo"):
        yield "warning", "git_repo", "nobody finds the code: --repository ADDRESS"
    if rdf.get("id"):
        yield "error", "id", "must be unset: the zoo gives it, and refuses uploads with one"


def check_people(package: Package) -> Iterator[Problem]:
    """Authors, packagers, maintainers."""
    rdf = package.rdf
    authors = rdf.get("authors") or []
    if not authors:
        yield "warning", "authors", "nobody is named: --author NAME"
    if authors and not any(a.get("affiliation") for a in authors):
        yield "warning", "authors.affiliation", "none has one"
    if any(set("/\\") & set(a["name"]) for a in authors):
        yield "error", "authors", "a name must not contain a slash"
    if not any(m.get("github_user") for m in rdf.get("maintainers") or []):
        yield "warning", "maintainers", "nobody can be asked: --maintainer GITHUB_USER"
    if not rdf.get("packaged_by"):
        yield "warning", "packaged_by", "nobody is named: --packaged-by NAME"


def check_tags(package: Package) -> Iterator[Problem]:
    """One tag at least of each category the zoo filters by."""
    tags = set(package.rdf.get("tags") or [])
    categories = {"task": _TASKS, "dimension": _DIMENSIONS, "modality": _MODALITIES}
    for meaning, wanted in categories.items():
        if not wanted & tags:
            yield "warning", "tags", f"no {meaning} tag: one of {sorted(wanted)}"


def check_dialect(package: Package) -> Iterator[Problem]:
    """Fields and versions that older readers understand."""
    rdf = package.rdf
    version = tuple(int(part) for part in str(rdf.get("format_version", "0")).split("."))
    if not (0, 5) <= version < (0, 5, 11):
        yield "error", "format_version", "must be 0.5.0 to 0.5.10: Fiji and ilastik read no later"
    if not isinstance(rdf.get("documentation"), str):
        yield "error", "documentation", "must be a plain string for core up to 0.10.4"
    if not all(isinstance(cover, str) for cover in rdf.get("covers") or []):
        yield "error", "covers", "must be plain strings for core up to 0.10.4"
    later = {f"weights.{name}": entry for name, entry in (rdf.get("weights") or {}).items()}
    later |= {tensor["id"]: tensor for tensor in (*rdf["inputs"], *rdf["outputs"])}
    for where, node in later.items():
        for field in sorted(_LATER_FIELDS & set(node)):
            yield "error", f"{where}.{field}", "is newer than format 0.5.7: core 0.9.6 refuses it"


def check_files(package: Package) -> Iterator[Problem]:
    """Members and hashes."""
    declared = referenced_files(package.rdf)
    for name in sorted(set(package.files) - set(declared) - {RDF}):
        yield "error", name, "is in the zip, but the description does not refer to it"
    for name, sha256 in declared.items():
        if name not in package.files:
            yield "error", name, "is referred to, but not in the zip"
        elif sha256 and hashlib.sha256(package.files[name]).hexdigest() != sha256:
            yield "error", name, "does not have the declared sha256"
        elif not sha256 and name not in _plain_strings(package.rdf):
            yield "error", name, "has no sha256 in the description"


def check_documentation(package: Package) -> Iterator[Problem]:
    """README and covers."""
    documentation = package.rdf.get("documentation")
    if not isinstance(documentation, str) or not documentation.endswith(".md"):
        yield "error", "documentation", "must be a .md file"
    else:
        text = package.files.get(documentation, b"").decode("utf-8", errors="replace")
        for heading in _HEADINGS:
            if heading not in text.splitlines():
                yield "error", documentation, f"has no heading '{heading}'"
    covers = package.rdf.get("covers") or []
    if not 1 <= len(covers) <= 2:
        yield "error", "covers", "one or two are needed"
    for cover in covers:
        yield from _cover_problems(str(cover), package.files.get(str(cover), b""))


def _plain_strings(rdf: Mapping[str, Any]) -> set[str]:
    return {str(name) for name in [rdf.get("documentation"), *(rdf.get("covers") or [])]}


def _cover_problems(name: str, data: bytes) -> Iterator[Problem]:
    from PIL import Image, UnidentifiedImageError

    if len(data) >= LIMIT_BYTES:
        yield "error", name, f"has {len(data)} bytes, the zoo takes less than {LIMIT_BYTES}"
    try:
        width, height = Image.open(io.BytesIO(data)).size
    except UnidentifiedImageError:
        yield "error", name, "is not an image"
        return
    if width not in (height, 2 * height):
        yield "error", name, f"is {width} x {height}, the zoo shows 2:1 and 1:1"


def check_axes(package: Package) -> Iterator[Problem]:
    """Sizes, halos and scales that every consumer reads the same way."""
    rdf = package.rdf
    if len(rdf["inputs"]) != 1 or len(rdf["outputs"]) != 1:
        yield "error", "inputs", "one input and one output: ilastik and deepImageJ take no more"
        return
    given, made = rdf["inputs"][0], rdf["outputs"][0]
    for kind, tensor in (("inputs", given), ("outputs", made)):
        if axes_order(tensor) not in ("bcyx", "bczyx"):
            yield "error", kind, f"axes {axes_order(tensor)}: expected bcyx or bczyx"
    by_id = {axis.get("id", axis["type"]): axis for axis in given["axes"]}
    for axis in given["axes"]:
        size = axis.get("size")
        if isinstance(size, dict) and size["min"] % size["step"]:
            yield "error", f"inputs.{axis['id']}", f"min {size['min']} is no multiple of the step"
    for axis in made["axes"]:
        if isinstance(axis.get("size"), dict):
            yield from _output_axis_problems(axis, by_id, given["id"])


def _output_axis_problems(
    axis: Mapping[str, Any], inputs: Mapping[str, Any], input_id: str
) -> Iterator[Problem]:
    where, size = f"outputs.{axis['id']}", axis["size"]
    if size.get("axis_id") != axis["id"] or size.get("tensor_id") != input_id:
        yield "error", where, "must refer to the input axis of the same id: core finds halos by it"
        return
    if size.get("offset", 0):
        yield "error", where, "offset must be 0: consumers read others differently"
    reference = inputs[axis["id"]]
    factor = reference["scale"] / axis["scale"]
    if factor != axis["scale"] or factor != int(factor):
        yield "error", where, "input scale must be the square of the output scale, a whole number"
        return
    halo_in = axis.get("halo", 0) / factor
    if halo_in != int(halo_in):
        yield "error", where, f"halo {axis.get('halo')} is no whole number of input pixels"
    if not isinstance(reference["size"], dict):
        return
    minimum, step = reference["size"]["min"], reference["size"]["step"]
    if (2 * halo_in) % step:
        yield "error", where, "twice the input halo must be a multiple of the step"
    if minimum - 2 * halo_in < 1:
        yield "error", where, f"the smallest tile of {minimum} pixels is all halo"


def check_processing(package: Package) -> Iterator[Problem]:
    """Normalisation that means the same everywhere."""
    operations = package.rdf["inputs"][0].get("preprocessing") or []
    for operation in operations:
        axes = (operation.get("kwargs") or {}).get("axes")
        if operation["id"] not in ("scale_range", "zero_mean_unit_variance"):
            continue
        if not axes:
            yield "error", "preprocessing", f"{operation['id']} without axes is per data set"
        elif "batch" in axes:
            yield "error", "preprocessing", f"{operation['id']} over the batch mixes images"
    for operation in package.rdf["outputs"][0].get("postprocessing") or []:
        if operation["id"] in ("scale_mean_variance", "scale_range", "zero_mean_unit_variance"):
            yield "error", "postprocessing", f"{operation['id']} fails in bioimageio.core"


def check_tensors(package: Package) -> Iterator[Problem]:
    """Test tensors, and sample tensors with the same numbers."""
    import tifffile

    for tensor in (*package.rdf["inputs"], *package.rdf["outputs"]):
        name = (tensor.get("test_tensor") or {}).get("source", "")
        if name not in package.files:
            yield "error", f"{tensor['id']}.test_tensor", "missing"
            continue
        test = np.load(io.BytesIO(package.files[name]), allow_pickle=False)
        if test.dtype != np.float32:
            yield "error", name, f"is {test.dtype}, expected float32"
        if not np.isfinite(test).all() or np.abs(test).max() <= SMALLEST_MAXIMUM:
            yield "error", name, f"must be finite and exceed {SMALLEST_MAXIMUM:g} somewhere"
        sample = (tensor.get("sample_tensor") or {}).get("source")
        if sample is None:
            yield "warning", f"{tensor['id']}.sample_tensor", "missing"
        elif sample in package.files:
            shown = tifffile.imread(io.BytesIO(package.files[sample]))
            if not np.array_equal(shown, np.squeeze(test)):
                yield "error", sample, "must hold the test tensor's numbers: deepImageJ mixes them"


def check_weights(package: Package) -> Iterator[Problem]:
    """Formats, lineage, and what each file holds."""
    yield from lint_weights.problems(package.rdf, package.files)


CHECKS: tuple[Callable[[Package], Iterator[Problem]], ...] = (
    check_text,
    check_people,
    check_tags,
    check_dialect,
    check_files,
    check_documentation,
    check_axes,
    check_processing,
    check_tensors,
    check_weights,
)
