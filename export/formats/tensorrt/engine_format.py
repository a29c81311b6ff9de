"""The `tensorrt` format: an engine, its passport, and the ONNX graph it was built from."""

from collections.abc import Callable
from pathlib import Path
from shlex import join
from typing import Any

from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.formats.onnx import ONNX
from unifmir.export.formats.tensorrt.builder import Built, build
from unifmir.export.formats.tensorrt.options import EngineOptions
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.base import Session
from unifmir.export.runtimes.tensorrt.certificate import TypeCount, require_graph
from unifmir.export.runtimes.tensorrt.host import Host, host
from unifmir.export.runtimes.tensorrt.library import FULL, RTX, RTX_DEFAULT, Library, library
from unifmir.export.runtimes.tensorrt.passport import (
    GRAPH_SUFFIX,
    Passport,
    Verification,
    read_passport,
    write_passport,
)
from unifmir.export.runtimes.tensorrt.profiles import (
    Profile,
    Shape,
    default_profile,
    read_profile,
    shapes_within,
)
from unifmir.export.verification_report import Report
from unifmir.hashing import sha256_of
from unifmir.trusted_files import remember_own

UNVERIFIED = (
    "not verified: it was built without running it. It is verified when it is first loaded on "
    "the machine that runs it, or there with `unifmir verify`"
)


class TensorRtExporter(Exporter):
    """Types come from the ONNX graph, so one way of building serves every version."""

    name = "tensorrt"
    suffix = ".engine"
    runtime = "tensorrt"
    holds_program = True
    variants = ("computing",)
    # NVIDIA's documentation of the TopK operator, 10.15 and 11.
    lacks_raw = (
        "percentiles need the ends of all pixels sorted, and TensorRT sorts no more than 3840"
    )

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the graph, build the engine from it, and write the passport.

        Raises
        ------
        BenchmarkError, ExportError, MissingExtraError
            There is no GPU to verify it on and `unverified` was not asked for; no library; the
            graph is not in the precision.
        """
        options, here = _options(job.options), host()
        found = _library(options, here)
        profile = _profile(job.lineage, options)
        graph = path.with_name(path.name + GRAPH_SUFFIX)
        details = ONNX.write(job, graph)
        built = build(found, graph.read_bytes(), profile, options)
        if job.lineage.precision != "fp32":
            require_graph(built.types, job.lineage.precision, path.name)
        path.write_bytes(built.engine)
        remember_own(sha256_of(path))
        passport = _passport(job, path, graph, found, here, profile, options, built)
        write_passport(passport, path)
        return {
            "library": f"{found.name} {found.version}",
            "profile": profile.to_dict(),
            "targets": list(passport.targets),
            "network_types": built.types.to_dict(),
            "onnx": details,
            **({"unverified": UNVERIFIED} if options.unverified else {}),
        }

    def require(self, options: object | None) -> None:
        """Refuse early where there is no library, or no GPU to verify an engine on."""
        _library(_options(options), host())

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the passport."""
        return Lineage.from_strings(dict(read_passport(path).lineage), path.name)

    def shapes(self, path: Path) -> tuple[Shape, ...]:
        """Input shapes that the engine can be verified at."""
        lineage, profile = self.lineage(path), read_passport(path).profile
        return shapes_within(lineage.network_config, lineage.interface, profile)

    def record_verification(
        self, path: Path, report: Report, opened: Callable[[], Session]
    ) -> None:
        """Put a verification that passed into the passport, with the counted types."""
        told = opened().ran["engine_types"]
        types = TypeCount({str(name): int(count) for name, count in told.items()})
        verification = Verification(
            host=host(),
            tolerance=report.tolerance,
            cases=len(report.results),
            max_abs_over_std=report.worst.max_abs_over_std,
        )
        write_passport(read_passport(path).verified(verification, types), path)


def _options(options: object | None) -> EngineOptions:
    if options is None:
        return EngineOptions()
    if not isinstance(options, EngineOptions):
        raise ExportError(f"options of tensorrt: expected EngineOptions, found {options!r}")
    return options


def _library(options: EngineOptions, here: Host) -> Library:
    if options.unverified:
        return library(RTX)
    if here.gpu is None:
        raise ExportError(
            "no CUDA device here, and an engine is verified by running it: export on the machine "
            "that will run it. To build here with tensorrt-rtx and have it verified there when it "
            "is first loaded, add --unverified-engine"
        )
    if options.targets:
        raise ExportError(
            "--target builds for GPUs that are not here, which cannot be verified here: leave it "
            "away, or add --unverified-engine"
        )
    return library(FULL, RTX)


def _profile(lineage: Lineage, options: EngineOptions) -> Profile:
    if options.profile:
        return read_profile(options.profile, lineage)
    return default_profile(lineage.network_config, lineage.interface)


def _passport(
    job: ExportJob,
    path: Path,
    graph: Path,
    found: Library,
    here: Host,
    profile: Profile,
    options: EngineOptions,
    built: Built,
) -> Passport:
    return Passport(
        engine_sha256=sha256_of(path),
        onnx_sha256=sha256_of(graph),
        parent=job.lineage.parent,
        lineage=job.lineage.to_strings(),
        library={"name": found.name, "version": found.version},
        built_on=here,
        targets=options.targets or (RTX_DEFAULT if found.rtx else ()),
        profile=profile,
        options={
            "builder_level": options.builder_level,
            "workspace_mib": options.workspace_mib,
            "timing_cache": options.timing_cache is not None,
            "tf32": False,
        },
        network_types=built.types.to_dict(),
        rebuild=_rebuild(job, profile, options),
    )


def _rebuild(job: ExportJob, profile: Profile, options: EngineOptions) -> str:
    """The command that makes this engine again from the parent beside it.

    In a folder of its own: other artifacts may name the parent, which exporting writes anew.
    """
    lineage = job.lineage
    command = ["unifmir", "export", "--task", lineage.task, "--format", "tensorrt"]
    command += ["--checkpoint", lineage.parent["name"], "--precision", lineage.precision]
    command += ["--interface", lineage.interface, "--opset", str(job.opset)]
    for image in job.calibration:
        command += ["--calibration", image]
    command += ["--profile", profile.text, *options.arguments(), "--out", "rebuilt"]
    return join(command)


TENSORRT = TensorRtExporter()
