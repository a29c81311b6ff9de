"""A device is held against the CPU when it is first used, and trusted with no picture before."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from torch import nn

from tests import toys
from tests.toys import device as toy_device
from tests.toys.device import TOY_DEVICE, TOY_DEVICE_RUNTIME
from unifmir import devices
from unifmir.compare import FP32, compare
from unifmir.devices import Device
from unifmir.errors import ExportError
from unifmir.export import device_proof
from unifmir.export.device_proof import DeviceProof
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for

CHOICE = ModelChoice(device="toy-device", threads=1)


def proof_of(network):
    def on_cpu():
        return RUNTIMES["eager"].open(network, device="cpu", threads=1).run

    return DeviceProof("a model", network.config, "network", FP32, on_cpu)


def opened(network, session=None):
    """A session of the network on the toy device, or this one, after its proof."""

    def open_session():
        return session or TOY_DEVICE_RUNTIME.open(network, device="toy-device", threads=1)

    return proof_of(network).opened(TOY_DEVICE_RUNTIME, Device(TOY_DEVICE), open_session)


@pytest.fixture(autouse=True)
def rows(monkeypatch, tmp_path) -> Iterator[None]:
    """The toys, and records of their own."""
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    with toys.registered():
        yield


@pytest.fixture
def lying(monkeypatch):
    """The toy device gives 1.01 times the picture."""
    monkeypatch.setattr(TOY_DEVICE_RUNTIME, "factor", 1.01)


@pytest.fixture
def looks(monkeypatch):
    """Comparisons that were made, one an image."""
    made = []

    def counted(expected, found):
        made.append(1)
        return compare(expected, found)

    monkeypatch.setattr(device_proof, "compare", counted)
    return made


def test_a_device_that_is_right_is_looked_at_once(tiny_single, looks):
    network = tiny_single("sr")
    found = predictor_for(CHOICE, network)
    assert (found.device, found.ran["runtime"]) == ("toy-device", "toy-device-runtime")
    assert len(looks) == 3
    predictor_for(CHOICE, network)
    assert len(looks) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr("unifmir.machine.versions", lambda *_: {"torch": "newer"}),
        lambda patch: patch.setattr("unifmir.machine.processor", lambda: "another"),
        lambda patch: patch.setattr("platform.version", lambda: "another build"),
        lambda patch: patch.setattr(toy_device, "driver", "2.0"),
        lambda patch: patch.setattr(TOY_DEVICE_RUNTIME, "name", "another"),
    ],
)
def test_another_library_machine_or_runtime_is_looked_at_anew(
    tiny_single, looks, monkeypatch, change
):
    network = tiny_single("sr")
    opened(network)
    change(monkeypatch)
    opened(network)
    assert len(looks) == 6


@pytest.mark.parametrize(
    ("driver", "day", "again"),
    [("", 6, False), ("", 7, True), ("1.0", 7, False)],
)
def test_where_no_driver_is_told_a_record_is_for_the_week(
    tiny_single, looks, monkeypatch, driver, day, again
):
    network = tiny_single("sr")
    monkeypatch.setattr(toy_device, "driver", driver)
    # A Tuesday; the 6th is that week's Sunday.
    monkeypatch.setattr(device_proof, "_today", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    opened(network)
    monkeypatch.setattr(device_proof, "_today", lambda: datetime(2026, 12, day, tzinfo=UTC))
    opened(network)
    assert len(looks) == (6 if again else 3)


def test_other_weights_are_looked_at_anew(tiny_single, looks):
    one, other = tiny_single("sr"), tiny_single("sr")
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    predictor_for(CHOICE, one)
    predictor_for(CHOICE, other)
    assert len(looks) == 6


@pytest.mark.usefixtures("lying")
def test_a_device_that_lies_is_refused_with_the_figure_every_time(tiny_single, looks):
    for _ in range(2):
        with pytest.raises(ExportError, match=r"toy-device .*another picture .*difference is 0\.0"):
            predictor_for(CHOICE, tiny_single("sr"))
    assert len(looks) == 2  # the first picture was enough


@pytest.mark.usefixtures("lying")
def test_where_any_device_will_do_the_cpu_takes_the_place_of_one_that_lies(
    tiny_single, monkeypatch, caplog
):
    monkeypatch.setattr(devices, "AUTOMATIC", ("toy-device",))
    found = predictor_for(ModelChoice(threads=1, runtime=None), tiny_single("sr"))
    assert found.device == "cpu"
    assert "toy-device is not used, but the CPU" in caplog.text
    assert "another picture" in caplog.text


class TimesOnePercentMore(nn.Module):
    """A module's output, times 1.01."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *given):
        return self.module(*given) * 1.01


@pytest.fixture
def placing(monkeypatch):
    """The toy device is told where tiles of light fields lie."""
    monkeypatch.setattr(TOY_DEVICE_RUNTIME, "places_tiles", True)
    monkeypatch.setattr(Device, "torch_name", "cpu")


@pytest.mark.usefixtures("placing")
def test_a_device_that_lies_only_in_tiles_that_are_told_their_place_is_refused(
    tiny_single, looks, monkeypatch
):
    # Only the module of such tiles is prepared: whole images are right.
    monkeypatch.setattr(TOY_DEVICE_RUNTIME, "prepare", TimesOnePercentMore)
    for seen in (4, 5):  # whole images are remembered, tiles are not
        with pytest.raises(ExportError, match=r"toy-device .*another picture .*difference is 0\.0"):
            predictor_for(CHOICE, tiny_single("volume"))
        assert len(looks) == seen


@pytest.mark.slow  # a wrong one is refused by the quick tests
@pytest.mark.usefixtures("placing")
def test_a_device_that_is_right_in_such_tiles_is_looked_at_once(tiny_single, looks):
    for _ in range(2):
        assert predictor_for(CHOICE, tiny_single("volume")).run_placed is not None
        assert len(looks) == 4


@pytest.mark.usefixtures("placing")
@pytest.mark.parametrize("task", ["sr", pytest.param("volume", marks=pytest.mark.slow)])
def test_a_network_is_held_against_the_cpu_in_fp64(tiny_single, monkeypatch, task):
    held = []

    def recorded(expected, found):
        held.append((expected.dtype, compare(expected, found).max_abs_over_std))
        return compare(expected, found)

    monkeypatch.setattr(device_proof, "compare", recorded)
    network = tiny_single(task)
    with torch.inference_mode():
        before = network.state_dict()["conv_last.weight"].clone()
    predictor_for(CHOICE, network)
    # Of light fields, a tile too.
    assert len(held) == (4 if task == "volume" else 3)
    assert all(dtype == np.float64 and 0 < off < 1e-4 for dtype, off in held)
    # In a copy of the network.
    assert torch.equal(network.state_dict()["conv_last.weight"].cpu(), before)
    assert before.dtype == torch.float32


def test_what_fell_back_to_the_cpu_is_not_taken_for_the_device(tiny_single, looks):
    session = HostSession(lambda x: x, {"device": "cpu"}, ("the toy box was closed",))
    assert opened(tiny_single("sr"), session=session) is session
    assert looks == []
    opened(tiny_single("sr"))
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (lambda x: x, "shape"),
        (lambda x: x.repeat(2, -1).repeat(2, -2) * np.float32(np.nan), "NaN"),
        (lambda _: raised(NotImplementedError("no such operation")), "no such operation"),
        (lambda _: raised(RuntimeError("driver")), "driver"),
    ],
)
def test_a_device_that_gives_no_picture_is_refused(tiny_single, compute, told):
    session = HostSession(compute, {"device": "toy-device"})
    with pytest.raises(ExportError, match=told):
        opened(tiny_single("sr"), session=session)


def raised(error):
    raise error


def test_the_cpu_is_not_held_against_itself(tiny_single, looks):
    predictor_for(ModelChoice(device="cpu", runtime="eager", threads=1), tiny_single("sr"))
    assert looks == []


def test_records_of_another_key_are_not_believed(tiny_single, looks, tmp_path):
    opened(tiny_single("sr"))
    (record,) = [one for one in (tmp_path / "trusted").iterdir() if len(one.name) == 64]
    record.write_text("0" * 64)
    opened(tiny_single("sr"))
    assert len(looks) == 6
