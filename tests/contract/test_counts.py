"""Three independent counts of every network agree: dispatcher, closed form, ONNX graph.

A new row of `TASKS` or `REFERENCES` is held to it without a line here.
"""

import warnings
from functools import cache
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from tests.helpers.quick_rows import few_quick
from unifmir.benchmarks.studies.oracles.closed_form import count_analytic
from unifmir.benchmarks.studies.oracles.count_agreement import compare_counts
from unifmir.benchmarks.studies.oracles.onnx_macs import count_onnx
from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.cost.bit_operations import count_bops
from unifmir.cost.dispatcher import DispatchCount, count_dispatched
from unifmir.cost.meta_device import meta_network
from unifmir.cost.paper.recipes import FULL
from unifmir.interfaces import InputKind, dynamic_axes, interface_of, shape_of
from unifmir.model import build, image_interface
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

MODELS = [(name, task) for name in REFERENCES for task in REFERENCES[name].tasks]
PUBLISHED: list[SingleConfig] = [
    *(FULL.single(task) for task in TASKS),
    *(ReferenceConfig(name, task) for name, task in MODELS),
]
FFT = "aten._fft_"


def named(config: SingleConfig) -> str:
    """Of a test."""
    model = config.model if isinstance(config, ReferenceConfig) else "unifmir"
    return f"{model}-{config.task}"


def shape(config: SingleConfig, interface: InputKind, batch: int, *size: int) -> tuple[int, ...]:
    """Input shape for depth, height and width; views are a quarter of the size."""
    depth, height, width = size
    if interface_of(config).lenses:
        height, width = -(-height // 4), -(-width // 4)
    return shape_of(config, interface, batch=batch, size=(depth, height, width))


@cache
def dispatched(config: SingleConfig, interface: InputKind, *at: int) -> DispatchCount:
    """The dispatcher's count on a network without weights."""
    network = meta_network(config)
    module: nn.Module = image_interface(network) if interface == "image" else network
    return count_dispatched(module, shape(config, interface, *at))


def traced(config: SingleConfig, module: nn.Module, at: tuple[int, ...], file: Path) -> Path:
    """The module's graph with free sizes, not simplified."""
    inputs, outputs = interface_of(config).axes(config.signature, "network")
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter warns that it is the older one, and where it fixes Python values.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.rand(at),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["restored"],
            dynamic_axes={"image": dynamic_axes(inputs), "restored": dynamic_axes(outputs)},
        )
    return file


@pytest.mark.parametrize("interface", ["network", pytest.param("image", marks=pytest.mark.slow)])
@pytest.mark.parametrize("config", PUBLISHED, ids=named)
def test_dispatcher_and_closed_form_agree_at_the_published_size(config, interface):
    # Sides that all networks have to pad, and a batch.
    at = (2, 5, 50, 61)
    found = dispatched(config, interface, *at)
    closed = count_analytic(config, shape(config, interface, *at), interface=interface)
    agreement = compare_counts({"dispatcher": found, "closed form": closed})
    assert agreement.agrees, agreement.sentence()
    # Beyond the half per cent: the closed forms leave nothing out.
    assert agreement.differences == ()
    # What is counted by no one is Fourier transforms, and only where the paper has them.
    assert all(name.startswith(FFT) for name in found.unknown)


@pytest.mark.parametrize("task", TASKS)
def test_all_three_agree_on_every_task(task, tiny_single, tmp_path):
    network = tiny_single(task)
    at = shape(network.config, "network", 2, 5, 20, 27)
    model = onnx.load(traced(network.config, network, at, tmp_path / "traced.onnx"))
    check_three(network.config, network, model, at)


@pytest.mark.parametrize(
    ("name", "task"),
    few_quick(MODELS, [pair for pair in MODELS if pair[0] not in ("dfcan", "vcd-net", "gvtnets")]),
)
def test_all_three_agree_on_every_reference_model(name, task, tmp_path):
    config = ReferenceConfig(name, task)
    network = build(config)
    at = shape(config, "network", 1, 4, 16, 16)
    model = onnx.load(traced(config, network, at, tmp_path / "traced.onnx"))
    # Counted at another size than traced: the graph's own shapes follow.
    check_three(config, network, model, shape(config, "network", 2, 4, 16, 20))


def check_three(
    config: SingleConfig, network: nn.Module, model: onnx.ModelProto, at: tuple[int, ...]
) -> None:
    """Agreement, and where the graph computes something else, all of the difference."""
    graph = count_onnx(model, at)
    eager, closed = count_dispatched(network, at), count_analytic(config, at)
    assert graph.unknown == ()
    agreement = compare_counts({"dispatcher": eager, "closed form": closed, "ONNX": graph})
    exported = count_analytic(config, at, exported=True)
    assert agreement.agrees or exported.macs != closed.macs, agreement.sentence()
    # The closed form of the exported graph has what the network does in another way.
    assert compare_counts({"ONNX": graph, "exported": exported}).differences == ()
    explained = sum(row.macs["ONNX"] - row.macs["dispatcher"] for row in agreement.differences)
    assert graph.macs - eager.macs == explained


@pytest.mark.parametrize(
    "config",
    few_quick(
        PUBLISHED,
        [one for one in PUBLISHED if one == FULL.single("sr") or isinstance(one, ReferenceConfig)],
    ),
    ids=named,
)
def test_the_cost_is_linear_in_the_batch(config):
    one = dispatched(config, "network", 2, 5, 50, 61)
    assert dispatched(config, "network", 6, 5, 50, 61).macs == 3 * one.macs
    assert count_bops(one, "fp32").bops == one.macs * 1024
    assert 0 <= count_bops(one, "fp16", "stored").bops - one.macs * 256 <= one.macs * 768


@pytest.mark.parametrize(
    "config",
    # A volume network's poolings drop pixels at the borders, so that larger images cost more each.
    [config for config in PUBLISHED if config.task != "volume"],
    ids=named,
)
def test_the_cost_is_linear_in_the_pixels(config):
    small, large = (
        count_analytic(config, shape(config, "network", 1, 16, *side)).macs
        for side in ((32, 64), (96, 64))
    )
    if named(config) == "dfcan-sr":
        # Its channel weights cost the same at any size.
        blocks = 16 * 2 * 4 * 64
        small, large = small - blocks, large - blocks
    assert large == 3 * small
