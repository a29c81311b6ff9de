"""The `bioimageio` row of the formats: a package with all three weight formats inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.model_package import packaged_weights
from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.errors import ArchiveError, CheckpointError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.credit import Credit
from unifmir.export.formats.bioimageio.card import (
    ModelCard,
    credited_card,
    default_card,
    reference_card,
)
from unifmir.export.formats.bioimageio.halo import measure_halo
from unifmir.export.formats.bioimageio.lint import read_package, unpack_file
from unifmir.export.formats.bioimageio.package import (
    PackageInputs,
    build_package,
    read_lineage,
)
from unifmir.export.formats.bioimageio.proof import contradictions
from unifmir.export.formats.bioimageio.rdf import FILES
from unifmir.export.formats.onnx import DEFAULT_OPSET, ONNX
from unifmir.export.formats.torchscript import TORCHSCRIPT
from unifmir.export.lineage import Lineage
from unifmir.interfaces import reads_single_planes
from unifmir.networks.base import Network
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.reference import REFERENCES
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.version import __version__
from unifmir.zip_archive import opened_zip

TIMESTAMP = "2026-11-22T00:00:00+00:00"
"""Date of this version of the packages' contents, not of a run: same inputs, same bytes."""


class BioimageioExporter(Exporter):
    """A BioImage.IO package in the dialect that all its consumers read."""

    name = "bioimageio"
    suffix = ".bioimageio.zip"
    runtime = "onnxruntime"
    wrapped_only = True
    lacks_raw = (
        "a package states the normalisation as pre-processing, which the program that opens it "
        "carries out"
    )

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Make the weight files by their own exporters, then the package around them."""
        job = replace(job, opset=DEFAULT_OPSET)
        task, config = TASKS[job.lineage.task], job.network.config
        taken = sample(task.name)
        with temporary_folder() as folder:
            onnx_file, torchscript_file = folder / "w.onnx", folder / "w.pt"
            ONNX.write(job, onnx_file)
            TORCHSCRIPT.write(job, torchscript_file)
            inputs = PackageInputs(
                network=job.network,
                module=job.module,
                onnx_file=onnx_file,
                torchscript_file=torchscript_file,
                image=_shown(taken.image, config),
                card=_card(config, job.credit),
                storage=ELEMENT_TYPES[job.recipe.precision].dtype,
                image_note=taken.file.attribution,
                image_source=taken.file.url,
                lineage=asdict(job.lineage),
                reports=tuple(report.repeatable().to_dict() for report in job.reports),
            )
            result = build_package(inputs, path)
        parameters = sum(p.numel() for p in job.network.parameters())
        return {**result.to_dict(), "parameters": parameters, "config": config.to_dict()}

    @property
    def runnable_format(self) -> str:
        """Format of the file that is run; that the other two agree is tested while it is built."""
        return ONNX.name

    @contextmanager
    def runnable(self, path: Path) -> Iterator[Path]:
        """Yield the package's ONNX file, named like the package."""
        with temporary_folder() as folder:
            inside = folder / (path.stem + ONNX.suffix)
            unpack_file(path, FILES["onnx"], inside)
            yield inside

    def structure_differences(
        self, path: Path, network: Network, lineage: Lineage
    ) -> Iterator[str]:
        """Sentences on where the ONNX file is not the one that is exported from the parent."""
        with self.runnable(path) as inside:
            yield from ONNX.structure_differences(inside, network, lineage)

    def contradictions(
        self, path: Path, network: Network, lineage: Lineage, *, own: bool
    ) -> Iterator[str]:
        """Sentences on weights, tensors and declarations that the parent does not imply."""
        package, config = read_package(path), lineage.network_config
        if own:
            return contradictions(package, network, lineage, halo_px=None)
        taken = _shown(sample(lineage.task).image, config)
        halo_px = measure_halo(network, config, taken).halo_px
        return contradictions(package, network, lineage, halo_px=halo_px)

    def made(self, path: Path) -> bool:
        """Whether the description has unifmir's section; a package of others is a checkpoint."""
        try:
            with opened_zip(path) as archive:
                return bool(packaged_weights(archive).lineage)
        except (ArchiveError, CheckpointError):
            return True  # whoever opens it says what is wrong

    def lineage(self, path: Path) -> Lineage:
        """Lineage in the description's own section."""
        return Lineage.from_strings(read_lineage(path), path.name)


def _shown(image: np.ndarray, config: SingleConfig) -> np.ndarray:
    """The sample as the interface takes it: the middle plane where a stack is a batch of planes."""
    if reads_single_planes(config):
        plane: np.ndarray = image[len(image) // 2]
        return plane
    return image


def _card(config: SingleConfig, credit: Credit) -> ModelCard:
    """The task's card, with what is known of these weights."""
    task = TASKS[config.task]
    card = default_card(
        task.name,
        name=f"UniFMIR {task.title}",
        timestamp=TIMESTAMP,
        unifmir_version=__version__,
    )
    if isinstance(config, ReferenceConfig):
        card = reference_card(card, REFERENCES[config.model], task.title)
    return credited_card(card, credit)


BIOIMAGEIO = BioimageioExporter()
