"""Batches taken in parts: whose they are, how much they count, and that the step is the same."""

from collections.abc import Callable

import pytest
import torch

from unifmir.config import MultiTaskConfig
from unifmir.errors import ClusterError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.training.configuration import Supervision
from unifmir.training.distribution import TrainingProcesses, is_first, parts_of
from unifmir.training.pool import Pool
from unifmir.training.schedule import Schedule
from unifmir.training.trainer import Training


@pytest.mark.parametrize("images", [1, 3, 4, 7])
@pytest.mark.parametrize(("count", "of"), [(1, 1), (1, 2), (2, 2), (1, 5), (3, 1)])
def test_all_parts_together_are_the_batch(images: int, count: int, of: int) -> None:
    batch = torch.arange(images, dtype=torch.float32)[:, None]
    weights = torch.arange(1, images + 1, dtype=torch.float32)
    seen, total = [], 0.0
    for number in range(of):
        parts = parts_of(batch, -batch, weights, count, number, of)
        assert parts, "a process without a part would not know which gradients the others have"
        for inputs, targets, weight in parts:
            assert torch.equal(targets, -inputs)
            total += weight
            if weight:
                seen += inputs[:, 0].tolist()
                expected = float(weights[inputs[:, 0].long()].sum() / weights.sum())
                assert weight == pytest.approx(expected)
    assert sorted(seen) == list(range(images))
    assert total == pytest.approx(1)


def test_one_part_is_the_batch_with_a_weight_of_exactly_one() -> None:
    ((inputs, _, weight),) = parts_of(torch.ones(5, 1), torch.ones(5, 1), torch.ones(5), 1, 0, 1)
    assert (len(inputs), weight) == (5, 1.0)


def stepped(network: Network, accumulate: int, supervision: Supervision) -> Training:
    """A training after one step with a batch of four patches, drawn by a seed."""
    rng = torch.Generator().manual_seed(3)
    inputs, targets = (torch.rand(4, planes, 16, 16, generator=rng) for planes in (5, 1))
    if supervision == "blind-spots":
        shown = torch.rand(4, 1, 16, 16, generator=rng) < torch.tensor([0, 0.1, 0.3, 0.02]).view(
            4, 1, 1, 1
        )
        targets = torch.cat([targets, shown.float()], dim=1)
    training = Training(
        network,
        {"denoise": Pool("denoise")},
        {"denoise": TASKS["denoise"].training},
        Schedule(1e-3, 1),
        0,
        ("denoise",),
        supervision=supervision,
        accumulate=accumulate,
    )
    _, loss = training.take_step(0, inputs, targets)
    training.losses["denoise"] = [loss]
    return training


@pytest.mark.parametrize("supervision", ["pairs", "blind-spots"])
@pytest.mark.parametrize("accumulate", [2, 3, 9])
def test_gradients_of_the_parts_add_up_to_those_of_the_batch(
    tiny_single: Callable[[str], Network], accumulate: int, supervision: Supervision
) -> None:
    whole = stepped(tiny_single("denoise"), 1, supervision)
    parts = stepped(tiny_single("denoise"), accumulate, supervision)
    assert parts.losses["denoise"] == pytest.approx(whole.losses["denoise"], rel=1e-5)
    one, other = (
        {name: w.grad for name, w in run.network.named_parameters() if w.grad is not None}
        for run in (whole, parts)
    )
    assert one.keys() == other.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        assert float((gradient - other[name]).abs().max()) < 1e-5 * largest, name


def test_batches_of_networks_that_normalise_by_them_are_taken_whole(
    tiny_config: MultiTaskConfig,
) -> None:
    order = tuple(TASKS)
    training = Training(build(tiny_config), {}, {}, Schedule(1e-3, 1), 0, order, accumulate=2)
    assert {task for task in order if training._needs_whole_batches(task)} == {"volume"}
    inputs = torch.ones(2, 9, 4, 4)
    ((part, _, weight),) = training._parts(inputs, inputs, whole=True)
    assert (len(part), weight) == (2, 1.0)
    alone = build(tiny_config.single("volume"))
    single = Training(alone, {}, {}, Schedule(1e-3, 1), 0, ("volume",))
    assert single._needs_whole_batches("volume")


def test_one_process_is_the_first_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "3")  # as batch systems number jobs that know nothing of each other
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_first(1)
    assert not is_first(2)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    assert not is_first(1)


def test_alone_nothing_is_sent() -> None:
    processes = TrainingProcesses("cpu", "bf16")
    gradient, loss = torch.ones(3), torch.tensor(2.0)
    assert processes.add_up([gradient], loss) is loss
    assert processes.shared("value") == "value"
    assert (processes.count, processes.number, processes.precision) == (1, 0, "bf16")


def test_a_process_that_is_gone_is_told_by_its_cause_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes = TrainingProcesses("cpu", "fp32")

    def gone() -> None:
        raise RuntimeError("[pair.cc:537] Read error: Connection reset by peer. Typically advice.")

    monkeypatch.setattr(processes.fabric, "barrier", gone)
    with pytest.raises(ClusterError, match=r"\(\[pair.cc:537\] .* by peer\); see .* --resume$"):
        processes.wait()
