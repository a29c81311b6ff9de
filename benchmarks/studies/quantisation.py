"""Difference from fp32 of the embedded models in bf16 and eight bits: an experiment, no export.

    python -m benchmarks.studies.quantisation [TASK ...]

writes benchmarks/results/quantisation-PROCESSOR-VERSIONS.json; `make tables` then writes
docs/quantisation.md. Scores and softmax of the attention stay in floating point throughout, and
each result is held to what fp16 is held to, on the same inputs.
"""

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor, nn

import unifmir
from unifmir.benchmarks.studies.result_files import write_result
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.compare import LOW_PRECISION, compare
from unifmir.export.base import ExportJob
from unifmir.export.case_sizes import fixed_cases, verified_shapes
from unifmir.export.cases import calibration_inputs, cases, example
from unifmir.export.credit import Credit
from unifmir.export.formats.onnx import DEFAULT_OPSET, graph
from unifmir.export.formats.openvino import OPENVINO_FORMAT
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes.onnxruntime import ONNXRUNTIME
from unifmir.export.runtimes.openvino import OPENVINO
from unifmir.export.shaping import patched_for_export
from unifmir.machine import cores, processor, versions
from unifmir.model import Provenance
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision, Variant
from unifmir.precision.planning import plan_precision
from unifmir.samples import sample
from unifmir.tasks import TASKS

MODEL = "unifmir-small-sim"
CROPS = 8
"""Number of crops of the shipped sample that value ranges are measured on."""
SCOPES: dict[str, tuple[str, ...]] = {
    "all": ("Conv", "MatMul"),
    "linear": ("MatMul",),
    "convolutions": ("Conv",),
}
"""Which layers are quantised -> operators."""
FP8_MAX = torch.finfo(torch.float8_e4m3fn).max
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Integers:
    """Int8 weights, one scale a channel, and activations, one scale a tensor."""

    name: str
    activations: QuantType
    symmetric: bool
    """Zero is 0, as TensorRT wants it."""


INTEGERS = (
    Integers("int8, symmetric", QuantType.QInt8, True),
    Integers("uint8 activations", QuantType.QUInt8, False),
)


class Crops(CalibrationDataReader):  # type: ignore[misc]  # untyped in onnxruntime
    """Calibration inputs, one after the other."""

    def __init__(self, name: str, inputs: Sequence[Tensor]) -> None:
        self._inputs = iter([{name: x.numpy()} for x in inputs])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next one; None after the last."""
        return next(self._inputs, None)


def job_of(network: Network, precision: str, variant: Variant) -> ExportJob:
    """The job that `unifmir export --interface network` gives to a format."""
    x = example(network.config, "network")
    source = Provenance(MODEL, tensors_sha256(network.state_dict()))
    return ExportJob(
        network=network,
        module=network,
        example=x,
        lineage=lineage_of(
            network.config, "network", Precision.of_variant(precision, variant), source
        ),
        recipe=plan_precision(network, "fp32", [x]).recipe,
        opset=DEFAULT_OPSET,
        credit=Credit(),
    )


def kept_in_float(model: ModelProto) -> list[str]:
    """Products of two activations, what an exponential follows, and the convolutions at the ends.

    The last one's result is the picture, which has more than 256 values.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return [
        convolutions[0],
        convolutions[-1],
        *(
            node.name
            for node in model.graph.node
            if node.op_type == "MatMul"
            and (not weights.intersection(node.input) or "attn_fn" in node.name)
        ),
    ]


def quantised(
    file: Path, kind: Integers, scope: str, inputs: Sequence[Tensor], target: Path
) -> Path:
    """An ONNX file with QuantizeLinear and DequantizeLinear around the layers of a scope."""
    model = onnx.load(file)
    with warnings.catch_warnings():
        # Of its own preprocessing, which this graph has behind it.
        warnings.simplefilter("ignore")
        quantize_static(
            file,
            target,
            Crops(model.graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(SCOPES[scope]),
            nodes_to_exclude=kept_in_float(model),
            per_channel=True,
            activation_type=kind.activations,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": kind.symmetric,
                "WeightSymmetric": True,
                # TensorRT refuses biases of 32 bits.
                "QuantizeBias": False,
            },
        )
    return target


def in_fp8(values: Tensor, largest: Tensor) -> Tensor:
    """Rounded to fp8 (E4M3) with a scale that makes `largest` the largest number."""
    scale = largest.clamp(min=1e-12) / FP8_MAX
    narrow = (values / scale).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return narrow.to(values.dtype) * scale


def layers(network: nn.Module, scope: str, x: Tensor) -> list[nn.Conv2d | nn.Linear]:
    """Layers of a scope in the order they run, but for those that `kept_in_float` is about."""
    ran: list[nn.Conv2d | nn.Linear] = []
    found = [child for child in network.modules() if isinstance(child, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_pre_hook(lambda one, _: ran.append(one)) for layer in found]
    network(x)
    for handle in handles:
        handle.remove()
    convolutions = [layer for layer in ran if isinstance(layer, nn.Conv2d)]
    operators = {nn.Conv2d: "Conv", nn.Linear: "MatMul"}
    return [
        layer
        for layer in dict.fromkeys(ran)
        if operators[type(layer)] in SCOPES[scope]
        and layer not in (convolutions[0], convolutions[-1])
    ]


@contextmanager
def simulated_fp8(network: Network, scope: str, inputs: Sequence[Tensor]) -> Iterator[Run]:
    """The network with weights and inputs of a scope's layers rounded to fp8, sums in fp32."""

    def measure(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        ranges[layer] = torch.maximum(ranges[layer], args[0].abs().amax())

    def narrow(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (in_fp8(args[0], ranges[layer]),)

    # Patched, because the fast way of the eager network does not call each layer.
    with torch.no_grad(), patched_for_export(network):
        chosen = layers(network, scope, inputs[0])
        ranges: dict[nn.Module, Tensor] = {layer: torch.zeros(()) for layer in chosen}
        weights = {layer: layer.weight.detach().clone() for layer in chosen}
        handles = [layer.register_forward_pre_hook(measure) for layer in chosen]
        for x in inputs:
            network(x)
        for handle in handles:
            handle.remove()
        for layer in chosen:
            axes = tuple(range(1, layer.weight.dim()))
            largest = layer.weight.abs().amax(dim=axes, keepdim=True)
            layer.weight.copy_(in_fp8(layer.weight, largest))
        handles = [layer.register_forward_pre_hook(narrow) for layer in chosen]
        try:
            yield lambda image: network(torch.from_numpy(image)).numpy()
        finally:
            for handle in handles:
                handle.remove()
            for layer in chosen:
                layer.weight.copy_(weights[layer])


class Task:
    """A task's embedded network and what its results are held to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.network = unifmir.prune(unifmir.load(MODEL, task=name), name)
        raw = sample(name).image
        self.inputs = calibration_inputs(self.network.config, "network", [raw], count=CROPS)
        shapes = verified_shapes(self.network.config, "network")
        self.cases = cases(self.network.config, "network", raw, fixed_cases(shapes))
        with torch.inference_mode():
            self.expected = [self.network(torch.from_numpy(c.image)).numpy() for c in self.cases]

    def row(self, arithmetic: str, scope: str, runtime: str, run: Run) -> dict[str, Any]:
        """Row of the results: a way to compute against fp32, on the verification's inputs."""
        found = [
            compare(wanted, run(case.image))
            for wanted, case in zip(self.expected, self.cases, strict=True)
        ]
        missed = [LOW_PRECISION.failures(comparison) for comparison in found]
        row = {
            "task": self.name,
            "arithmetic": arithmetic,
            "scope": scope,
            "runtime": runtime,
            "psnr_db": min(comparison.psnr_db for comparison in found),
            # Random inputs go beyond the ranges that images have: these are the images alone.
            "image_psnr_db": min(
                comparison.psnr_db
                for comparison, case in zip(found, self.cases, strict=True)
                if case.source == "real"
            ),
            "slope_error": max(abs(comparison.slope - 1) for comparison in found),
            "cases": len(found),
            "cases_missed": sum(bool(texts) for texts in missed),
            "passed": not any(missed),
            "failures": [text for texts in missed for text in texts][:3],
        }
        print(self.name, arithmetic, scope, runtime, f"{row['psnr_db']:.1f} dB", file=sys.stderr)
        return row


def rows_of(task: Task, folder: Path) -> Iterator[dict[str, Any]]:
    """All results of a task."""
    file = folder / f"{task.name}.onnx"
    onnx.save(graph(job_of(task.network, "fp32", "stored")), file)
    low = folder / f"{task.name}{OPENVINO_FORMAT.suffix}"
    OPENVINO_FORMAT.write(job_of(task.network, "bf16", "computing"), low)
    session = OPENVINO.open(low, device="cpu", threads=1)
    yield task.row("bf16", "all", OPENVINO.name, session.run)
    for scope in SCOPES:
        for kind in INTEGERS:
            path = quantised(file, kind, scope, task.inputs, folder / "quantised.onnx")
            for runtime in (ONNXRUNTIME, OPENVINO):
                session = runtime.open(path, device="cpu", threads=1)
                yield task.row(kind.name, scope, runtime.name, session.run)
        with simulated_fp8(task.network, scope, task.inputs) as run:
            yield task.row("fp8 (E4M3)", scope, "simulated", run)


def main(names: Sequence[str]) -> None:
    """Run the experiment and write its result."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="unifmir-") as folder:
        for name in names or list(TASKS):
            rows += rows_of(Task(name), Path(folder))
    told = versions("torch", "onnxruntime", "openvino", "onnx")
    document = {
        "command": "python -m benchmarks.studies.quantisation",
        "model": MODEL,
        "machine": {"processor": processor(), "cores": cores()},
        "versions": told,
        "tolerance": LOW_PRECISION.to_dict(),
        "rows": rows,
    }
    kind = "amd-epyc" if "EPYC" in processor() else "cpu"
    name = f"quantisation-{kind}-ort{told['onnxruntime']}-openvino{told['openvino']}.json"
    write_result(name, document)


if __name__ == "__main__":
    main(sys.argv[1:])
