"""OpenVINO: its own files and ONNX files, compiled for each size that comes."""

import importlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from unifmir.devices import Device, device_named
from unifmir.errors import ArchiveError, BenchmarkError, ExportError, MissingExtraError
from unifmir.export.runtimes.base import Image, Runtime, Session, TimedOnHost
from unifmir.export.runtimes.onnx_graph import require_plain_graph
from unifmir.export.runtimes.openvino_graph import GRAPH, parsed_plain_graph
from unifmir.precision.element_types import Precision
from unifmir.zip_archive import opened_zip

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

SUFFIX = ".openvino.zip"
WEIGHTS = "model.bin"
"""Name of the weights in an archive, beside the graph."""
LINEAGE = "unifmir"
"""Key of the run-time information that holds the lineage."""
KEPT_SIZES = 4
"""Compiled graphs that are kept: a whole image is restored in tiles of few sizes."""


class OpenVino(Runtime):
    """Runs a file of `unifmir export --format openvino`; one of `--format onnx` as well."""

    name = "openvino"
    format = "openvino"
    also_reads = ("onnx",)
    body_maps = 16
    holds_attention = True
    distributions = ("openvino",)

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in fp16, and on the CPU arithmetic in bf16; nothing on devices of others."""
        there = device_named(device)
        if there.kind.openvino is None:
            return ()
        stored = (Precision("fp32"), Precision("fp16"))
        return (*stored, Precision("bf16", "bf16")) if there.is_cpu else stored

    def require(self) -> None:
        """Import OpenVINO."""
        import_openvino()

    def require_harmless(self, path: Path) -> None:
        """Refuse a graph that does more than compute with its own tensors."""
        _checked(path)

    def open(self, source: "nn.Module | Path", *, device: str, threads: int) -> Session:
        """Read the file; it is compiled when the first image comes."""
        path, there = self.file_from(source), device_named(device)
        if there.kind.openvino is None:
            raise BenchmarkError(
                f"openvino does not run on {there.name}: use --device cpu or openvino:GPU"
            )
        self.require()
        there.require()
        return OpenVinoSession(read_model(path), threads, path.name, there)


class OpenVinoSession(TimedOnHost):
    """A graph, compiled anew for each shape: with sizes known it runs faster than with free ones.

    Parameters
    ----------
    model : openvino.Model
        With free sizes.
    threads : int
    name : str
        Of the file, for errors.
    device : Device
        One that OpenVINO has.
    """

    def __init__(self, model: Any, threads: int, name: str, device: Device) -> None:
        self._model = model
        self._device = device
        self._name = name
        self._core = import_openvino().Core()
        wanted = "bf16" if _says(model, "variant") == "computing" else "f32"
        if wanted == "bf16" and not computes_in_bf16():
            raise ExportError(
                f"{name} computes in bf16 and this processor does not: use the fp32 or fp16 file"
            )
        self._wanted = wanted
        self._threads = threads
        self._settings: dict[str, Any] = {
            "NUM_STREAMS": 1,
            # By default it computes in bf16 where the processor can: 46 to 56 dB on the embedded
            # models, not the same picture. On a GPU the default is fp16.
            "INFERENCE_PRECISION_HINT": wanted,
        }
        if device.is_cpu:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._last: Any = None

    @property
    def ran(self) -> Mapping[str, Any]:
        """Facts of what ran last; before any image, of what would run for free sizes."""
        compiled = self._last or self._compiled(self._model)
        return {
            "library": "openvino",
            "version": import_openvino().__version__,
            "provider": ", ".join(compiled.get_property("EXECUTION_DEVICES")),
            "device": self._device.name,
            "threads": (
                int(compiled.get_property("INFERENCE_NUM_THREADS"))
                if self._device.is_cpu
                else self._threads
            ),
            "tf32": False,
            "element_type": compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        }

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Arithmetic other than what the file asks for."""
        found = self.ran["element_type"]
        return () if found == self._wanted else (f"{self._wanted} was asked for, {found} was used",)

    def run(self, image: Image) -> Image:
        """Restore an image."""
        # A copy: OpenVINO gives its own buffer, which the next run overwrites.
        restored: Image = self._request(image.shape).infer([image], share_inputs=True)[0].copy()
        return restored

    def _request(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._requests:
            model = self._model.clone()
            try:
                model.reshape(list(shape))
            except RuntimeError as error:
                raise ExportError(
                    f"{self._name} does not take an image of shape {shape}: {error}"
                ) from error
            compiled = self._compiled(model)
            if len(self._requests) == KEPT_SIZES:
                self._requests.popitem(last=False)
            self._requests[shape] = (compiled, compiled.create_infer_request())
        self._requests.move_to_end(shape)
        self._last, request = self._requests[shape]
        return request

    def _compiled(self, model: Any) -> Any:
        kind, index = self._device.kind.openvino, self._device.index
        place = f"{kind}.{index}" if self._device.kind.separator else kind
        try:
            return self._core.compile_model(model, place, self._settings)
        except RuntimeError as error:
            raise ExportError(f"{self._name}: OpenVINO cannot compile it: {error}") from error


def import_openvino() -> Any:
    """The library; MissingExtraError where it is not installed."""
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingExtraError(
            "OpenVINO is not installed: pip install 'unifmir[openvino]' (or openvino itself)"
        ) from error


def computes_in_bf16() -> bool:
    """Whether OpenVINO finds that this processor has arithmetic in bf16."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def read_model(source: Path | bytes) -> Any:
    """A graph with free sizes, safe to be given fixed ones.

    Parameters
    ----------
    source : Path or bytes
        An archive of ours or an ONNX file; the content of an ONNX file.

    Returns
    -------
    openvino.Model

    Raises
    ------
    ExportError
        It is neither.
    """
    openvino = import_openvino()
    name = source.name if isinstance(source, Path) else "the ONNX graph"
    core = openvino.Core()
    graph, weights = _checked(source)
    try:
        if weights is None:
            model = core.read_model(graph)
        else:
            # Copied, so that the graph does not depend on the life of these bytes.
            model = core.read_model(graph, openvino.Tensor(np.frombuffer(weights, np.uint8).copy()))
    except RuntimeError as error:
        raise ExportError(f"{name}: OpenVINO cannot read it: {error}") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ExportError(f"{name}: expected one input and one output")
    _without_integer_abs(openvino, model)
    return model


def _checked(source: Path | bytes) -> tuple[bytes, bytes | None]:
    """Graph and weights that may run here, read once; no weights where the graph is ONNX."""
    name = source.name if isinstance(source, Path) else "the ONNX graph"
    if isinstance(source, Path) and source.name.endswith(SUFFIX):
        text, weights = _unpacked(source)
        parsed_plain_graph(name, text, len(weights))
        return text, weights
    content = source.read_bytes() if isinstance(source, Path) else source
    require_plain_graph(name, content)
    return content, None


def recorded_lineage(path: Path) -> dict[str, str]:
    """Texts of the lineage in an archive's graph, of which nothing is run.

    Raises
    ------
    ExportError
        It is no archive of ours, or has no lineage.
    """
    graph, _ = read_archive(path)
    records = graph.findall(f"rt_info/{LINEAGE}")
    if len(records) != 1 or len({entry.tag for entry in records[0]}) != len(records[0]):
        raise ExportError(f"{path.name}: an OpenVINO graph that `unifmir export` did not make")
    (record,) = records
    return {entry.tag: entry.get("value", "") for entry in record}


def read_archive(path: Path) -> tuple[ET.Element, bytes]:
    """The XML and the weights of an archive, of which nothing is run; ExportError if it is none."""
    text, weights = _unpacked(path)
    return parsed_plain_graph(path.name, text, len(weights)), weights


def _unpacked(path: Path) -> tuple[bytes, bytes]:
    """Graph and weights. Both are stored as they are, so neither can be larger than the archive."""
    try:
        return _members(path)
    except ArchiveError as error:
        raise ExportError(f"{path.name}: OpenVINO cannot read it: {error}") from error


def _members(path: Path) -> tuple[bytes, bytes]:
    with opened_zip(path) as archive:
        found = archive.members
        if set(found) != {GRAPH, WEIGHTS} or any(m.compress_type for m in found.values()):
            raise ExportError(
                f"{path.name}: expected {GRAPH} and {WEIGHTS}, not compressed, and nothing else; "
                f"found {', '.join(sorted(found)) or 'nothing'}"
            )
        return archive.read(GRAPH), archive.read(WEIGHTS)


def _without_integer_abs(openvino: Any, model: Any) -> None:
    """Write |x| of integers as max(x, -x).

    With fixed sizes OpenVINO (2026.4.1) takes every index computed from them for non-negative, and
    drops the Abs: where an image is continued by reflection it then reads other pixels, 13 dB.
    """
    ops = openvino.opset13
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Abs" and node.get_output_element_type(0).is_integral():
            x = node.input_value(0)
            node.output(0).replace(ops.maximum(x, ops.negative(x)).output(0))


def _says(model: Any, key: str) -> str:
    """A field of the lineage; empty where there is none, as in ONNX files."""
    path = [LINEAGE, key]
    return str(model.get_rt_info(path).astype(str)) if model.has_rt_info(path) else ""


OPENVINO = OpenVino()
