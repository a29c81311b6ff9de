"""Any size, any batch: padding undone, tiles whole, eager and ONNX the same picture."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import unifmir
from tests.golden.weights import filled
from tests.helpers.quick_rows import few_quick
from unifmir.compare import FP32, compare
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.export.case_sizes import SIZES, case_size
from unifmir.export.cases import example
from unifmir.export.verification import open_artifact
from unifmir.interfaces import shape_of
from unifmir.model import build
from unifmir.networks.padding import reflect_pad
from unifmir.networks.swin import shift_mask
from unifmir.tasks import TASKS

SIDE = st.integers(8, 200)
SEED = st.integers(0, 2**31)


@given(height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.integers(1, 16))
def test_padding_reaches_the_multiple_and_cropping_undoes_it(height, width, multiple):
    x = torch.rand(1, 2, height, width)
    padded = reflect_pad(x, multiple)
    assert padded.shape[-2] % multiple == 0
    assert padded.shape[-1] % multiple == 0
    assert padded.shape[-2] - height < multiple
    assert torch.equal(padded[..., :height, :width], x)


@given(height=st.integers(8, 40), width=st.integers(8, 40))
def test_padding_is_the_reflection_of_torch_where_torch_defines_it(height, width):
    x = torch.rand(1, 1, height, width)
    wanted = F.pad(x, (0, -width % 8, 0, -height % 8), mode="reflect")
    assert torch.equal(reflect_pad(x, 8), wanted)


@given(rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_the_mask_separates_exactly_the_pixels_that_the_shift_brought_together(rows, columns):
    window, shift = 8, 4
    height, width = rows * window, columns * window
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    # Where each pixel of the shifted image came from; a jump means it was wrapped around.
    came_from = torch.stack([y, x]).roll((-shift, -shift), (1, 2)).float()
    tiles = came_from.reshape(2, rows, window, columns, window).permute(1, 3, 2, 4, 0)
    tiles = tiles.reshape(rows * columns, window * window, 2)
    apart = (tiles[:, :, None] - tiles[:, None, :]).abs().amax(-1) >= window
    # In an image of one window's side, all pixels of the axis wrap within it: regions decide.
    masked = shift_mask(height, width, window, torch.device("cpu"))[:, 0] != 0
    if rows > 1 and columns > 1:
        assert torch.equal(masked, apart)
    assert torch.equal(masked, masked.transpose(1, 2))


def _tiny(task: str):
    config = MultiTaskConfig(
        BodyConfig(24, (2, 2), (4, 4), 8, 48),
        ProjectorConfig(6, 16, 8, 8, 16),
        ViewUNetConfig(9, 5, 32, 16, (16, 16, 24, 24, 24)),
        tail_features=8,
        volume_tail_features=24,
    ).single(task)
    network = build(config)
    network.load_state_dict(filled(network.state_dict(), seed=1))
    return network


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Function from a task to its network and a runner of its exported ONNX file."""
    folder = tmp_path_factory.mktemp("onnx")

    @cache
    def of(task):
        network = _tiny(task)
        (artifact,) = unifmir.export(network, folder / task, formats=("onnx",), interface="network")
        return network, open_artifact(artifact.path).run

    return of


def _agree(task, sessions, height, width, batch, seed):
    network, run = sessions(task)
    if task == "volume":  # the network works at n times the sampling of its views
        height, width = height // 4 + 1, width // 4 + 1
    rng = np.random.default_rng(seed)
    x = rng.random((batch, network.config.signature.channels, height, width), dtype=np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert FP32.failures(compare(expected, run(x))) == []


@pytest.mark.parametrize("task", few_quick(TASKS, ["sr"]))
@settings(max_examples=3, deadline=None)
@given(height=st.integers(8, 64), width=st.integers(8, 96), batch=st.integers(1, 2), seed=SEED)
def test_eager_and_onnx_agree_at_some_sizes_and_batches(task, sessions, **drawn):
    _agree(task, sessions, **drawn)


@pytest.mark.slow  # the same, with larger images and more of them
@pytest.mark.parametrize(
    "task",
    # Two passes of one network, and a U-Net that resizes; of the others the smaller ones, above.
    [
        pytest.param(name, marks=() if name in ("isotropic", "volume") else pytest.mark.long)
        for name in TASKS
    ],
)
@settings(max_examples=6, deadline=None)
@given(height=SIDE, width=SIDE, batch=st.integers(1, 3), seed=SEED)
def test_eager_and_onnx_agree_at_any_size_and_batch(task, sessions, **drawn):
    _agree(task, sessions, **drawn)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("interface", ["image", "network"])
def test_the_traced_example_differs_in_every_free_size(task, interface):
    config = _tiny(task).config
    shape = tuple(example(config, interface).shape)
    assert shape == shape_of(
        config, interface, batch=2, size=case_size(config, interface, SIZES[0][1])
    )
    assert shape[0] == 2
    assert shape[-1] != shape[-2]
