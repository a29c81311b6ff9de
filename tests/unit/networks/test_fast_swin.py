"""The fast way through the Swin body gives the plain one's pictures, taken only when safe."""

import pickle
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import cast

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.golden.weights import filled
from tests.helpers.quick_rows import few_quick
from tests.oracles.plain_swin import plain
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.model import build
from unifmir.networks import swin, windows
from unifmir.networks.base import Network
from unifmir.networks.windows import IMAGE, REGULAR, SHIFTED, WindowOrders, runs_written_out
from unifmir.precision.planning import plan_precision
from unifmir.precision.ranges import measured
from unifmir.precision.variants import computing
from unifmir.tasks import TASKS

ROUNDING = 2e-6
"""Largest difference allowed in float32, over the largest value: sums in another order."""


def network_of(width: int = 15, heads: int = 2, window: int = 8, in_channels: int = 1) -> Network:
    """A small network for denoise with heads of that width."""
    body = BodyConfig(
        embed_dim=width * heads,
        depths=(2, 3),
        num_heads=(heads, heads),
        window_size=window,
        mlp_hidden=20,
    )
    network = build(SingleTaskConfig("denoise", body, in_channels=in_channels, tail_features=8))
    network.load_state_dict(filled(network.state_dict(), seed=3))
    return network


def image(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same noise for the same shape."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def difference(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.abs().max())


@torch.inference_mode()
def deviation(network: nn.Module, x: Tensor) -> float:
    """Of a network from its plain copy."""
    return difference(network(x), plain(network)(x))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The orders in which the fast way took blocks, in turn."""
    found: list[str] = []
    honest = WindowOrders.runs

    def runs(self: WindowOrders, order: str) -> list[tuple[int, int, int]]:
        found.append(order)
        return honest(self, order)

    monkeypatch.setattr(WindowOrders, "runs", runs)
    return found


@pytest.mark.parametrize("task", few_quick(TASKS, ["sr", "isotropic", "projection"]))
def test_every_task_is_the_same_picture(task, tiny_single, taken):
    network = tiny_single(task)
    x = image(2, network.config.signature.channels, 33, 40)
    assert deviation(network, x) <= ROUNDING
    assert taken == [REGULAR, SHIFTED] * 2
    assert set(network.state_dict()) == set(plain(network).state_dict())


@pytest.mark.parametrize("task", few_quick(TASKS, ["denoise", "volume"]))
def test_every_task_of_the_multi_task_network_is_the_same_picture(
    task, tiny_multitask, tiny_config
):
    x = image(1, tiny_config.single(task).signature.channels, 41, 32)
    with torch.inference_mode():
        expected = plain(tiny_multitask)(x, task)
        assert difference(tiny_multitask(x, task), expected) <= ROUNDING


@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70))
@example(3, 19, 16)  # 2.006e-6 between the two ways, each 1.4e-6 from the picture in float64
@settings(max_examples=8, deadline=None)
def test_some_sizes_and_batches_are_the_same_picture(batch, height, width):
    """Both ways round: the fast one may be off by no more than about what the plain one is."""
    network, x = network_of(), image(batch, 1, height, width)
    written_out = plain(network)
    with torch.inference_mode():
        exact = deepcopy(written_out).double()(x.double())
        fast, usual = (difference(way(x).double(), exact) for way in (network, written_out))
    # In 401 sizes 1.65 times at most.
    assert fast <= max(2 * usual, ROUNDING / 2)


@pytest.mark.slow  # the same, of more images
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=25, deadline=None)
def test_any_size_and_batch_is_the_same_picture(batch, height, width):
    assert deviation(network_of(), image(batch, 1, height, width)) <= ROUNDING


@pytest.mark.parametrize("shape", [(16, 8, 8), (1, 8, 200), (1, 200, 8), (3, 16, 24), (2, 49, 90)])
def test_windows_that_are_all_masked_or_cut_off_by_a_run_are_right(shape, taken, monkeypatch):
    monkeypatch.setattr(windows, "WINDOWS_PER_THREAD", 5)
    batch, height, width = shape
    # float64: a window at a wrong place or with a wrong mask cannot hide in rounding.
    network = network_of().double()
    x = image(batch, 1, height, width, dtype=torch.float64)
    assert deviation(network, x) <= 1e-13
    assert taken


@pytest.mark.parametrize(
    ("width", "heads", "window"),
    few_quick(
        [
            (*heads, window)
            for window in (8, 7, 2)
            for heads in ((15, 6), (8, 4), (6, 1), (1, 12), (17, 2))
        ],
        [(15, 6, 8), (17, 2, 8), (8, 4, 7), (6, 1, 7), (1, 12, 2)],
    ),
)
def test_any_width_of_heads_and_any_window_is_right(width, heads, window, taken):
    network = network_of(width, heads, window)
    assert deviation(network, image(1, 1, 30, 61)) <= ROUNDING
    assert deviation(network.double(), image(1, 1, 30, 61, dtype=torch.float64)) <= 1e-13
    assert taken


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_low_precision_is_the_same_but_for_its_rounding(dtype, rounding, taken):
    network = network_of()
    x = image(1, 1, 40, 40)
    with torch.inference_mode():
        expected = plain(network)(x)
        low = network.to(dtype)(x.to(dtype)).float()
    assert difference(low, expected) <= rounding
    assert taken


def test_autocast_is_the_same_but_for_its_rounding(taken):
    network, x = network_of(), image(1, 1, 40, 40)
    with torch.inference_mode():
        expected = plain(network)(x)
        with torch.autocast("cpu", torch.bfloat16):
            actual = network(x)
    assert difference(actual.float(), expected) <= 0.03
    assert taken


def test_gradients_are_the_plain_ones(taken):
    network, x = network_of().train(), image(2, 1, 24, 33).requires_grad_()
    other, y = plain(network), x.detach().clone().requires_grad_()
    network(x).square().mean().backward()
    other(y).square().mean().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert torch.equal(x.grad, y.grad)
    wanted = dict(other.named_parameters())
    for name, parameter in network.named_parameters():
        expected = wanted[name].grad
        assert parameter.grad is not None
        assert expected is not None
        assert torch.equal(parameter.grad, expected), name
    assert not taken


def loaded(network: Network) -> None:
    network.load_state_dict(filled(network.state_dict(), seed=8))


def stepped(network: Network) -> None:
    network.train()
    network(image(1, 1, 16, 16)).mean().backward()
    torch.optim.SGD(network.parameters(), lr=50.0).step()
    network.eval()


def behind_its_back(network: Network) -> None:
    # Through `.data`, which no version counter sees.
    for parameter in network.parameters():
        parameter.data.mul_(1.25)


@pytest.mark.parametrize("change", [loaded, stepped, behind_its_back])
def test_changed_weights_are_used_at_once(change: Callable[[Network], None], taken):
    network, x = network_of(), image(1, 1, 40, 40)
    with torch.inference_mode():
        before = network(x)
    change(network)
    with torch.inference_mode():
        assert difference(network(x), before) > 1e-3
    assert deviation(network, x) <= ROUNDING
    assert taken


def test_a_network_that_ran_can_be_copied_pickled_and_converted():
    network, x = network_of(), image(1, 1, 40, 40)
    before = dict(network.state_dict())
    with torch.inference_mode():
        expected = network(x)
        others = (deepcopy(network), pickle.loads(pickle.dumps(network)))
        assert all(torch.equal(other(x), expected) for other in others)
    assert set(network.state_dict()) == set(before)
    assert deviation(deepcopy(network).double(), x.double()) <= 1e-13


def test_the_input_is_left_alone():
    network, x = network_of(in_channels=30), image(2, 30, 40, 40)
    before = x.clone()
    with torch.no_grad():
        network(x)
        features = x.clone()
        assert isinstance(network, swin.SwinBody)
        network.enhance(features, True)
    assert torch.equal(x, before)
    assert torch.equal(features, before)


def test_threads_at_once_give_what_one_gives():
    network = network_of()
    inputs = [image(1, 1, 32 + 8 * size, 40) for size in range(4)]

    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            result: Tensor = network(x)
        return result

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, inputs * 3))
    alone = [run(x) for x in inputs] * 3
    assert all(difference(a, b) <= ROUNDING for a, b in zip(together, alone, strict=True))


def test_hooks_see_every_module_also_the_fast_way(taken):
    network, x = network_of(), image(1, 1, 40, 40)
    seen: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, output: Tensor) -> None:
            seen[name] = seen.get(name, 0) + output.numel()

        return hook

    with torch.inference_mode():
        expected = network(x)
        for name, module in network.named_modules():
            if not isinstance(module, nn.ModuleList):
                module.register_forward_hook(watch(name))
        assert difference(network(x), expected) <= ROUNDING
    assert taken
    block = "layers.0.residual_group.blocks.1"
    tokens = 40 * 40
    assert seen[f"{block}.attn.qkv"] == tokens * 90
    assert seen[f"{block}.mlp.fc1"] == tokens * 20
    assert seen[f"{block}.norm2"] == seen[f"{block}.attn"] == seen[block] == tokens * 30


@pytest.mark.parametrize("precision", few_quick(["bf16", "fp16"], ["fp16"]))
def test_the_casts_of_a_low_precision_variant_are_kept(precision, taken):
    network, x = network_of(), image(1, 1, 40, 40)
    plan = plan_precision(network, precision, [x])
    low = computing(network, plan.recipe)
    seen: list[torch.dtype] = []
    attention = low.get_submodule("layers.0.residual_group.blocks.1.attn.qkv")
    attention.register_forward_pre_hook(lambda _module, args: seen.append(args[0].dtype))
    with torch.inference_mode():
        actual = low(x)
        assert difference(actual, network(x)) <= 0.03
    assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert taken


def test_whoever_watches_operations_sees_the_plain_ones(taken):
    network, x = network_of(), image(1, 1, 40, 40)
    ranges, _ = measured(network, [x])
    scores = ranges.row("layers.0.residual_group.blocks.0.attn")
    assert scores.max_abs > 0
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    with torch.no_grad(), FlopCounterMode(display=False) as expected:
        plain(network)(x)
    assert counter.get_total_flops() == expected.get_total_flops()
    assert not taken


def test_a_graph_for_other_sizes_is_the_plain_one(taken):
    network, x = network_of(), image(2, 1, 40, 48)
    with warnings.catch_warnings(), torch.no_grad():
        # torch announces the end of torch.jit, and warns where tracing fixes a Python value.
        warnings.simplefilter("ignore")
        traced = cast("nn.Module", torch.jit.trace(network, x, check_trace=False))
        torch.export.export(network, (x,), strict=False)
    assert not taken
    y = image(1, 1, 61, 33)
    with torch.inference_mode():
        assert difference(traced(y), network(y)) <= ROUNDING
    assert taken


@pytest.mark.slow  # PyTorch's compiler is loaded
def test_a_compiler_gets_one_run_of_each_part_in_one_graph(taken):
    network, x = network_of(), image(1, 1, 40, 40)
    called: list[Counter[object]] = []

    def backend(graph: torch.fx.GraphModule, _example: object) -> Callable[..., object]:
        nodes = (node for node in graph.graph.nodes if node.op == "call_function")
        called.append(Counter(node.target for node in nodes))
        return graph.forward

    compiled = torch.compile(network, dynamic=False, fullgraph=True, backend=backend)
    with torch.inference_mode():
        assert difference(compiled(x), network(x)) <= ROUNDING
    (graph,) = called
    # Regular blocks have one part, shifted ones four; of five blocks two are shifted.
    assert graph[nn.functional.scaled_dot_product_attention] == 3 + 2 * 4


def test_few_windows_and_networks_without_values_go_the_plain_way(taken):
    network = network_of()
    with torch.inference_mode():
        network(image(1, 1, 16, 24))
        meta = deepcopy(network).to("meta")
        assert meta(torch.empty(1, 1, 80, 80, device="meta")).shape == (1, 1, 80, 80)
    assert not taken
    assert runs_written_out(image(1)) is True  # gradients may be wanted
    with torch.no_grad():
        assert runs_written_out(image(1)) is False


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.sampled_from([2, 3, 7, 8]))
@settings(deadline=None)
def test_orders_move_every_token_and_back(batch, rows, columns, window):
    height, width = rows * window, columns * window
    orders = WindowOrders(batch, height, width, window, torch.device("cpu"))
    tokens = torch.arange(batch * height * width).view(batch, height, width, 1)
    for order in (REGULAR, SHIFTED):
        moved = orders.move(tokens, IMAGE, order)
        assert moved.shape == (batch * rows * columns, window**2, 1)
        assert torch.equal(orders.move(moved, order, IMAGE), tokens)
        between = orders.move(moved, order, REGULAR)
        assert torch.equal(between, orders.move(tokens, IMAGE, REGULAR))
        covered = [window for _, a, b in orders.runs(order) for window in range(a, b)]
        assert covered == list(range(batch * rows * columns))


def test_the_parts_of_the_shifted_order_are_the_masked_windows():
    height, width, window = 24, 32, 8
    orders = WindowOrders(2, height, width, window, torch.device("cpu"))
    masks = swin.shift_mask(height, width, window, torch.device("cpu"))[:, 0]
    kinds = swin.shift_mask(2 * window, 2 * window, window, torch.device("cpu"))[:, 0]
    # The number of a pixel's shifted window, on every pixel: where each window went.
    number = torch.arange(12).view(3, 4).repeat_interleave(8, 0).repeat_interleave(8, 1)
    number = number.roll((4, 4), (0, 1)).expand(2, -1, -1)[..., None]
    moved = orders.move(number, IMAGE, SHIFTED)[..., 0]
    for part, start, stop in orders.runs(SHIFTED):
        for tokens in moved[start:stop]:
            (found,) = set(tokens.tolist())
            assert torch.equal(masks[found], kinds[part])
