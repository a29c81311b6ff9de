"""OpenVINO's own format: the fastest runtime on the CPUs this was measured on.

Its two files, the graph and the weights, travel in one archive, so that one hash is of both and
neither goes without the other. Unpacked, any program with OpenVINO reads them.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from unifmir.atomic import temporary_folder
from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.formats.onnx import graph, parent_graph, told_difference
from unifmir.export.formats.openvino_structure import openvino_differences
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.openvino import (
    LINEAGE,
    SUFFIX,
    WEIGHTS,
    computes_in_bf16,
    import_openvino,
    read_model,
    recorded_lineage,
)
from unifmir.export.runtimes.openvino_graph import GRAPH
from unifmir.hashing import sha256_of
from unifmir.model import in_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Variant
from unifmir.trusted_files import remember_own
from unifmir.zip_archive import write_stored_zip

_AUTOMATIC = re.compile(r"[A-Za-z]+_\d+")
"""Name that OpenVINO gives a node without one: its type and how many there were before."""


class OpenVinoExporter(Exporter):
    """OpenVINO IR, converted from the ONNX graph."""

    name = "openvino"
    suffix = SUFFIX
    runtime = "openvino"

    def variants_of(self, element_type: str) -> tuple[Variant, ...]:
        """Variants by type: fp16 halves the file, bf16 is arithmetic where the processor has it."""
        return ("computing",) if element_type == "bf16" else ("stored",)

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Convert, say where it comes from, and pack."""
        openvino = import_openvino()
        if job.lineage.variant == "computing" and job.lineage.interface == "raw":
            raise ExportError(
                "OpenVINO would compute percentiles and sums of raw intensities in bf16 too, which "
                "has 8 bits for them: export with --precision fp16, or with --interface image"
            )
        if job.lineage.variant == "computing" and not computes_in_bf16():
            raise ExportError(
                "this processor computes nothing in bf16, so a file that does cannot be verified "
                "here: export with --precision fp16, or on a processor that does"
            )
        traced = _in_fp32(job) if job.lineage.variant == "computing" else job
        model = read_model(graph(traced).SerializeToString())
        _number(model)
        for key, value in job.lineage.to_strings().items():
            model.set_rt_info(value, [LINEAGE, key])
        _write_archive(model, path)
        remember_own(sha256_of(path))
        return {"openvino": openvino.__version__.partition("-")[0]}

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the graph's run-time information."""
        return Lineage.from_strings(recorded_lineage(path), path.name)

    def structure_differences(
        self, path: Path, network: Network, lineage: Lineage
    ) -> Iterator[str]:
        """Sentences on where the graph is not the one that is exported from the parent."""
        # It is exported in fp32: OpenVINO itself computes that in bf16.
        wide = replace(lineage, precision="fp32", variant="stored")
        model = read_model(parent_graph(network, wide).SerializeToString())
        with temporary_folder() as folder:
            made = folder / ("parent" + SUFFIX)
            _write_archive(model, made)
            for problem in openvino_differences(path, made, lineage.types):
                yield told_difference(path, problem, lineage)


def _write_archive(model: Any, path: Path) -> None:
    """Pack the graph and the weights of a model."""
    with temporary_folder() as folder:
        # Halving the weights is the default, whatever the precision.
        import_openvino().save_model(model, folder / GRAPH, compress_to_fp16=False)
        names = (GRAPH, WEIGHTS)
        write_stored_zip({name: (folder / name).read_bytes() for name in names}, path)


def _in_fp32(job: ExportJob) -> ExportJob:
    """The job of the fp32 graph.

    OpenVINO itself computes it in bf16, islands or not. Marking operations to stay in fp32 was
    tried: fully connected layers and softmax do not heed it, and with the others in fp32 the
    full-size sr network gains 10 dB and loses all of the speed.
    """
    return replace(
        job,
        module=in_interface(job.network, job.lineage.interface),
        lineage=replace(job.lineage, precision="fp32", variant="stored"),
    )


def _number(model: Any) -> None:
    """Number what has no name of its own in the graph's order, not in that of the process."""
    for index, node in enumerate(model.get_ordered_ops()):
        if _AUTOMATIC.fullmatch(node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_{index}")


OPENVINO_FORMAT = OpenVinoExporter()
