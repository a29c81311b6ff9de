"""Writing our own checkpoint files: deterministic, complete, and refused when altered."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file

from tests.helpers.checkpoint_files import refusal, same_weights, saved, written
from unifmir import model
from unifmir.checkpoint.loading import load_file, read_checkpoint
from unifmir.checkpoint.official import official_state_dict
from unifmir.checkpoint.pruning import prune
from unifmir.checkpoint.saving import save
from unifmir.checkpoint.serialization import tensors_sha256, write_safetensors
from unifmir.errors import CheckpointError
from unifmir.hashing import sha256_of
from unifmir.networks.base import Network

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic", "projection", "volume"])
def test_saving_and_loading_gives_the_same_network(task, tiny_single, tmp_path):
    network = tiny_single(task)
    source = save(network, tmp_path / "a.safetensors")
    assert (source.name, source.sha256) == ("a.safetensors", sha256_of(tmp_path / "a.safetensors"))
    loaded = load_file(tmp_path / "a.safetensors")
    assert (loaded.task, loaded.config) == (task, network.config)
    assert same_weights(loaded, network)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_a_multi_task_network_survives_saving(tiny_multitask, tmp_path):
    save(tiny_multitask, tmp_path / "a.safetensors")
    loaded = load_file(tmp_path / "a.safetensors")
    assert loaded.config == tiny_multitask.config
    assert same_weights(loaded, tiny_multitask)


def test_the_library_reads_what_we_write(tiny_single, tmp_path):
    network = tiny_single("volume")
    save(network, tmp_path / "a.safetensors", metadata={"z": "1", "a": "ä"})
    theirs = load_safetensors(tmp_path / "a.safetensors")
    state = network.state_dict()
    assert theirs.keys() == state.keys()
    assert all(torch.equal(theirs[key], state[key]) for key in state)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        metadata = file.metadata()
    assert (metadata["a"], metadata["format"]) == ("ä", "pt")
    record = json.loads(metadata["unifmir"])
    assert (record["schema"], record["kind"], record["task"]) == (1, "single", "volume")


def test_the_same_network_gives_the_same_bytes(tiny_single, tmp_path):
    more = {"b": "2", "a": "1"}
    save(tiny_single("sr"), tmp_path / "a.safetensors", metadata=more)
    save(tiny_single("sr"), tmp_path / "b.safetensors", metadata=dict(reversed(more.items())))
    assert sha256_of(tmp_path / "a.safetensors") == sha256_of(tmp_path / "b.safetensors")


def test_a_file_written_by_the_safetensors_library_loads(tiny_single, tmp_path):
    network = tiny_single("denoise")
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    assert same_weights(load_file(tmp_path / "a.safetensors"), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_saving_in_half_precision_halves_the_file_and_loads_as_float32(
    dtype, tiny_single, tmp_path
):
    network = tiny_single("volume")
    full = save(network, tmp_path / "full.safetensors")
    half = save(network, tmp_path / "half.safetensors", dtype=dtype)
    assert half.size_bytes < 0.6 * full.size_bytes
    loaded = load_file(tmp_path / "half.safetensors").state_dict()
    for key, value in network.state_dict().items():
        rounded = value.to(dtype).float() if value.is_floating_point() else value
        assert torch.equal(loaded[key], rounded)


def test_weights_beyond_half_precision_are_not_written(tiny_single, tmp_path):
    network = tiny_single("sr")
    network.state_dict()["conv_last.bias"].fill_(1e6)
    target = written(b"before", tmp_path, "a.safetensors")
    with pytest.raises(CheckpointError, match=r"conv_last\.bias.*1e\+06"):
        save(network, target, dtype=torch.float16)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_saving_refuses_other_types_and_taken_names(tiny_single, tmp_path):
    with pytest.raises(CheckpointError, match="float32, float16 or bfloat16"):
        save(tiny_single("sr"), tmp_path / "a.safetensors", dtype=torch.int8)
    with pytest.raises(CheckpointError, match="unifmir"):
        save(tiny_single("sr"), tmp_path / "a.safetensors", metadata={"unifmir": "{}"})
    with pytest.raises(CheckpointError, match="configuration"):
        save(Network(), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "update unifmir"),
        ({"config": None}, "malformed"),
        ({"config": {"task": "sr"}}, "names a `body`"),
        ({"config.task": "sing"}, "task is 'sing'"),
        ({"config.scale": "2"}, "scale is '2'"),
        ({"config.scale": -2}, "sizes that no network has"),
        ({"config.body_residual": 1}, "true or false"),
        ({"config.surprise": 1}, "surprise"),
        ({"config.task": "projection"}, "projection needs a projector"),
        ({"config.in_channels": 3}, "reads 1 plane"),
        ({"config.tail_features": 9}, "wrong shape"),
        ({"parent": {"colour": "red"}}, "malformed"),
        ({"certificate": {"task": "sr"}}, "malformed"),
    ],
)
def test_a_malformed_record_is_refused(change, words, tiny_single, tmp_path):
    network = tiny_single("sr")
    save(network, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        record = json.loads(file.metadata()["unifmir"])
    for name, value in change.items():
        where, _, key = name.rpartition(".")
        (record[where] if where else record)[key] = value
    state = network.state_dict()
    write_safetensors(state, {"unifmir": json.dumps(record)}, tmp_path / "b.safetensors")
    assert words in refusal(tmp_path / "b.safetensors")


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, "7", '{"schema": 1}'])
def test_a_record_that_is_not_one_is_refused(text, tiny_single, tmp_path):
    write_safetensors(tiny_single("sr").state_dict(), {"unifmir": text}, tmp_path / "a.safetensors")
    assert "malformed" in refusal(tmp_path / "a.safetensors")


def test_a_header_with_a_name_twice_is_refused(tmp_path):
    entry = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = b"{" + entry + b"," + entry + b"}"
    content = struct.pack("<Q", len(header)) + header + bytes(4)
    assert "'a' twice" in refusal(written(content, tmp_path))


def test_the_recorded_configuration_overrides_the_shapes(tiny_single, tmp_path):
    network = tiny_single("projection")
    assert network.config.body_residual is False
    save(network, tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors").config.body_residual is False
    torch.save(network.state_dict(), tmp_path / "a.pt")
    assert load_file(tmp_path / "a.pt").config.body_residual is True


def test_lineage_names_the_file_a_network_came_from(tiny_single, tmp_path):
    path = saved(tiny_single("sr").state_dict(), tmp_path)
    save(load_file(path), tmp_path / "a.safetensors")
    record = read_checkpoint(tmp_path / "a.safetensors").record
    assert record.parent is not None
    assert (record.parent.name, record.parent.sha256) == ("model.pt", sha256_of(path))


def test_a_certificate_goes_along_only_with_its_own_weights(tiny_multitask, tmp_path):
    child = prune(tiny_multitask, "sr")
    save(child, tmp_path / "a.safetensors")
    loaded = load_file(tmp_path / "a.safetensors")
    assert loaded.certificate == child.certificate
    save(loaded, tmp_path / "half.safetensors", dtype=torch.float16)
    assert load_file(tmp_path / "half.safetensors").certificate is None
    with torch.no_grad():
        loaded.state_dict()["conv_last.bias"].add_(1)
    save(loaded, tmp_path / "trained.safetensors")
    assert load_file(tmp_path / "trained.safetensors").certificate is None


def test_weights_that_are_not_those_of_the_certificate_are_refused(tiny_multitask, tmp_path):
    child = prune(tiny_multitask, "sr")
    save(child, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        metadata = file.metadata()
    state = child.state_dict()
    state["conv_last.bias"] = state["conv_last.bias"] + 1
    write_safetensors(state, metadata, tmp_path / "b.safetensors")
    assert "not those its pruning certificate" in refusal(tmp_path / "b.safetensors")


def test_the_hash_of_tensors_sees_names_types_shapes_and_values():
    base = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    others = [
        {"c": base["a"], "b": base["b"]},
        {**base, "a": base["a"].double()},
        {**base, "a": base["a"].reshape(2, 1)},
        {**base, "a": torch.tensor([1.0, np.nextafter(np.float32(2), np.float32(3))])},
    ]
    digests = {tensors_sha256(tensors) for tensors in [base, *others]}
    assert len(digests) == 5
    assert tensors_sha256(dict(reversed(base.items()))) == tensors_sha256(base)


def test_parity_of_an_official_file_from_disk(tmp_path):
    from tests.golden.weights import filled
    from unifmir.config import BodyConfig, SingleTaskConfig

    network = model.build(SingleTaskConfig("sr", BodyConfig(), scale=2))
    network.load_state_dict(filled(network.state_dict(), seed=2))
    loaded = load_file(saved(official_state_dict(network), tmp_path))
    pruned = prune(loaded, "sr")
    noise = np.random.default_rng(2).random((2, 1, 40, 51)).astype(np.float32)
    with torch.inference_mode():
        actual = pruned(torch.from_numpy(noise)).numpy()
    with np.load(GOLDEN / "parity" / "sr_2x1x40x51_s2.npz") as stored:
        expected = stored["output0"]
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()
