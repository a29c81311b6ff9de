"""Whatever a file holds: it loads correctly, or it is a CheckpointError; nothing else, ever.

A mutated file that still loads must be equivalent: finite weights of a consistent network.
"""

import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.script_archives import packaged, traced
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.official import official_state_dict
from unifmir.checkpoint.saving import save
from unifmir.config import BodyConfig, ProjectorConfig, SingleTaskConfig
from unifmir.errors import CheckpointError, UnifmirError
from unifmir.hashing import sha256_of
from unifmir.model import build
from unifmir.networks.base import Network

BODY = BodyConfig(embed_dim=8, depths=(2,), num_heads=(2,), window_size=2, mlp_hidden=8)
PROJECTOR = ProjectorConfig(planes=3, features=4, blocks=1, match_features=2, random_features=4)
NETWORKS = {
    "sr": build(SingleTaskConfig("sr", BODY, tail_features=4, scale=2)),
    "projection": build(SingleTaskConfig("projection", BODY, tail_features=4, projector=PROJECTOR)),
}
STATES = {name: official_state_dict(network) for name, network in NETWORKS.items()}


def as_file(content: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def as_safetensors(network: Network) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(network, Path(folder) / "a.safetensors")
        return (Path(folder) / "a.safetensors").read_bytes()


SCRIPT = traced(NETWORKS["sr"], torch.zeros(1, 1, 8, 8))
FILES = {
    "zip": as_file(STATES["sr"]),
    "legacy": as_file(STATES["sr"], legacy=True),
    "nested": as_file({"state_dict": {f"module.{k}": v for k, v in STATES["sr"].items()}}),
    "safetensors": as_safetensors(NETWORKS["sr"]),
    "projection": as_safetensors(NETWORKS["projection"]),
    "script": SCRIPT,
    "package": packaged(SCRIPT),
}
many = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def outcome(content: bytes, name: str = "model.pt") -> Network | CheckpointError:
    """What reading `content` gives; anything but these two fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        before = sha256_of(path)
        found: Network | CheckpointError
        try:
            found = load_file(path)
        except CheckpointError as error:
            found = error
        # The source is read only, and nothing appears beside it.
        assert sha256_of(path) == before
        assert [file.name for file in Path(folder).iterdir()] == [name]
        if isinstance(found, CheckpointError):
            assert name in str(found)
            with pytest.raises(CheckpointError):
                inspect_file(path)
            return found
        assert all(tensor.isfinite().all() for tensor in found.state_dict().values())
        assert inspect_file(path).config == found.config.to_dict()
        return found


def same_weights(network: Network, expected: Network) -> bool:
    one, other = network.state_dict(), expected.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("name", FILES)
def test_the_unchanged_files_load(name):
    network = outcome(FILES[name])
    assert isinstance(network, Network)
    assert same_weights(network, NETWORKS["projection" if name == "projection" else "sr"])


@many
@given(st.binary(max_size=600))
def test_random_bytes_are_no_checkpoint(content):
    assert isinstance(outcome(content), CheckpointError)


@many
@given(
    st.sampled_from(
        [
            b"PK\x03\x04",
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
            b"\x80\x04",
            b"\x28\0\0\0\0\0\0\0{",
        ]
    ),
    st.binary(max_size=400),
)
def test_random_bytes_after_a_known_beginning_are_no_checkpoint(start, rest):
    assert isinstance(outcome(start + rest), CheckpointError)


@many
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_no_checkpoints(name, share):
    content = FILES[name]
    assert isinstance(outcome(content[: int(len(content) * share)]), CheckpointError)


@many
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8
    ),
)
def test_flipped_bytes_are_refused_or_load_as_a_whole_network(name, flips):
    content = bytearray(FILES[name])
    for where, mask in flips:
        content[int(len(content) * where)] ^= mask
    outcome(bytes(content))


@many
@given(st.sampled_from(["legacy", "safetensors"]), st.integers(0, 1500), st.integers(1, 255))
def test_flipped_bytes_near_the_start_are_refused_or_load(name, where, mask):
    content = bytearray(FILES[name])
    content[where] ^= mask
    outcome(bytes(content))


@pytest.mark.parametrize("kind", ["zip", "script"])
@many
@given(st.data())
def test_altered_pickles_inside_a_valid_zip_never_run_or_crash(kind, data):
    # With checksums made right again, so that only the unpickler and the sizes are left to refuse.
    with zipfile.ZipFile(io.BytesIO(FILES[kind])) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in records if name.endswith("data.pkl"))
    pickled = bytearray(records[name])
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in records.items():
            archive.writestr(member, bytes(pickled) if member == name else content)
    outcome(buffer.getvalue())


MUTATIONS: dict[str, Callable[[str, Tensor, int], dict[Any, Any]]] = {
    "dropped": lambda _key, _tensor, _n: {},
    "renamed": lambda key, tensor, n: {f"{key}{n}": tensor},
    "numbered": lambda _key, tensor, n: {n: tensor},
    "reshaped": lambda key, tensor, _n: {key: tensor.reshape(-1, 1)},
    "longer": lambda key, tensor, n: {key: torch.cat([tensor.reshape(-1)] * (n + 2))},
    "empty": lambda key, _tensor, _n: {key: torch.zeros(0)},
    "huge": lambda key, _tensor, n: {key: torch.zeros(1).expand(2 ** (20 + n))},
    "integer": lambda key, tensor, _n: {key: torch.zeros(tensor.shape, dtype=torch.int8)},
    "complex": lambda key, tensor, _n: {key: torch.zeros(tensor.shape, dtype=torch.complex64)},
    "sparse": lambda key, tensor, _n: {key: tensor.float().to_sparse()},
    "nan": lambda key, tensor, _n: {key: torch.full(tensor.shape, float("nan"))},
    "infinite": lambda key, tensor, _n: {key: torch.full(tensor.shape, float("-inf"))},
    "number": lambda key, _tensor, n: {key: n},
    "text": lambda key, _tensor, _n: {key: "weights"},
    "nothing": lambda key, _tensor, _n: {key: None},
    "nested": lambda key, tensor, _n: {key: {"weight": tensor}},
}
"""What can stand in a state dict in place of one entry."""


altered_state_dicts = given(
    st.sampled_from(sorted(STATES)),
    st.sampled_from(sorted(MUTATIONS)),
    st.integers(0, 200),
    st.integers(0, 40),
    st.booleans(),
)


@many
@altered_state_dicts
def test_some_altered_state_dicts_are_refused_or_load_with_the_right_weights(
    name, kind, which, amount, legacy
):
    refused_or_the_right_weights(name, kind, which, amount, legacy)


@pytest.mark.slow  # the same, of more
@settings(many, max_examples=160)
@altered_state_dicts
def test_altered_state_dicts_are_refused_or_load_with_the_right_weights(
    name, kind, which, amount, legacy
):
    refused_or_the_right_weights(name, kind, which, amount, legacy)


def refused_or_the_right_weights(
    name: str, kind: str, which: int, amount: int, legacy: bool
) -> None:
    """Alter one entry of a state dict, and read the file."""
    keys = sorted(STATES[name])
    key = keys[which % len(keys)]
    state: dict[Any, Any] = dict(STATES[name])
    state |= MUTATIONS[kind](key, state.pop(key), amount)
    found = outcome(as_file(state, legacy=legacy))
    leaf = key.rpartition(".")[2]
    immaterial = leaf in ("relative_position_index", "attn_mask") or "_mean." in key
    if isinstance(found, CheckpointError):
        return
    # Only what follows from the configuration can be missing; a `_mean` may hold anything.
    assert immaterial
    assert same_weights(found, NETWORKS[name])


@many
@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["state_dict", "model", "params", "net"]),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.booleans(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["state_dict", "model", "x", "weight"]), inner, max_size=3
                )
            ),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_arbitrary_nested_values_are_no_checkpoint(content):
    assert isinstance(outcome(as_file(content)), CheckpointError)


sizes = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 4, 2**31, 2**40, 2**63, 2**64])


@many
@given(
    st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "X9"]),
    st.lists(sizes, max_size=4),
    st.tuples(sizes, sizes),
    st.sampled_from(["conv_first.weight", "norm.weight", "x", ""]),
)
def test_absurd_safetensors_headers_are_refused(dtype, shape, offsets, key):
    header = json.dumps({key: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(64)
    assert isinstance(outcome(content, "model.safetensors"), CheckpointError)


@many
@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from([b"{", b"{}", b'{"a":', b'{"__metadata__":{"unifmir":"{}"}}', b"[" * 300]),
)
def test_absurd_safetensors_header_lengths_are_refused(length, rest):
    content = struct.pack("<Q", length) + rest
    assert isinstance(outcome(content, "model.safetensors"), CheckpointError)


@many
@given(st.data())
def test_altered_records_are_refused_or_load(data):
    content = FILES["projection"]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    record = json.loads(header["__metadata__"]["unifmir"])
    target, path = record, data.draw(st.sampled_from([(), ("config",), ("config", "body")]))
    for name in path:
        target = target[name]
    key = data.draw(st.sampled_from(sorted(target)))
    target[key] = data.draw(
        st.none()
        | st.integers(-3, 2**70)
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(-1, 9), max_size=3)
        | st.just({})
    )
    header["__metadata__"]["unifmir"] = json.dumps(record)
    text = json.dumps(header).encode()
    outcome(struct.pack("<Q", len(text)) + text + content[8 + length :], "model.safetensors")


@settings(many, max_examples=30)
@given(st.sampled_from(["nan", "inf", "overflow"]), st.integers(0, 200))
def test_a_refused_save_leaves_the_old_file(kind, which):
    network = build(NETWORKS["sr"].config)
    state = network.state_dict()
    key = sorted(state)[which % len(state)]
    wrong = {"nan": np.nan, "inf": np.inf, "overflow": 1e30}[kind]
    state[key].view(-1)[0] = wrong
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.safetensors"
        target.write_bytes(b"old")
        with pytest.raises(UnifmirError, match="cannot be saved"):
            save(network, target, dtype=torch.float16)
        assert target.read_bytes() == b"old"
        assert len(list(Path(folder).iterdir())) == 1
