"""The proof that an artifact computes the same picture as the fp32 PyTorch module."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import nn

from unifmir.checkpoint.loading import load_as, load_file, read_checkpoint
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.compare import FP32, tolerance_of
from unifmir.errors import CheckpointError, ExportError
from unifmir.export.base import Exporter
from unifmir.export.case_comparison import held_against
from unifmir.export.case_sizes import fixed_cases, sized_cases
from unifmir.export.cases import Case
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats import FORMATS, format_of
from unifmir.export.isolation import open_file
from unifmir.export.lineage import Lineage
from unifmir.export.recorded_report import read_report
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import Image, Runtime, Session
from unifmir.export.runtimes.out_of_memory import with_memory_errors
from unifmir.export.verification_report import Report
from unifmir.hashing import sha256_of
from unifmir.model import in_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.restoration.base import Predictor
from unifmir.restoration.tile_size import largest_tile
from unifmir.samples import sample
from unifmir.trusted_files import is_own, is_trusted

logger = logging.getLogger(__name__)


def check(
    exporter: Exporter,
    path: Path,
    expected: ExpectedOutputs,
    lineage: Lineage,
    *,
    sha256: str,
    whole_tiles: bool = False,
    on_share: Callable[[float], None] = lambda _: None,
) -> Report:
    """Run an artifact by its format's runtime on every case, and compare with the fp32 module.

    Parameters
    ----------
    exporter : Exporter
        Row of the artifact's format.
    path : Path
        The artifact.
    expected : ExpectedOutputs
        Outputs of its parent.
    lineage : Lineage
        Record of the artifact.
    sha256 : str
        Hash of the file, for the report.
    whole_tiles : bool
        Whether tiles as large as `restore` takes are given whole.
    on_share : callable
        Told the share of the pixels that were computed, from 0 to 1.

    Raises
    ------
    ExportError
        The artifact cannot be run, or gives an image of another shape.
    """
    tolerance = tolerance_of(lineage.precision)
    weights_only = serves_as_weights(exporter, sha256)
    runtime = RUNTIMES["eager" if weights_only else exporter.runtime]
    if shapes := exporter.shapes(path):
        sized, whole_tiles = fixed_cases(shapes), False
    else:
        sized = sized_cases(
            lineage.network_config,
            lineage.interface,
            largest_tile(_unopened(runtime, lineage)),
            seed=expected.seed,
            whole_tiles=whole_tiles,
        )
    facts = (runtime.name, lineage.interface, tolerance, sized)
    key, session = (sha256, *facts), None
    if weights_only:
        session = _open_weights(path, lineage)
    else:
        with exporter.runnable(path) as source:
            if isinstance(source, Path) and source != path:
                key = (sha256_of(source), *facts)
            # A package holds the very file that was verified before it: so are its comparisons.
            if key not in expected.results:
                session = _opened(source, runtime)
    progress = _Share(on_share, 2 * sum(prod(s.shape) * len(s.sources) for s in sized))
    outputs = expected.outputs(lineage.interface, sized, progress.ran)
    if session is not None:
        run = _with_errors_of_ours(session, exporter, path.name)
        found = []
        module = in_interface(expected.network, lineage.interface)
        for one in outputs:
            found.append(held_against(module, one, run(one.case.image), tolerance))
            progress.ran(one.case)
        expected.results[key] = tuple(found)
    results = expected.results[key]
    squares = tolerance is FP32 and any(one.deviation is not None for one in outputs)
    return Report(
        artifact=path.name,
        format=exporter.name,
        sha256=sha256,
        lineage=lineage,
        compared="squares" if squares else "values",
        tolerance=tolerance.name,
        results=results,
        weights_only=weights_only,
        seed=None if shapes else expected.seed,
        whole_tiles=whole_tiles,
    )


@dataclass(slots=True)
class _Share:
    """Pixels that the parent and the artifact have computed, of all that they will."""

    tell: Callable[[float], None]
    most: int
    done: int = 0

    def ran(self, case: Case) -> None:
        """Count a case that one of them has computed."""
        self.done += case.image.size
        self.tell(self.done / self.most)


def _with_errors_of_ours(
    session: Session, exporter: Exporter, name: str
) -> Callable[[Image], Image]:
    """Function that runs a session; what its library raises is an ExportError naming the file."""
    runtime = RUNTIMES[exporter.runtime]
    guarded = with_memory_errors(session.run, _device_of(runtime), runtime.out_of_memory)

    def run(image: Image) -> Image:
        try:
            return guarded(image)
        except MemoryError as error:
            raise ExportError(f"{name}: {error}") from error

    return run


def _unopened(runtime: Runtime, lineage: Lineage) -> Predictor:
    """A file that is not open yet: how large its tiles are follows from these facts."""

    def run(_image: Image) -> Image:
        raise NotImplementedError

    return Predictor(
        run,
        lineage.network_config,
        lineage.interface,
        _device_of(runtime),
        body_maps=runtime.body_maps,
        holds_attention=runtime.holds_attention,
    )


def serves_as_weights(exporter: Exporter, sha256: str) -> bool:
    """Whether a file is a stranger's program that is read for its weights, and not run."""
    return exporter.holds_weights and not is_trusted(sha256)


def runs_foreign_graph(exporter: Exporter, sha256: str) -> bool:
    """Whether a file's own graph or program is run, and this installation did not write it."""
    if exporter.runnable_format is None or serves_as_weights(exporter, sha256):
        return False
    return not is_own(sha256)


def require_structure(exporter: Exporter, path: Path, network: Network, lineage: Lineage) -> None:
    """Refuse a graph that is not the one that is exported from its parent.

    Raises
    ------
    ExportError
        Nothing of it was run.
    """
    for problem in exporter.structure_differences(path, network, lineage):
        raise ExportError(problem)


def _open_weights(path: Path, lineage: Lineage) -> Session:
    """The weights of a program in our own network, behind the interface of its lineage.

    Raises
    ------
    ExportError
        They are damaged, or of another network than the lineage says.
    """
    try:
        network = load_as(path, lineage.network_config)
    except CheckpointError as error:
        raise ExportError(str(error)) from error
    module = in_interface(network, lineage.interface)
    return RUNTIMES["eager"].open(module, device="cpu", threads=torch.get_num_threads())


def open_artifact(path: Path, *, exporter: Exporter | None = None) -> Session:
    """Open an artifact in the runtime that its format is verified by.

    Raises
    ------
    ExportError
        It is of no known format, or cannot be loaded.
    """
    exporter = exporter or FORMATS[format_of(path)]
    with exporter.runnable(path) as source:
        return _opened(source, RUNTIMES[exporter.runtime])


def _opened(source: nn.Module | Path, runtime: Runtime) -> Session:
    device, threads = _device_of(runtime), torch.get_num_threads()
    if not isinstance(source, Path):
        return runtime.open(source, device=device, threads=threads)
    return open_file(runtime, source, device=device, threads=threads)


def _device_of(runtime: Runtime) -> str:
    """Device that a runtime's files are verified on."""
    return "cpu" if runtime.precisions("cpu") else "cuda:0"


def require_verified(path: Path) -> None:
    """Verify an artifact that arrived unverified; what passed is then written in the artifact.

    Raises
    ------
    ExportError
        It is not the same picture as its fp32 parent on this machine.
    """
    report = verify(path)
    if not report.passed:
        raise ExportError(
            f"{path.name} was not verified on this GPU, and it is not the same picture as fp32 "
            "PyTorch here, so it is not run:\n  " + "\n  ".join(report.failures[:5])
        )


def verify(
    path: str | Path,
    *,
    parent: str | Path | None = None,
    seed: int | None = None,
    on_share: Callable[[float], None] = lambda _: None,
) -> Report:
    """Verify an artifact again: from the file alone plus the parent it names.

    Parameters
    ----------
    path : path
        A file made by `unifmir export`, of any format.
    parent : path, optional
        The fp32 single-task safetensors it was made from. Looked for beside the artifact by
        its recorded sha256 when not given.
    seed : int, optional
        Of an earlier report, whose sizes are then looked at again; None: new ones.
    on_share : callable
        Told the share of the pixels that were computed, from 0 to 1, after each picture.

    Returns
    -------
    Report
        `passed` is False if a case is out of tolerance, or if the file is not the one that was
        verified when it was made.

    Raises
    ------
    ExportError
        The file is no artifact of ours, or its parent cannot be found.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"{path}: no such file; expected an artifact made by `unifmir export`")
    name = format_of(path)
    exporter = FORMATS[name]
    lineage = exporter.lineage(path)
    found = Path(parent) if parent is not None else find_parent(path, lineage)
    if found is None:
        raise ExportError(
            f"{path.name} was made from {lineage.parent['name']} (sha256 "
            f"{lineage.parent['sha256']}), and no file in {path.parent} has that hash; give it as "
            "--parent, or export again"
        )
    if (found_sha256 := sha256_of(found)) != lineage.parent["sha256"]:
        raise ExportError(
            f"{found.name} has sha256 {found_sha256}, {path.name} was made from "
            f"{lineage.parent['name']} with {lineage.parent['sha256']}; give that one as --parent"
        )
    real = sample(lineage.task).image
    expected = ExpectedOutputs(load_file(found, task=lineage.task), real, seed=seed)
    sha256 = sha256_of(path)
    foreign = runs_foreign_graph(exporter, sha256)
    problems = (
        *_altered(path, sha256),
        *_broken_certificate(expected.network),
        *_other_network(expected.network, lineage),
        *_other_form(exporter, path, lineage, sha256),
        *exporter.contradictions(path, expected.network, lineage, own=is_own(sha256)),
    )
    try:
        if foreign:
            require_structure(exporter, path, expected.network, lineage)
        # What has failed is not looked at for minutes.
        whole_tiles = foreign and not problems
        report = check(
            exporter,
            path,
            expected,
            lineage,
            sha256=sha256,
            whole_tiles=whole_tiles,
            on_share=on_share,
        )
    except ExportError as error:
        # An artifact that does not run, or gives another shape, has failed: that is the finding.
        report = Report(path.name, name, sha256, lineage, "values", "", ())
        problems = (*problems, str(error))
    report = replace(report, problems=problems)
    if report.passed:
        exporter.record_verification(path, report, partial(open_artifact, path, exporter=exporter))
    return report


def find_parent(path: Path, lineage: Lineage) -> Path | None:
    """The parent beside an artifact, by its hash; None if no file there has it."""
    wanted = lineage.parent
    beside = path.parent / wanted["name"]
    others = sorted(path.parent.glob("*.safetensors"))
    for candidate in dict.fromkeys([beside, *others]):
        if candidate.is_file() and sha256_of(candidate) == wanted["sha256"]:
            return candidate
    return None


def _broken_certificate(network: Network) -> tuple[str, ...]:
    """Whether the parent's tensors are still those that were equal to the checkpoint's."""
    certificate = network.certificate
    if certificate is None or tensors_sha256(network.state_dict()) == certificate.child_sha256:
        return ()
    return (f"{network.source.name}: its weights are not those its certificate is about",)


def _other_network(network: Network, lineage: Lineage) -> tuple[str, ...]:
    """Whether the parent is the network that the file says it holds."""
    if network.config == lineage.network_config:
        return ()
    said, found = lineage.network_config, network.config
    return (f"its metadata say {said}, its parent {network.source.name} is {found}",)


def _other_form(exporter: Exporter, path: Path, lineage: Lineage, sha256: str) -> tuple[str, ...]:
    """Whether a file is of another kind than its metadata say, or holds weights of another type."""
    if lineage.variant not in exporter.variants_of(lineage.precision):
        return (f"its metadata say {lineage.types}, which no {exporter.name} file is",)
    if exporter.wrapped_only and lineage.interface != "image":
        return (f"its metadata say {lineage.interface}, a {exporter.name} file takes images",)
    if lineage.interface == "raw" and exporter.lacks_raw:
        return (f"its metadata say that it takes raw images: {exporter.lacks_raw}",)
    read = exporter.runnable_format is None or serves_as_weights(exporter, sha256)
    if not read or is_trusted(sha256):
        return ()
    held = {str(dtype).removeprefix("torch.") for dtype in read_checkpoint(path).dtypes}
    # Islands and tables are float32 in any precision.
    narrow = {row.dtype for row in ELEMENT_TYPES.values()} - {"float32"}
    if held & narrow == {ELEMENT_TYPES[lineage.precision].dtype} & narrow:
        return ()
    said = lineage.precision
    return (f"its metadata say {said}, its weights are {', '.join(sorted(held))}",)


def _altered(path: Path, sha256: str) -> tuple[str, ...]:
    """Whether the file is still the one its report is about."""
    try:
        report = read_report(path)
    except ExportError as error:
        return (str(error),)
    if report is None or report.sha256 == sha256:
        return ()
    return (f"the file has sha256 {sha256}, its report is about {report.sha256}: it was altered",)
