"""The graph that is exported: the same function and the same work, in fewer steps."""

from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, numpy_helper

from tests.golden.weights import filled
from tests.helpers.quick_rows import few_quick
from unifmir.benchmarks.studies.oracles.onnx_macs import count_onnx
from unifmir.compare import FP32, compare
from unifmir.cost.dispatcher import count_dispatched
from unifmir.export.base import ExportJob
from unifmir.export.cases import example, traced_example
from unifmir.export.credit import Credit
from unifmir.export.formats.onnx import DEFAULT_OPSET, graph
from unifmir.export.lineage import lineage_of
from unifmir.export.shaping import patched_for_export
from unifmir.interfaces import shape_of
from unifmir.model import Provenance, build, in_interface
from unifmir.networks.base import Network
from unifmir.networks.swin import SwinBlock
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.tasks import TASKS

BLOCKS = 4
"""Of the tiny network: two groups of one regular and one shifted block."""


@pytest.fixture(scope="module")
def network(tiny_config) -> Network:
    """The tiny sr network."""
    found = build(tiny_config.single("sr"))
    found.load_state_dict(filled(found.state_dict(), seed=0))
    return found


@pytest.fixture(scope="module")
def exported(network) -> ModelProto:
    """Its graph."""
    x = example(network.config, "network")
    job = ExportJob(
        network=network,
        module=network,
        example=x,
        lineage=lineage_of(network.config, "network", Precision("fp32"), Provenance("p", "0" * 64)),
        recipe=plan_precision(network, "fp32", [x]).recipe,
        opset=DEFAULT_OPSET,
        credit=Credit(),
    )
    return graph(job)


def operators(model: ModelProto) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(node.op_type for node in model.graph.node)


SIZES = ((1, (5, 8, 8)), (3, (5, 9, 30)), (2, (6, 24, 16)))


@pytest.mark.parametrize(
    ("task", "batch", "size"),
    few_quick(
        [(task, *size) for task in TASKS for size in SIZES],
        [(task, *size) for task in TASKS for size in SIZES[: 1 if task == "volume" else 3]],
    ),
)
def test_a_patched_module_computes_the_same(task, batch, size, tiny_single):
    module = tiny_single(task)
    shape = shape_of(module.config, "network", batch=batch, size=size)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = module(x).numpy()
        with patched_for_export(module):
            actual = module(x).numpy()
    assert not FP32.failures(compare(expected, actual))


def test_a_module_is_itself_again_afterwards_also_after_an_error(network):
    before = [dict(child.__dict__) for child in network.modules()]
    with patched_for_export(network):
        assert any("forward" in child.__dict__ for child in network.modules())
    with pytest.raises(ZeroDivisionError), patched_for_export(network):
        raise ZeroDivisionError
    after = [dict(child.__dict__) for child in network.modules()]
    assert [list(kept) for kept in after] == [list(kept) for kept in before]


@pytest.mark.slow
def test_the_graph_does_the_work_that_the_dispatcher_counts(network, exported):
    shape = (2, 1, 21, 40)
    found = count_onnx(exported, shape)
    assert found.unknown == ()
    assert found.by_kind() == count_dispatched(network, shape).by_kind()


def test_tokens_move_once_between_blocks_and_norms_stay_whole(network, exported):
    found = operators(exported)
    norms = sum(isinstance(child, torch.nn.LayerNorm) for child in network.modules())
    assert found["LayerNormalization"] == norms
    assert found["Softmax"] == BLOCKS == sum(isinstance(c, SwinBlock) for c in network.modules())
    kinds = {v.name: v.type.tensor_type.elem_type for v in exported.graph.value_info}
    moved = [
        node
        for node in exported.graph.node
        if node.op_type == "Gather"
        and kinds.get(node.output[0]) == onnx.TensorProto.FLOAT
        and "/layers." in node.name
    ]
    # Each group: into windows, to the shifted ones, back.
    assert len(moved) == 3 * 2
    # Queries, keys, values and what was attended; the image to tokens and back around each
    # convolution of the body; the windows' index there and back, twice.
    assert found["Transpose"] <= 4 * BLOCKS + 2 * 3 + 4


def test_the_position_bias_is_a_constant(network, exported):
    heads = network.config.body.num_heads[0]
    shapes = [tuple(tensor.dims) for tensor in exported.graph.initializer]
    assert shapes.count((1, heads, 64, 64)) == BLOCKS
    table = network.layers[0].residual_group.blocks[0].attn.relative_position_bias_table
    assert tuple(table.shape) not in shapes
    biases = [t for t in exported.graph.initializer if tuple(t.dims) == (1, heads, 64, 64)]
    # The centre of the table: each pixel's own.
    own = table.detach()[table.shape[0] // 2]
    values = [numpy_helper.to_array(bias)[0, :, 5, 5] for bias in biases]
    assert any((value == own.numpy()).all() for value in values)


def test_onnx_runtime_finds_what_it_fuses(exported, tmp_path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        exported.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = operators(onnx.load(tmp_path / "optimised.onnx"))
    assert found["Gelu"] + found["BiasGelu"] == BLOCKS
    assert found["Erf"] == 0
    # The factor of the scores is part of their product.
    assert found["FusedMatMul"] == BLOCKS


@pytest.mark.slow  # two graphs of a network that is called twice in each
def test_a_network_that_is_called_twice_has_its_weights_once(tiny_single):
    """Both kinds of sections of a volume go through one network."""
    twice = tiny_single("isotropic")
    graphs = {
        interface: graph(
            ExportJob(
                network=twice,
                module=in_interface(twice, interface),
                example=traced_example(twice.config, interface),
                lineage=lineage_of(
                    twice.config, interface, Precision("fp32"), Provenance("p", "0" * 64)
                ),
                recipe=PrecisionRecipe("fp32"),
                opset=DEFAULT_OPSET,
                credit=Credit(),
            )
        ).graph
        for interface in ("network", "image")
    }
    products = {
        name: sum(node.op_type == "MatMul" for node in one.node) for name, one in graphs.items()
    }
    once, both = (
        [numpy_helper.to_array(one) for one in graphs[name].initializer] for name in graphs
    )
    assert len({(one.dtype.str, one.shape, one.tobytes()) for one in both}) == len(both)
    assert products["image"] == 2 * products["network"]
    # As traced it has more than three times as many.
    assert len(graphs["image"].node) < 2.5 * len(graphs["network"].node)
    weights = [sum(one.nbytes for one in found if one.size > 1) for found in (once, both)]
    assert weights[1] < 1.1 * weights[0]
