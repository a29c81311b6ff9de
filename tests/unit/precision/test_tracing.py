"""The computing variant's casts survive tracing: well-typed ONNX and TorchScript at every size."""

import io
import warnings
from collections import Counter
from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.helpers.precision_cases import IMAGES, SHAPES, image, run, task_input
from tests.helpers.quick_rows import few_quick
from unifmir.compare import compare
from unifmir.model import image_interface
from unifmir.precision.planning import plan_precision
from unifmir.precision.variants import computing
from unifmir.tasks import TASKS


def exported(module: nn.Module, x: torch.Tensor, fixed: set[int]) -> bytes:
    """The ONNX file of a module; `fixed` axes keep their size."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # torch announces the end of this exporter, and that it does not fold some constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        torch.onnx.export(
            module,
            (x,),
            file,  # type: ignore[arg-type]  # the annotation lacks the buffers it documents
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["restored"],
            dynamic_axes={"image": {i: f"a{i}" for i in range(x.dim()) if i not in fixed}},
        )
    return file.getvalue()


@pytest.mark.parametrize(
    ("task", "interface"),
    few_quick(
        product(TASKS, ["network", "image"]),
        [("sr", "network"), ("denoise", "image")],
    ),
)
def test_computing_fp16_is_well_typed_onnx_at_every_size(task, interface, planned):
    network, plan = planned(task)
    wrapped = interface == "image"
    module = image_interface(network) if wrapped else network
    low = computing(module, plan.recipe)
    first, second = (image(*shape) for shape in (IMAGES if wrapped else SHAPES)[task])
    channels = {1, 2} if wrapped and task == "projection" else {1}
    data = exported(low, first, channels)

    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    numbers: Counter[int] = Counter()
    for tensor in model.graph.initializer:
        numbers[tensor.data_type] += int(np.prod(tensor.dims))
    share = numbers[onnx.TensorProto.FLOAT16] / (
        numbers[onnx.TensorProto.FLOAT16] + numbers[onnx.TensorProto.FLOAT]
    )
    assert share > 0.9

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for x in (first, second):
        actual = session.run(None, {"image": x.numpy()})[0]
        # ONNX Runtime has few fp16 kernels on the CPU: it rounds less often than torch.
        assert compare(run(low, x), actual).psnr_db >= 60
        assert compare(run(module, x), actual).psnr_db >= 60


def test_an_fp32_stream_with_fp16_branches_is_well_typed_onnx(outgrowing):
    x = task_input("sr")
    low = computing(outgrowing, plan_precision(outgrowing, "fp16", [x]).recipe)
    data = exported(low, x, {1})
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    y = task_input("sr", 1)
    actual = session.run(None, {"image": y.numpy()})[0]
    assert compare(run(outgrowing, y), actual).psnr_db >= 60


def test_casts_survive_torchscript_tracing(outgrowing):
    x, y = task_input("sr"), task_input("sr", 1)
    low = computing(outgrowing, plan_precision(outgrowing, "fp16", [x]).recipe)
    with warnings.catch_warnings():
        # torch announces the end of torch.jit; it is what deepImageJ and Icy load.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(low, (x,), check_trace=False)
    assert np.array_equal(run(traced, y), run(low, y))
