"""The main job: prune, choose the precision, write each format, verify, and only then publish."""

import gc
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from torch import nn

from unifmir.atomic import temporary_folder, working_folder
from unifmir.checkpoint.pruning import is_pruned, prune
from unifmir.checkpoint.saving import save
from unifmir.errors import ExportError
from unifmir.export.base import Artifact, Exporter, ExportJob, Traces
from unifmir.export.cases import (
    CALIBRATION_CROPS,
    CALIBRATION_SIDE,
    calibration_image,
    calibration_inputs,
    named,
    traced_example,
)
from unifmir.export.credit import Credit
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats import FORMATS
from unifmir.export.formats.onnx import DEFAULT_OPSET
from unifmir.export.lineage import lineage_of
from unifmir.export.recorded_report import report_path
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.verification import check, open_artifact
from unifmir.export.verification_report import Report
from unifmir.file_locks import held
from unifmir.hashing import sha256_of
from unifmir.interfaces import InputKind
from unifmir.model import Provenance, in_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision, Variant
from unifmir.precision.islands import kept_parts
from unifmir.precision.planning import PrecisionPlan, plan_precision
from unifmir.precision.variants import VARIANTS
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.trusted_files import remember_own

logger = logging.getLogger(__name__)

Step = Callable[[str], None]
"""Called with a sentence when a step begins."""


@dataclass(frozen=True, slots=True)
class _Request:
    """Wishes of one call of `export`, checked."""

    task: str
    exporters: tuple[Exporter, ...]
    precision: str
    interface: InputKind
    opset: int
    calibration: tuple[str | Path | np.ndarray, ...]
    credit: Credit
    options: Mapping[str, object] = field(default_factory=dict)

    def all_variants(self) -> list[Variant]:
        """Variants of all wanted formats."""
        return sorted(
            {v for exporter in self.exporters for v in exporter.variants_of(self.precision)}
        )

    def interface_of(self, exporter: Exporter) -> InputKind:
        """Kind of input that a format's files take."""
        return "image" if exporter.wrapped_only else self.interface


@dataclass(frozen=True, slots=True)
class _Shared:
    """Network, plan and modules that all files of one export share."""

    request: _Request
    network: Network
    parent: Provenance
    expected: ExpectedOutputs
    plan: PrecisionPlan
    modules: dict[tuple[InputKind, Variant], nn.Module]
    folder: Path
    traces: Traces


def export(
    model: Network,
    out_dir: str | Path,
    *,
    formats: Sequence[str] = ("onnx", "bioimageio"),
    precision: str = "fp32",
    task: str | None = None,
    interface: InputKind = "image",
    opset: int = DEFAULT_OPSET,
    calibration: Sequence[str | Path | np.ndarray] = (),
    credit: Credit | None = None,
    options: Mapping[str, object] | None = None,
    on_step: Step | None = None,
) -> tuple[Artifact, ...]:
    """Export a model to verified artifacts.

    Nothing appears in `out_dir` before all of it is verified. Beside each artifact lies its
    report, and beside them all the pruned fp32 safetensors they were made from.

    Parameters
    ----------
    model : Network
        From `unifmir.load` or `unifmir.prune`; what that gave for the task is taken as it is.
    out_dir : path
        Created if missing.
    formats : sequence of str
        Names in `unifmir.export.formats.FORMATS`.
    precision : {"fp32", "fp16", "bf16"}
    task : str, optional
        Needed for a multi-task model.
    interface : {"image", "network", "raw"}
        What the artifacts take: a user's image, normalised; the plain network's (N, C, H, W); or
        whole images as a microscope writes them, to give intensities. A BioImage.IO package always
        takes normalised images.
    opset : int
        ONNX operator set.
    calibration : sequence of paths or arrays
        Raw images to measure value ranges on; the shipped sample of the task when empty.
    credit : Credit, optional
        What a BioImage.IO package says of its authors, licence and training.
    options : mapping, optional
        Format -> what is asked of it alone, such as a
        `unifmir.export.formats.tensorrt.options.EngineOptions`.
    on_step : callable, optional
        Told what is being done.

    Returns
    -------
    tuple of Artifact

    Raises
    ------
    ExportError
        The precision or an artifact is not the same picture; the message has the figures. Or a
        format cannot take raw images.
    MissingExtraError
        The runtime that a format is verified by is not installed.
    """
    if interface not in get_args(InputKind):
        raise ExportError(
            f"interface {interface!r}: expected one of {', '.join(get_args(InputKind))}"
        )
    exporters = tuple(FORMATS[name] for name in dict.fromkeys(formats))
    if not exporters:
        raise ExportError(f"no format asked for; known: {', '.join(FORMATS)}")
    for exporter in exporters:
        RUNTIMES[exporter.runtime].require()
    if interface == "raw":
        _require_raw(exporters)
    out_dir = Path(out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ExportError(f"{out_dir} is a file; expected a folder to write into")
    chosen = exported_task(model, task)
    request = _Request(
        chosen,
        exporters,
        precision,
        interface,
        opset,
        tuple(calibration),
        credit or Credit(),
        _checked_options(options or {}, exporters),
    )
    step = on_step or logger.info
    with (
        held(out_dir / _stem(chosen)),
        temporary_folder(otherwise=out_dir) as folder,
    ):
        shared = _prepare(model, request, folder, step)
        made: list[Artifact] = []
        for exporter in exporters:
            reports = tuple(artifact.report for artifact in made)
            made += [
                _make(exporter, variant, shared, reports, step)
                for variant in exporter.variants_of(request.precision)
            ]
        step("publishing")
        return _publish(shared, made, out_dir)


def exported_task(model: Network, task: str | None) -> str:
    """The task that a model is exported for; ExportError where several are possible."""
    if not (chosen := task or model.task):
        raise ExportError(f"a multi-task model needs a task: one of {', '.join(TASKS)}")
    return chosen


def raw_formats() -> tuple[str, ...]:
    """Names of the formats whose files can take raw images."""
    return tuple(name for name, exporter in FORMATS.items() if not exporter.lacks_raw)


def _require_raw(exporters: Sequence[Exporter]) -> None:
    """ExportError where a format cannot take raw images."""
    for exporter in exporters:
        if exporter.lacks_raw:
            raise ExportError(
                f"{exporter.name} cannot take raw images: {exporter.lacks_raw}. Formats that can: "
                f"{', '.join(raw_formats())}; or export with --interface image"
            )


def _checked_options(
    options: Mapping[str, object], exporters: Sequence[Exporter]
) -> Mapping[str, object]:
    """The options as given, once each is for a wanted format and nothing stands in its way."""
    names = [exporter.name for exporter in exporters]
    if unused := set(options) - set(names):
        raise ExportError(
            f"options for {', '.join(sorted(unused))}, which is not among the formats asked for: "
            f"{', '.join(names)}"
        )
    for exporter in exporters:
        exporter.require(options.get(exporter.name))
    return options


def _prepare(model: Network, request: _Request, folder: Path, step: Step) -> _Shared:
    """Prune, save the parent, and settle the precision."""
    task, precision = request.task, request.precision
    if is_pruned(model, task):
        network = model
    else:
        step(f"pruning to {task}")
        network = prune(model, task)
    parent = save(network, folder / f"{_stem(task)}.safetensors")
    real = sample(task).image
    images = [calibration_image(item, task) for item in request.calibration] or [real]
    step(f"settling the precision: {precision}")
    # In fp32 nothing is chosen: one small crop shows what the ranges are, and verification runs
    # larger ones.
    count, side = (1, 24) if precision == "fp32" else (CALIBRATION_CROPS, CALIBRATION_SIDE)
    inputs = calibration_inputs(network.config, "network", images, count=count, side=side)
    variants = request.all_variants()
    expected = ExpectedOutputs(network, real)
    tried = request.exporters if precision != "fp32" else ()
    trials = expected.trials(map(request.interface_of, tried))
    plan = plan_precision(network, precision, inputs, variants=variants, trials=trials)
    if not plan.passed:
        raise ExportError(_refusal(plan, task))
    modules = {
        (kind, variant): _module(network, kind, variant, plan)
        for kind in {request.interface_of(exporter) for exporter in request.exporters}
        for variant in variants
    }
    return _Shared(request, network, parent, expected, plan, modules, folder, Traces(folder))


def _module(network: Network, kind: InputKind, variant: Variant, plan: PrecisionPlan) -> nn.Module:
    """The module that files of an interface and a variant are made of."""
    if plan.precision == "fp32":  # as it is: a copy may be large, and would hold the same weights
        return in_interface(network, kind)
    return in_interface(network, kind, lambda module: VARIANTS[variant](module, plan.recipe))


def _make(
    exporter: Exporter, variant: Variant, shared: _Shared, reports: tuple[Report, ...], step: Step
) -> Artifact:
    """Write and verify one file."""
    request, config = shared.request, shared.network.config
    interface = request.interface_of(exporter)
    job = ExportJob(
        network=shared.network,
        module=shared.modules[interface, variant],
        example=traced_example(config, interface),
        lineage=lineage_of(
            config, interface, Precision.of_variant(request.precision, variant), shared.parent
        ),
        recipe=shared.plan.recipe,
        opset=request.opset,
        credit=request.credit,
        reports=reports,
        options=request.options.get(exporter.name),
        calibration=tuple(named(item) for item in request.calibration),
        traces=shared.traces,
    )
    path = shared.folder / _file_name(exporter, job)
    step(f"writing {path.name}")
    details = exporter.write(job, path)
    # Graphs that were made on the way hold weights and features in circles, a gigabyte of them in
    # full-size networks, and verification is where most memory is needed.
    gc.collect()
    if shared.plan.islands:
        details |= {"kept_in_fp32": kept_parts(shared.network, shared.plan.islands)}
    sha256 = sha256_of(path)
    if reason := details.get("unverified"):
        step(f"{path.name} is {reason}")
        report = Report(path.name, exporter.name, sha256, job.lineage, "values", "", (), (reason,))
    else:
        report = _verified(exporter, path, sha256, shared.expected, job, step)
    return Artifact(
        format=exporter.name,
        path=path,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        precision=request.precision,
        variant=variant,
        interface=interface,
        report=report,
        details=details,
        companions=tuple(sorted(path.parent.glob(f"{path.name}.*"))),
    )


def _verified(
    exporter: Exporter,
    path: Path,
    sha256: str,
    expected: ExpectedOutputs,
    job: ExportJob,
    step: Step,
) -> Report:
    """The report of a file that is the same picture; ExportError if it is not."""
    step(f"verifying {path.name}")
    report = check(exporter, path, expected, job.lineage, sha256=sha256)
    if not report.passed:
        shown = "\n  ".join(report.failures[:5])
        raise ExportError(
            f"{path.name} is not the same picture as the fp32 PyTorch module "
            f"({len(report.failures)} failures), so nothing was written:\n  {shown}"
        )
    exporter.record_verification(path, report, partial(open_artifact, path, exporter=exporter))
    remember_own(sha256)
    return report


def _stem(task: str) -> str:
    """Start of the names of all files of one task: two exports of it do not write at once."""
    return f"unifmir-{task}"


def artifact_name(format_name: str, task: str) -> str:
    """Name of a task's file of a format, in fp32 and taking a user's image."""
    return _stem(task) + FORMATS[format_name].suffix


def _file_name(exporter: Exporter, job: ExportJob) -> str:
    """`unifmir-denoise.fp16-compute.network.onnx`: only what differs from the default is named."""
    lineage = job.lineage
    parts = [_stem(lineage.task)]
    if lineage.precision != "fp32":
        parts.append(str(lineage.types))
    if lineage.interface != "image":
        parts.append(lineage.interface)
    return ".".join(parts) + exporter.suffix


def _publish(shared: _Shared, made: list[Artifact], out_dir: Path) -> tuple[Artifact, ...]:
    """Put the verified files in place: the parent, then each report, then its artifact."""
    parent = shared.folder / shared.parent.name
    published = []
    # Copied to a folder that no reader looks into, then renamed: the old file or the new.
    with working_folder(out_dir) as aside:
        _place(parent, aside, out_dir)
        for artifact in made:
            report = {**artifact.report.to_dict(), "precision_plan": shared.plan.to_dict()}
            file = report_path(shared.folder / artifact.path.name)
            file.write_text(json.dumps(report, indent=1), "utf-8")
            _place(file, aside, out_dir)
            for companion in artifact.companions:
                _place(companion, aside, out_dir)
            if artifact.path != parent:
                _place(artifact.path, aside, out_dir)
            companions = tuple(out_dir / companion.name for companion in artifact.companions)
            target = out_dir / artifact.path.name
            published.append(replace(artifact, path=target, companions=companions))
    return tuple(published)


def _place(source: Path, aside: Path, out_dir: Path) -> None:
    """Copy a file to a folder aside, and rename it into place."""
    copied = aside / source.name
    shutil.copyfile(source, copied)
    with copied.open("rb+") as file:
        os.fsync(file.fileno())
    copied.replace(out_dir / source.name)


def _refusal(plan: PrecisionPlan, task: str) -> str:
    return (
        f"{task} cannot be exported in {plan.precision}: it is not the same picture as fp32.\n"
        + "\n".join(f"  {line}" for line in plan.failures)
        + f"\n{len(plan.islands)} modules were kept in fp32 already; export with --precision fp32"
    )
