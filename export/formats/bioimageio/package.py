"""Building of a BioImage.IO package: files, description, lint, test, score."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unifmir.atomic import temporary_folder, writing
from unifmir.checkpoint.model_package import lineage_of_description
from unifmir.config import ModelConfig, MultiTaskConfig, SingleConfig
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio import provenance, rdf, tensors
from unifmir.export.formats.bioimageio.agreement import (
    as_evaluation,
    measure_agreement,
    quality_rows,
)
from unifmir.export.formats.bioimageio.architecture import FILE_NAME, bundle
from unifmir.export.formats.bioimageio.card import ModelCard
from unifmir.export.formats.bioimageio.cover import cover_png
from unifmir.export.formats.bioimageio.halo import HaloMeasurement, measure_halo
from unifmir.export.formats.bioimageio.lint import LintFinding, lint, read_rdf
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.formats.bioimageio.missing_facts import MissingFact, missing_facts
from unifmir.export.formats.bioimageio.package_axes import (
    PackageAxes,
    axes_of,
    tile_rule,
    trial_axes,
)
from unifmir.export.formats.bioimageio.readme import ReadmeFacts, readme
from unifmir.export.formats.bioimageio.score import ExpectedScore, expected_score
from unifmir.export.formats.bioimageio.testing import (
    TestSummary,
    reproduce,
    require_passed,
    require_valid,
    validated,
)
from unifmir.hashing import sha256_of
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.zip_archive import write_zip

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackageInputs:
    """Everything a package is made of."""

    network: Network
    """The fp32 single-task network."""
    module: nn.Module
    """Image interface of the network: weights rounded to `storage`, float32 arithmetic."""
    onnx_file: Path
    """ONNX graph of `module`: opset 17, IR 8, float32 in and out, one file."""
    torchscript_file: Path
    """Traced `module`."""
    image: tensors.RawImage
    """Real image: raw intensities in the task's input axes."""
    card: ModelCard
    lineage: dict[str, Any]
    """Fields of the export's `Lineage`; `read_lineage` finds them again in the package."""
    storage: str = "float32"
    """Element type of the stored weights: a `dtype` in `ELEMENT_TYPES`."""
    image_note: str = "see the repository."
    """Sentences on what the image shows, whose it is, and under which licence."""
    image_source: str = ""
    """Address of the image's source; empty: the package has no row with its evaluation."""
    reports: tuple[dict[str, Any], ...] = ()
    """Verification reports as JSON values."""


@dataclass(frozen=True, slots=True)
class PackageResult:
    """A finished, tested package."""

    path: Path
    sha256: str
    files: tuple[str, ...]
    findings: tuple[LintFinding, ...]
    """Warnings of the lint: a package with errors is not written."""
    score: ExpectedScore
    halo: HaloMeasurement
    summary: TestSummary
    missing: tuple[MissingFact, ...]
    """Facts that would raise the score, the most valuable first."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values, without the file's own place and hash."""
        return {
            "files": list(self.files),
            "findings": [finding.to_dict() for finding in self.findings],
            "expected_score": self.score.to_dict(),
            "halo": self.halo.to_dict(),
            "status": self.summary.status,
            "core": self.summary.core_version,
            "reproduced": list(self.summary.reproduced),
            "missing_facts": [fact.to_dict() for fact in self.missing],
        }


def build_package(inputs: PackageInputs, path: Path) -> PackageResult:
    """Build a package, run the library's test on its files, lint it; only then give it its name.

    The same inputs give the same bytes.

    Parameters
    ----------
    inputs : PackageInputs
    path : Path
        The zip to write.

    Raises
    ------
    ExportError
        The lint finds an error, or the library's test does not pass with all three formats.
    """
    config: ModelConfig = inputs.network.config
    if isinstance(config, MultiTaskConfig):
        raise ExportError("a package holds one task: prune the network first (unifmir prune)")
    halo = measure_halo(inputs.network, config, inputs.image)
    logger.info("halo %d px, measured %d px", halo.halo_px, halo.measured_px)
    card = inputs.card
    people = (*card.authors, *card.packaged_by, *card.maintainers)
    users = [one.github_user for one in people if one.github_user]
    with temporary_folder() as folder, writing(path) as aside:
        raw, description, tested = _write_files(inputs, config, halo, users, folder)
        files = {file.name: file for file in folder.iterdir()}
        write_zip(files, aside)
        findings = lint(aside)
        if errors := [f for f in findings if f.severity == "error"]:
            listed = "\n".join(f"  {f.where}: {f.message}" for f in errors)
            raise ExportError(f"the package breaks {len(errors)} rules of the zoo:\n{listed}")
        valid = validated(aside, users)
        require_valid(valid)
    summary = replace(tested, metadata_completeness=valid.metadata_completeness)
    score = expected_score(description, summary, raw)
    logger.info("expected zoo score %.3f", score.total)
    return PackageResult(
        path=path,
        sha256=sha256_of(path),
        files=tuple(sorted(files)),
        findings=findings,
        score=score,
        halo=halo,
        summary=summary,
        missing=missing_facts(description),
    )


def read_lineage(path: Path) -> dict[str, str]:
    """The lineage a package was built with, one string per field as `Lineage.to_strings` gives.

    Raises
    ------
    ExportError
        The file is no package, or not one of unifmir's.
    """
    lineage = lineage_of_description(read_rdf(path))
    if not lineage:
        raise ExportError(f"{path.name}: a BioImage.IO package, but not one that unifmir made")
    return lineage


def _write_files(
    inputs: PackageInputs,
    config: SingleConfig,
    halo: HaloMeasurement,
    users: Sequence[str],
    folder: Path,
) -> tuple[tensors.Batch, dict[str, Any], TestSummary]:
    """Write every file of the package; returns test input, description and the library's test.

    The library tests the files while the description still has no figures of their agreement, which
    are those of its own runs, and says nothing of tiles: see `trial_axes`.
    """
    axes = axes_of(config, halo.halo_px)
    raw, restored = _write_tensors(inputs, config, axes, folder)
    _write_weights(inputs, folder)
    _write(folder, "cover", cover_png(inputs.module, config, inputs.image, (raw, restored)))
    measured = _measure(inputs, halo, (raw, restored), folder)
    _write_description(inputs, config, trial_axes(config, axes), measured, (raw, restored), folder)
    summary, outputs = reproduce(folder / rdf.RDF, users, rdf.OUTPUT_ID)
    measured = replace(
        measured, agreement=measure_agreement(outputs, restored, _reference(inputs, raw, restored))
    )
    require_passed(summary, WEIGHT_FORMATS)
    description = _write_description(inputs, config, axes, measured, (raw, restored), folder)
    return raw, description, summary


def _reference(inputs: PackageInputs, raw: tensors.Batch, restored: tensors.Batch) -> tensors.Batch:
    """Result of the fp32 network; the test output itself, where its weights are stored whole."""
    if inputs.storage == "float32":
        return restored
    normalization = inputs.network.config.normalization
    return tensors.restore(image_interface(inputs.network), raw, normalization)


def _write_description(
    inputs: PackageInputs,
    config: SingleConfig,
    axes: PackageAxes,
    measured: provenance.Measured,
    tested: tuple[tensors.Batch, tensors.Batch],
    folder: Path,
) -> dict[str, Any]:
    """Write what is said of the files; returns the description."""
    from bioimageio.spec import save_bioimageio_yaml_only

    raw, restored = tested
    contents = _contents(inputs, config, axes, measured, provenance.tolerance(restored))
    (folder / FILE_NAME).write_text(contents.architecture.source, encoding="utf-8")
    verification = {
        "agreement": measured.agreement,
        "halo": measured.halo.to_dict(),
        "quality": [asdict(row) for row in inputs.card.qualities],
        "training": inputs.card.training.stated() if inputs.card.training else {},
        "reports": list(inputs.reports),
    }
    _write(folder, "verification", json.dumps(verification, indent=1, sort_keys=True).encode())
    facts = ReadmeFacts(
        config=config,
        card=inputs.card,
        axes=axes,
        halo=measured.halo,
        storage=inputs.storage,
        parameter_count=contents.parameter_count,
        image_note=inputs.image_note,
        agreement=measured.agreement,
        reports=inputs.reports,
        percentile_difference=tensors.declared_difference(raw, config.normalization),
        origin=provenance.origin(inputs.network, inputs.lineage),
    )
    _write(folder, "readme", readme(facts).encode("utf-8"))
    description = rdf.describe(contents, folder)
    save_bioimageio_yaml_only(description, folder / rdf.RDF)
    return description


def _write_tensors(
    inputs: PackageInputs, config: SingleConfig, axes: PackageAxes, folder: Path
) -> tuple[tensors.Batch, tensors.Batch]:
    """Test and sample tensors: the same numbers as .npy and as TIFF."""
    lens_px = tile_rule(config).unit
    raw = tensors.test_image(
        inputs.image,
        axes.test_sizes,
        multiple_of=lens_px,
        normalization=config.normalization,
    )
    restored = tensors.restore(inputs.module, raw, config.normalization)
    tensors.check_testable(restored)
    for kind, array in (("input", raw), ("output", restored)):
        _write(folder, f"test_{kind}", tensors.npy_bytes(array))
        _write(folder, f"sample_{kind}", tensors.tiff_bytes(array))
    return raw, restored


def _write_weights(inputs: PackageInputs, folder: Path) -> None:
    dtype: torch.dtype = getattr(torch, inputs.storage)
    tensors.write_state_dict(inputs.module, dtype, folder / rdf.FILES["pytorch_state_dict"])
    shutil.copyfile(inputs.torchscript_file, folder / rdf.FILES["torchscript"])
    shutil.copyfile(inputs.onnx_file, folder / rdf.FILES["onnx"])


def _measure(
    inputs: PackageInputs,
    halo: HaloMeasurement,
    tested: tuple[tensors.Batch, tensors.Batch],
    folder: Path,
) -> provenance.Measured:
    """Measurements of a package whose weight files are in `folder` already, but their agreement."""
    raw, restored = tested
    files = {name: folder / rdf.FILES[name] for name in WEIGHT_FORMATS}
    return provenance.Measured(
        halo=halo,
        costs=provenance.costs(inputs.network, inputs.module, raw, files),
        agreement={},
        ranges={
            name: [float(f"{value:.3g}") for value in (tensor.min(), tensor.max())]
            for name, tensor in (("input", raw), ("output", restored))
        },
    )


def _contents(
    inputs: PackageInputs,
    config: SingleConfig,
    axes: PackageAxes,
    measured: provenance.Measured,
    tolerance: dict[str, float],
) -> rdf.Contents:
    card = inputs.card
    time, memory = provenance.cost_sentences(card.measured_costs)
    return rdf.Contents(
        config=config,
        card=card,
        axes=axes,
        architecture=bundle(config, card.unifmir_version),
        parameter_count=measured.costs["parameters"],
        evaluations=(
            *as_evaluation(measured.agreement, inputs.image_source, inputs.image_note),
            *quality_rows(card),
        ),
        inference_time=time,
        memory=memory,
        tolerance=tolerance,
        provenance=provenance.provenance(
            inputs.network,
            card,
            measured,
            storage=inputs.storage,
            image_note=inputs.image_note,
            lineage=inputs.lineage,
            reports=inputs.reports,
        ),
    )


def _write(folder: Path, key: str, data: bytes) -> None:
    (folder / rdf.FILES[key]).write_bytes(data)
