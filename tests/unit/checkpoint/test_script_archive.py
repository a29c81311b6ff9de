"""Weights of TorchScript archives: had without the program, whatever torch wrote them."""

import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden.weights import filled
from tests.helpers.checkpoint_files import refusal, same_weights, written
from tests.helpers.quick_rows import few_quick
from tests.helpers.script_archives import (
    Records,
    as_new_torch,
    as_old_torch,
    edited,
    entries_of,
    example,
    traced,
    with_official_keys,
)
from unifmir import model
from unifmir.checkpoint.detect import detect
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file, read_checkpoint
from unifmir.checkpoint.script_archive import read_script_archive
from unifmir.config import SingleTaskConfig
from unifmir.networks.base import Network
from unifmir.tasks import TASKS

GOLDEN = Path(__file__).parents[2] / "golden"


class Odd(nn.Module):
    """Tensors of every kind that an archive can hold."""

    def __init__(self) -> None:
        super().__init__()
        shared = torch.arange(60.0)
        self.inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        for name, tensor in {
            "strided": shared[7:20:3],
            "transposed": torch.arange(6.0).reshape(2, 3).t(),
            "same_storage": shared[30:].reshape(5, 6),
            "repeated": torch.ones(1).expand(4),
            "two_bytes": torch.arange(5).half(),
            "brain": torch.arange(5).bfloat16(),
            "eight_bytes": torch.arange(5).double(),
            "flags": torch.tensor([True, False]),
            "unsigned": torch.arange(3, dtype=torch.uint8),
            "small": torch.arange(-2, 2, dtype=torch.int8),
            "sixteen_bits": torch.arange(-2, 2, dtype=torch.int16),
            "whole": torch.arange(4, dtype=torch.int32),
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 3),
        }.items():
            self.register_buffer(name, tensor)
        self.register_buffer("nothing", None)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(image)
        return result


@pytest.fixture(scope="module")
def archive(tiny_single) -> bytes:
    """A traced super-resolution network."""
    network = tiny_single("sr")
    return traced(network, example(network))


def with_pickle(pickled: bytes) -> Callable[[Records], Records]:
    return lambda records: {**records, "data.pkl": pickled}


WRAPPERS = ("", "model.", "net.model.", "a.deeper.wrapper.")


@pytest.mark.parametrize(
    ("task", "wrapped"),
    few_quick(
        product(TASKS, WRAPPERS),
        [*((task, "net.model.") for task in TASKS), *(("sr", wrapper) for wrapper in WRAPPERS)],
    ),
)
def test_a_traced_network_of_every_task_loads_bit_for_bit(task, wrapped, tiny_single, tmp_path):
    network = tiny_single(task)
    official = entries_of(network)
    module = with_official_keys(tiny_single(task))
    path = written(traced(module, example(network), wrapped=wrapped), tmp_path)
    tensors, _ = read_script_archive(path)
    assert {k.removeprefix(wrapped) for k in tensors} == set(official)
    assert all(torch.equal(tensors[wrapped + key], official[key]) for key in official)
    assert same_weights(load_file(path, task=task), network)
    found = inspect_file(path, task=task)
    assert (found.format, found.prefix, found.task) == ("torchscript", wrapped, task)


@pytest.mark.parametrize("edit", [as_old_torch, as_new_torch, dict], ids=["old", "new", "same"])
def test_archives_of_old_and_new_versions_of_torch_load(edit, archive, tiny_single, tmp_path):
    path = written(edited(archive, edit, root="any name"), tmp_path)
    assert same_weights(load_file(path), tiny_single("sr"))


def test_a_traced_network_in_half_precision_becomes_float32(tiny_single, tmp_path):
    network = tiny_single("sr")
    path = written(traced(network, example(network), half=True), tmp_path)
    found = read_checkpoint(path)
    state = tiny_single("sr").state_dict()
    # Tracing also keeps the buffers that a state dict leaves out: here the indices of windows.
    assert found.dtypes == {"float16": len(state), "int64": len(found.derivable)}
    assert all(torch.equal(found.weights[key], state[key].half().float()) for key in state)


def test_tensors_of_every_kind_have_their_values_types_and_shapes(tmp_path):
    module = Odd().eval()
    path = written(traced(module, torch.rand(1, 1, 5, 5)), tmp_path)
    found, expected = read_script_archive(path)[0], module.state_dict()
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor), key


def test_numbers_of_a_big_endian_machine_are_read(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    archive = traced(module, torch.rand(1, 1, 5, 5))

    def swapped(records: Records) -> Records:
        data = {
            name: np.frombuffer(content, "<u4").byteswap().tobytes()
            for name, content in records.items()
            if name.startswith("data/")
        }
        return {**records, **data, "byteorder": b"big"}

    found, _ = read_script_archive(written(edited(archive, swapped), tmp_path))
    assert all(torch.equal(found[key], value) for key, value in module.state_dict().items())
    strange = edited(archive, lambda records: {**records, "byteorder": b"middle"})
    assert "byte order is 'middle'" in refusal(written(strange, tmp_path))


def test_nothing_of_the_program_is_opened(archive, tiny_single, tmp_path, monkeypatch):
    damaged = bytearray(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        program = [m for m in members.infolist() if "/data" not in m.filename]
        for member in program:
            if member.filename.endswith("/byteorder"):
                continue
            # Behind the member's header, whose extra field pads it.
            start = member.header_offset
            name, extra = (
                int.from_bytes(archive[start + at : start + at + 2], "little") for at in (26, 28)
            )
            begin = start + 30 + name + extra
            for at in range(begin, begin + member.compress_size):
                damaged[at] ^= 0x5A
    assert any(member.filename.endswith(".py") for member in program)
    path = written(bytes(damaged), tmp_path)
    for member in program:
        if member.compress_size and not member.filename.endswith("/byteorder"):
            with (
                zipfile.ZipFile(path) as members,
                pytest.raises((zipfile.BadZipFile, zlib.error)),
            ):
                members.read(member.filename)
    opened: list[str] = []
    real = zipfile.ZipFile.open

    def watched(self, name, *args, **options):
        opened.append(str(getattr(name, "filename", name)))
        return real(self, name, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    monkeypatch.setattr(torch.jit, "load", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    assert same_weights(load_file(path), tiny_single("sr"))
    folders = {name.split("/")[1] for name in opened}
    assert folders == {"data", "data.pkl", "byteorder"}


@pytest.mark.parametrize(
    ("pickled", "named"),
    [
        (b"\x80\x02cos\nsystem\nX\x00\x00\x00\x00\x85R.", "os.system"),
        (b"\x80\x02cbuiltins\neval\n0c__torch__\nNet\n)\x81}b.", "builtins.eval"),
        (b"\x80\x02c__torch__\nNet\n)\x81}(X\x01\x00\x00\x00aVx\nub.", "opcode UNICODE"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "opcode SHORT_BINUNICODE"),
        (b"(S'x'\nios\nsystem\n.", "opcode STRING"),
        (b"\x80\x02c__torch__\nNet\n)R.", "holds no module"),
        (b"\x80\x02c__torch__\nNet\nK\x01\x85\x81.", "makes an object of arguments"),
        (b"\x80\x02c__torch__\nNet\n)\x81]b.", "no module's"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81}b.", "no module's"),
        (b"\x80\x02c__torch__\nNet\n)\x81}b}b.", "two states"),
        (b"\x80\x02}K\x01K\x02s", "damaged"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02.", "incomplete"),
        (b"\x80\x02((.", "damaged|incomplete|mark"),
    ],
)
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(
    pickled, named, archive, tmp_path, monkeypatch
):
    import os

    monkeypatch.setattr(os, "system", lambda _: pytest.fail("it was run"))
    message = refusal(written(edited(archive, with_pickle(pickled)), tmp_path))
    assert "Nothing of it was run" in message
    assert any(words in message for words in named.split("|")), message


def test_a_network_that_contains_itself_is_refused(archive, tmp_path):
    # A dictionary of the module, put into the memo, with the module itself under "a".
    loop = b"\x80\x02c__torch__\nNet\n)\x81q\x00}(X\x01\x00\x00\x00ah\x00ub."
    message = refusal(written(edited(archive, with_pickle(loop)), tmp_path))
    assert "more than" in message


def test_a_network_that_multiplies_is_refused_before_it_fills_memory(archive, tmp_path):
    # Each of 40 modules holds the one before twice: 2^40 paths.
    module = b"c__torch__\nNet\n)\x81"
    pickled = b"\x80\x02" + module + b"}(X\x01\x00\x00\x00a" + module + b"}bq\x00"
    for level in range(40):
        twice = b"".join(b"X\x01\x00\x00\x00%ch%c" % (name, level) for name in b"ab")
        pickled += b"X\x01\x00\x00\x00%c" % (level + 48) + module + b"}(" + twice
        pickled += b"ubq%c" % (level + 1)
    message = refusal(written(edited(archive, with_pickle(pickled + b"ub.")), tmp_path))
    assert "attributes" in message


def first_storage(records: Records) -> str:
    return next(name for name in records if name.startswith("data/"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda r: {k: v for k, v in r.items() if k != first_storage(r)}, "has no record"),
        (lambda r: {**r, first_storage(r): r[first_storage(r)][:-4]}, "values of torch.float32"),
        (lambda r: {**r, first_storage(r): r[first_storage(r)][:-1]}, "ends within a value"),
        (lambda r: {**r, "data.pkl": r["data.pkl"][:-9]}, "its pickle"),
        (lambda r: {k: v for k, v in r.items() if k != "data.pkl"}, "not a checkpoint"),
        (lambda r: {**r, "../../evil": b""}, "made to do harm"),
    ],
    ids=["missing", "short", "broken", "cut", "no pickle", "outside"],
)
def test_an_altered_archive_is_refused(edit, words, archive, tmp_path):
    assert words in refusal(written(edited(archive, edit), tmp_path))


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    class Few(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("few", torch.zeros(77))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    archive = traced(Few(), torch.zeros(1))

    def longer(records: Records) -> Records:
        # The shape's 77 alone: it stands in a tuple of its own, the storage's length does not.
        assert records["data.pkl"].count(b"(K\x4dt") == 1
        return {**records, "data.pkl": records["data.pkl"].replace(b"(K\x4dt", b"(K\x4et")}

    message = refusal(written(edited(archive, longer), tmp_path))
    assert "few reaches to element 77 of a storage of 77" in message


def test_a_repeated_value_as_large_as_memory_is_refused(tiny_single, tmp_path):
    network = tiny_single("sr")
    network.norm.weight = nn.Parameter(torch.ones(1).expand(2**40), requires_grad=False)
    network.forward = lambda image: image
    path = written(traced(network, torch.zeros(1)), tmp_path)
    assert "exhaust memory" in refusal(path)


def test_two_members_of_one_name_are_refused(archive, tmp_path):
    path = written(archive, tmp_path)
    with zipfile.ZipFile(path, "a") as members:
        name = next(name for name in members.namelist() if name.endswith("data.pkl"))
        with pytest.warns(UserWarning, match="Duplicate"):
            members.writestr(name, b"\x80\x02}.")
    assert "two members of the name" in refusal(path)


def test_a_compressed_record_is_refused(archive, tmp_path):
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        records = {name: old.read(name) for name in old.namelist()}
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in records.items():
            new.writestr(name, content)
    assert "is compressed" in refusal(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit itself is deprecated
def test_weights_frozen_into_the_program_are_explained(tiny_single, tmp_path):
    network = tiny_single("sr")
    with torch.no_grad():
        script = torch.jit.trace(network, example(network), check_trace=False)
        torch.jit.save(torch.jit.freeze(script), tmp_path / "model.pt")
    assert "frozen into its program" in refusal(tmp_path / "model.pt")


def test_another_network_is_named_for_what_it_is(tmp_path):
    message = refusal(written(traced(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path))
    assert "not a UniFMIR checkpoint" in message
    assert "weight [2, 2]" in message


def test_a_file_of_our_own_says_how_its_body_ends(tiny_single, tmp_path):
    # Cut out of a multi-task network, projection has no body residual; shapes do not say it.
    network = tiny_single("projection")
    assert network.config.body_residual is False
    plain = traced(network, example(network), wrapped="network.")
    assert load_file(written(plain, tmp_path)).config.body_residual is True
    lineage = {
        "config": json.dumps(network.config.to_dict()),
        "parent": json.dumps({"name": "parent.safetensors", "sha256": "0" * 64}),
    }
    own = edited(plain, lambda r: {**r, "extra/unifmir.json": json.dumps(lineage).encode()})
    loaded = load_file(written(own, tmp_path))
    assert loaded.config == network.config
    assert inspect_file(tmp_path / "model.pt").parent == {
        "name": "parent.safetensors",
        "sha256": "0" * 64,
        "size_bytes": 0,
        "zoo_id": None,
    }
    lineage["config"] = json.dumps({"kind": "single"})
    wrong = edited(plain, lambda r: {**r, "extra/unifmir.json": json.dumps(lineage).encode()})
    assert "record is malformed" in refusal(written(wrong, tmp_path))


def full_size(name: str) -> Network:
    """The network of an official file, with the parity rule's weights."""
    official = json.loads((GOLDEN / "state_dicts" / f"{name}.json").read_text("utf-8"))
    config = detect({key: tuple(shape) for key, (_, shape) in official.items()})
    assert isinstance(config, SingleTaskConfig)
    network = model.build(config)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    return network


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("sr", "model."),
        ("denoise1", ""),
        ("denoise5", "net.model."),
        # Networks of twice the size; the traced ones above are of every task.
        pytest.param("projection", "model.", marks=pytest.mark.long),
        pytest.param("volume", "a.b.c.", marks=pytest.mark.long),
    ],
)
def test_a_full_size_official_network_loads_bit_for_bit(name, wrapped, half, tmp_path):
    network = full_size(name)
    official = entries_of(network)
    assert len(official) == len(json.loads((GOLDEN / "state_dicts" / f"{name}.json").read_text()))
    archive = traced(with_official_keys(network), example(network), wrapped=wrapped, half=half)
    path = written(edited(archive, as_old_torch), tmp_path)
    tensors, _ = read_script_archive(path)
    assert set(tensors) == {wrapped + key for key in official}
    for key, tensor in official.items():
        expected = tensor.half() if half and tensor.is_floating_point() else tensor
        assert torch.equal(tensors[wrapped + key], expected), key
    loaded = load_file(path)
    assert loaded.config == replace(network.config, task=loaded.task)
    assert same_weights(loaded, network.half().float() if half else network)
