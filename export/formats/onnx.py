"""ONNX: one file, one input, one output, free batch and image sizes."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper, version_converter

from unifmir.atomic import temporary_folder
from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.cases import calibration_inputs, traced_example
from unifmir.export.credit import Credit
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats.onnx_structure import onnx_differences
from unifmir.export.lineage import IMAGE, RESTORED, Lineage, artifact_versions
from unifmir.export.runtimes.onnx_graph import FIJI_OPSET, OPSETS, require_plain_graph
from unifmir.export.shaping import patched_for_export
from unifmir.interfaces import FIXED, dynamic_axes
from unifmir.model import in_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.precision.planning import plan_precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.precision.variants import DTYPES, computing
from unifmir.samples import sample
from unifmir.trusted_files import remember_own

logger = logging.getLogger(__name__)

DEFAULT_OPSET = FIJI_OPSET
BF16_OPSET, BF16_IR = 22, 10
"""Opset and IR for arithmetic in bf16, which no runtime on the CPU has: for TensorRT."""
SLIM_GROWTH = 1.05
"""A simplifier that folds constants may inflate a file (onnxsim issues 101, 178): keep the
traced graph if the simplified file is larger by more than this factor."""

LARGE_KERNEL_BYTES = 1 << 18
"""Size from which weights of a convolution are kept from the simplifier."""
SMALL_CONSTANT_BYTES = 4096
"""Size up to which a constant may be a shape or a part of one."""


class OnnxExporter(Exporter):
    """ONNX by tracing; see the module's constants for the choice of opset."""

    name = "onnx"
    suffix = ".onnx"
    runtime = "onnxruntime"
    variants = ("stored", "computing")

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the graph; see `graph`."""
        content = serialized_graph(job)
        path.write_bytes(content)
        remember_own(sha256(content).hexdigest())
        model = onnx.load_from_string(content)
        return {
            "opset": model.opset_import[0].version,
            "ir_version": model.ir_version,
            "nodes": len(model.graph.node),
        }

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the model's metadata properties."""
        model = _read(path)
        return Lineage.from_strings({p.key: p.value for p in model.metadata_props}, path.name)

    def structure_differences(
        self, path: Path, network: Network, lineage: Lineage
    ) -> Iterator[str]:
        """Sentences on where the graph is not the one that is exported from the parent."""
        require_plain_graph(path.name, path.read_bytes())
        found = _read(path)
        opset = max((one.version for one in found.opset_import), default=0)
        made = parent_graph(network, lineage, opset)
        for problem in onnx_differences(found, made, lineage.types):
            yield told_difference(path, problem, lineage)


def _read(path: Path) -> ModelProto:
    if path.is_file() and not path.stat().st_size:  # which protobuf takes for a model of nothing
        raise ExportError(f"{path.name} is empty: the download or copy failed, get it again")
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ExportError(f"{path.name}: not an ONNX model ({error})") from error


def parent_graph(network: Network, lineage: Lineage, opset: int = 0) -> ModelProto:
    """The graph that is exported from a parent, for the interface and arithmetic of a lineage.

    Weights that are stored in two bytes are left in fp32. Where it computes in two bytes, islands
    are those that the shipped sample of the task and the verification of this interface demand.

    Parameters
    ----------
    network : Network
        In fp32.
    lineage : Lineage
    opset : int
        Of the file that is held against it; the default where it is none that is exported.
    """
    module, recipe = in_interface(network, lineage.interface), PrecisionRecipe("fp32")
    if lineage.variant == "computing":
        real = sample(lineage.task).image
        recipe = plan_precision(
            network,
            lineage.precision,
            calibration_inputs(network.config, "network", [real]),
            variants=(lineage.variant,),
            trials=ExpectedOutputs(network, real).trials([lineage.interface]),
        ).recipe
        module = in_interface(network, lineage.interface, lambda one: computing(one, recipe))
    else:
        lineage = replace(lineage, precision="fp32")
    return graph(
        ExportJob(
            network=network,
            module=module,
            example=traced_example(network.config, lineage.interface),
            lineage=replace(lineage, config=network.config.to_dict()),
            recipe=recipe,
            opset=opset if opset in OPSETS else DEFAULT_OPSET,
            credit=Credit(),
        )
    )


def told_difference(path: Path, problem: str, lineage: Lineage) -> str:
    """Sentence on a graph that is not the export of its parent, and what to do."""
    theirs, ours = lineage.versions, artifact_versions()
    others = [
        f"{name} {theirs[name]} there and {version} here"
        for name, version in ours.items()
        if theirs.get(name, version) != version
    ]
    versions = f" It was made with {', '.join(others)}." if others else ""
    return (
        f"{path.name}: its graph is not the one that is exported from its parent: {problem}."
        f"{versions} Export the parent again, and use that file"
    )


def graph(job: ExportJob) -> ModelProto:
    """The graph of `serialized_graph`; ExportError as there."""
    return onnx.load_from_string(serialized_graph(job))


def serialized_graph(job: ExportJob) -> bytes:
    """Trace, simplify, store weights in the precision, name the axes, add the lineage.

    Formats of one export that take the same graph share it.

    Raises
    ------
    ExportError
        The opset is not supported, or a size was fixed while tracing.
    """
    if job.opset not in OPSETS:
        raise ExportError(
            f"opset {job.opset} is not supported: expected {OPSETS[0]} to {OPSETS[-1]}; "
            f"{FIJI_OPSET} is what Fiji reads"
        )
    key = ("onnx", job.module, job.opset, *job.lineage.to_strings().items())
    return job.traces.made(key, lambda: _new_graph(job).SerializeToString(deterministic=True))


def _new_graph(job: ExportJob) -> ModelProto:
    bf16_compute = (job.lineage.precision, job.lineage.variant) == ("bf16", "computing")
    with temporary_folder() as folder:
        # In a file between the steps: a graph of 300 MB would be in memory several times over.
        file = folder / "traced.onnx"
        _trace(replace(job, opset=OPSETS[-1]) if bf16_compute else job, file)
        if bf16_compute:
            onnx.save(_with_bf16_convolutions(onnx.load(file)), file)
        model = _simplified(file)
    if job.lineage.variant == "stored" and job.lineage.precision != "fp32":
        _store_initializers(model, job.lineage.precision)
    _name_axes(model, job.lineage)
    helper.set_model_props(model, job.lineage.to_strings())
    model.producer_name, model.producer_version = "unifmir", job.lineage.versions["unifmir"]
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    assert_symbolic(model, job.lineage)
    return model


def _trace(job: ExportJob, file: Path) -> None:
    lineage = job.lineage
    with warnings.catch_warnings(), torch.no_grad(), patched_for_export(job.module):
        # Tracing warns where it fixes a Python value, and that it is the older exporter. It is
        # used because the newer one writes IR 10, which Fiji rejects; that nothing was fixed is
        # asserted on the graph and by running it at other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            job.module,
            (job.example,),
            file,
            dynamo=False,
            opset_version=job.opset,
            input_names=[IMAGE],
            output_names=[RESTORED],
            dynamic_axes={
                IMAGE: dynamic_axes(lineage.input_axes),
                RESTORED: dynamic_axes(lineage.output_axes),
            },
        )


def _with_bf16_convolutions(model: ModelProto) -> ModelProto:
    """The graph in the first opset that has convolutions in bf16; tracing ends at 20."""
    converted: ModelProto = version_converter.convert_version(model, BF16_OPSET)
    converted.ir_version = BF16_IR
    return converted


def _simplified(file: Path) -> ModelProto:
    # Here, as it brings sympy along, and reading a file's lineage needs neither.
    import onnxslim

    traced = onnx.load(file)
    ir_version = traced.ir_version
    kernels = _take_kernels(traced.graph)
    slim: ModelProto = onnxslim.slim(traced)
    _put_back(slim.graph, kernels)
    _share_equal_weights(slim.graph)
    if slim.ByteSize() > SLIM_GROWTH * file.stat().st_size:
        logger.info("simplified graph is larger (%d bytes): kept as traced", slim.ByteSize())
        return onnx.load(file)
    slim.ir_version = ir_version
    return slim


def _share_equal_weights(graph: onnx.GraphProto) -> None:
    """Keep one of several initialisers that hold the same.

    A network that is called twice, for the two kinds of sections of a volume, shares its weights;
    simplifying copies them to each place where they are read.
    """
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    kept, names = [], {}
    for tensor in graph.initializer:
        content = numpy_helper.to_array(tensor).tobytes()
        key = tensor.data_type, tuple(tensor.dims), sha256(content).digest()
        names[tensor.name] = first.setdefault(key, tensor.name)
        if names[tensor.name] == tensor.name:
            kept.append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)


def _take_kernels(graph: onnx.GraphProto) -> list[TensorProto]:
    """Take the large kernels of convolutions out of a graph; inputs of their names stay for them.

    Simplifying leaves them as they are, but takes those of a large network through each of its
    steps: 15 s and 1 GiB for 300 MB.
    """
    read = Counter(name for node in graph.node for name in node.input)
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    kept: list[TensorProto] = []
    taken: list[TensorProto] = []
    for tensor in graph.initializer:
        alone = tensor.name in kernels and read[tensor.name] == 1
        (taken if alone and len(tensor.raw_data) >= LARGE_KERNEL_BYTES else kept).append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in taken
    )
    return taken


def _put_back(graph: onnx.GraphProto, kernels: Sequence[TensorProto]) -> None:
    """Give a graph the kernels that were taken from it, in the order of the nodes that read them.

    Raises
    ------
    ExportError
        One of them is not read any more.
    """
    by_name = {one.name: one for one in kernels}
    inputs = [one for one in graph.input if one.name not in by_name]
    del graph.input[:]
    graph.input.extend(inputs)
    read = [name for node in graph.node for name in node.input if name in by_name]
    if sorted(read) != sorted(by_name):
        raise ExportError("simplifying the graph lost weights: install the pinned onnxslim")
    graph.initializer.extend(by_name[name] for name in read)


def _store_initializers(model: ModelProto, precision: str) -> None:
    """Store weights in two bytes and cast them back in the graph: fp32 arithmetic, half the file.

    Only initialisers that the narrow type holds exactly are touched, so nothing is rounded here:
    the module's weights were rounded before tracing.
    """
    kind = TensorProto.DataType.Value(ELEMENT_TYPES[precision].dtype.upper())
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        narrow = torch.from_numpy(values.copy()).to(DTYPES[precision])
        if values.size < 2 or not bool((narrow.float() == torch.from_numpy(values.copy())).all()):
            continue
        name = tensor.name
        raw = narrow.view(torch.int16).numpy().tobytes()
        dims = list(tensor.dims)
        tensor.Clear()
        tensor.CopyFrom(helper.make_tensor(f"{name}.{precision}", kind, dims, raw, raw=True))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def _name_axes(model: ModelProto, lineage: Lineage) -> None:
    """Give the free dimensions of input and output their names, whatever simplifying did."""
    ends = [(model.graph.input[0], lineage.input_axes)]
    ends.append((model.graph.output[0], lineage.output_axes))
    for value, names in ends:
        for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            dimension.Clear()
            if FIXED in name:
                dimension.dim_value = int(name.split(FIXED)[1])
            else:
                dimension.dim_param = name


def assert_symbolic(model: ModelProto, lineage: Lineage) -> None:
    """Refuse a graph that carries the traced sizes.

    The declared axes are ours, so they prove nothing: what counts is whether shape inference over
    the nodes ends in the traced sizes.

    Raises
    ------
    ExportError
        If the graph has not exactly one input and one output, or an output axis that should be
        free is inferred to be a number.
    """
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ExportError(
            f"expected one input and one output, the graph has {len(graph.input)} and "
            f"{len(graph.output)}"
        )
    bare = _without_weights(model)
    bare.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph.output[0]
    dimensions = inferred.type.tensor_type.shape.dim
    for name, dimension in zip(lineage.output_axes, dimensions, strict=False):
        if FIXED not in name and dimension.HasField("dim_value"):
            raise ExportError(
                f"output axis {name!r} is fixed at {dimension.dim_value} in the traced graph; "
                "it should be free: some Python integer was taken from a shape"
            )


def _without_weights(model: ModelProto) -> ModelProto:
    """A copy that holds the values of small constants alone, which is what sizes are made of."""
    graph, rest = model.graph, onnx.GraphProto()
    rest.name = graph.name
    rest.node.extend(graph.node)
    rest.input.extend(graph.input)
    rest.output.extend(graph.output)
    rest.value_info.extend(graph.value_info)
    for tensor in graph.initializer:
        if len(tensor.raw_data) <= SMALL_CONSTANT_BYTES:
            rest.initializer.append(tensor)
        else:
            rest.initializer.add(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    return helper.make_model(rest, opset_imports=model.opset_import, ir_version=model.ir_version)


ONNX = OnnxExporter()
