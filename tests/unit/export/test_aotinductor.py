"""Packages of compiled code are read with care; that they compute the picture is contract's."""

import json
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.quick_rows import few_quick
from unifmir.config import SingleTaskConfig
from unifmir.errors import BenchmarkError, ExportError, UntrustedError
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.formats import aotinductor
from unifmir.export.formats.aotinductor import AOTINDUCTOR
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.aotinductor import RECORD, load_package, made_here
from unifmir.export.verification import open_artifact
from unifmir.interfaces import InputKind
from unifmir.model import Provenance, image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.precision.variants import stored
from unifmir.tasks import TASKS

Single = Callable[[str], Network]
PARENT = Provenance("parent.safetensors", "0" * 64)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """In place of torch's: what it "compiled" is loaded again as it was."""
    made: list[torch.nn.Module] = []

    def compile_(module: torch.nn.Module, _image: torch.Tensor, path: Path) -> None:
        made.append(module)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("network/data/model.so", b"native code" * 99)

    def run(x: torch.Tensor) -> torch.Tensor:
        assert x.is_contiguous()  # as compiled code takes for granted
        result: torch.Tensor = made[-1](x)
        return result

    monkeypatch.setattr(aotinductor, "_compile", compile_)
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda _path: run)
    return made


def written(
    network: Network, folder: Path, interface: InputKind = "image", precision: str = "fp32"
):
    config = network.config
    inputs = [example(config, "network")]
    module = image_interface(network) if interface == "image" else network
    plan = plan_precision(network, precision, inputs, variants=["stored"])
    job = ExportJob(
        network=network,
        module=stored(module, plan.recipe) if precision != "fp32" else module,
        example=example(config, interface),
        lineage=lineage_of(config, interface, Precision(precision), PARENT),
        recipe=plan.recipe,
        opset=17,
        credit=Credit(),
    )
    path = folder / "network.pt2"
    AOTINDUCTOR.write(job, path)
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same package with another record."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if name.endswith(RECORD):
                record = json.loads(data)
                change(record)
                data = json.dumps(record).encode()  # noqa: PLW2901 - one member is another
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("task", "interface"),
    few_quick(
        product(TASKS, ["image", "network"]),
        [("sr", "network"), ("denoise", "image"), ("projection", "network"), ("volume", "image")],
    ),
)
def test_the_network_is_compiled_and_the_interface_put_around_it(
    task, interface, tiny_single, compiler, tmp_path
):
    network: Network = tiny_single(task)
    path = written(network, tmp_path, interface)
    assert compiler == [network]
    lineage = AOTINDUCTOR.lineage(path)
    assert (lineage.task, lineage.interface) == (task, interface)
    x = example(network.config, interface)
    module = image_interface(network) if interface == "image" else network
    with torch.inference_mode():
        expected = module(x).numpy()
    assert np.array_equal(open_artifact(path).run(x.numpy()), expected)


def test_weights_are_stored_in_the_precision_and_read_as_fp32(tiny_single, compiler, tmp_path):
    network = tiny_single("sr")
    written(network, tmp_path, precision="fp16")
    kinds = {parameter.dtype for parameter in compiler[0].parameters()}
    assert kinds == {torch.float16, torch.float32}  # the precision's islands stay fp32
    assert compiler[0].conv_last.weight.dtype == torch.float32


def test_a_package_of_another_machine_says_how_to_make_one_here(tiny_single, compiler, tmp_path):
    path = written(tiny_single("sr"), tmp_path)
    assert load_package(path)

    def elsewhere(record: dict[str, Any]) -> None:
        record["made"] |= {"torch": "1.0", "processor": "abacus"}

    with pytest.raises(ExportError) as raised:
        load_package(changed(path, elsewhere))
    message = str(raised.value)
    assert f"torch '1.0', here {torch.__version__!r}" in message
    assert "processor 'abacus'" in message
    assert "unifmir export --task sr --checkpoint parent.safetensors" in message
    # What it says of itself can still be read: nothing of it is run for that.
    assert AOTINDUCTOR.lineage(path).task == "sr"


def test_what_is_no_package_of_ours_is_not_loaded(tiny_single, compiler, tmp_path, monkeypatch):
    path = written(tiny_single("sr"), tmp_path)
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda _path: pytest.fail("loaded"))
    good = bytearray(path.read_bytes())
    at = good.index(b"native code") + 20
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(ExportError, match=r"model\.so in it is damaged"):
        load_package(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ExportError, match=r"network\.pt2: not a package"):
        load_package(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("network/data/model.so", b"")
    with pytest.raises(ExportError, match="not one that `unifmir export` made"):
        load_package(path)


def test_a_strangers_package_is_not_loaded(tiny_single, compiler, tmp_path, monkeypatch):
    path = written(tiny_single("sr"), tmp_path)
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "of another installation"))
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda _path: pytest.fail("loaded"))
    with pytest.raises(UntrustedError, match=f"unifmir trust {path}"):
        load_package(path)
    monkeypatch.undo()
    # One byte more, which no reader of zips minds, and it is another file.
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UntrustedError):
        load_package(path)


def test_a_compiler_that_fails_says_what_is_needed(tiny_single, tmp_path, monkeypatch):
    def fails(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("no g++ found")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(ExportError, match=r"no g\+\+ found\nIt needs a C\+\+ compiler"):
        written(tiny_single("sr"), tmp_path)


def test_a_package_is_run_on_the_cpu_only(tiny_single, compiler, tmp_path):
    path = written(tiny_single("sr"), tmp_path)
    row = RUNTIMES["aotinductor"]
    session = row.open(path, device="cpu", threads=1)
    assert session.ran["element_type"] == "fp32 stored"
    assert session.run(np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 1, 16, 16)
    assert row.precisions("cuda:0") == ()
    with pytest.raises(BenchmarkError, match="compiled for the CPU"):
        row.open(path, device="cuda:0", threads=1)
    with pytest.raises(BenchmarkError, match="export it first"):
        row.open(tiny_single("sr"), device="cpu", threads=1)


def test_what_it_was_made_with_is_recorded(tiny_single, compiler, tmp_path):
    path = written(tiny_single("sr"), tmp_path)
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read(f"network/{RECORD}"))
    assert record["made"] == made_here()
    assert set(record["made"]) == {"torch", "processor", "vectors", "system"}
    assert isinstance(tiny_single("sr").config, SingleTaskConfig)
