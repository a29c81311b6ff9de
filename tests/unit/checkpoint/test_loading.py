"""Reading checkpoints of every kind without running them, and writing our own."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.checkpoint_files import refusal, same_weights, saved, written
from tests.helpers.quick_rows import few_quick
from unifmir import model, zip_archive
from unifmir.checkpoint.loading import load_file, read_checkpoint
from unifmir.checkpoint.official import official_state_dict
from unifmir.hashing import sha256_of

GOLDEN = Path(__file__).parents[2] / "golden"


class Payload:
    """A pickle that would run code when loaded the unsafe way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic", "projection", "volume"])
def test_an_official_file_of_every_task_loads_with_its_weights(task, tiny_single, tmp_path):
    network = tiny_single(task)
    if task == "projection":  # the official single-task file has the body residual
        network.config = replace(network.config, body_residual=True)
        network.denoise.body_residual = True
    path = saved(official_state_dict(network), tmp_path)
    loaded = load_file(path, task=task)
    assert loaded.task == task
    assert loaded.config == network.config
    assert same_weights(loaded, network)
    assert loaded.source == model.Provenance(
        "model.pt", sha256_of(path), path.stat().st_size, path, left_out=loaded.source.left_out
    )
    assert not any(module.training for module in loaded.modules())


def test_a_multi_task_file_loads_whole_whatever_the_task(tiny_multitask, tmp_path):
    path = saved(official_state_dict(tiny_multitask), tmp_path)
    loaded = load_file(path, task="volume")
    assert loaded.kind == "multitask"
    assert loaded.task == ""
    assert same_weights(loaded, tiny_multitask)


@pytest.mark.parametrize("model_name", ["sr", "denoise1", "denoise5", "projection", "volume"])
def test_official_state_dict_has_exactly_the_official_keys(model_name):
    from unifmir.checkpoint.detect import detect

    official = json.loads((GOLDEN / "state_dicts" / f"{model_name}.json").read_text("utf-8"))
    network = model.build(detect({key: tuple(shape) for key, (_, shape) in official.items()}))
    ours = {
        key: [str(value.dtype).removeprefix("torch."), list(value.shape)]
        for key, value in official_state_dict(network).items()
    }
    assert ours == official


NESTS = ("", "state_dict", "model", "params", "net", "model.state_dict")
PREFIXES = ("", "module.", "network.", "module.network.")


@pytest.mark.parametrize(
    ("nest", "prefix", "legacy"),
    few_quick(
        product(NESTS, PREFIXES, [False, True]),
        [
            (nest, prefix, (row + column) % 2 == 0)
            for row, nest in enumerate(NESTS)
            for column, prefix in enumerate(PREFIXES)
        ],
    ),
)
def test_nesting_prefixes_and_old_files_make_no_difference(
    nest, prefix, legacy, tiny_single, tmp_path
):
    network = tiny_single("sr")
    content: dict[str, Any] = OrderedDict((prefix + k, v) for k, v in network.state_dict().items())
    for name in reversed(nest.split(".") if nest else []):
        content = {name: content, "epoch": 7, "optimizer": {"lr": 1e-4}}
    path = saved(content, tmp_path, legacy=legacy)
    found = read_checkpoint(path)
    assert (found.nest, found.prefix) == (nest, prefix)
    assert found.format == ("torch-legacy" if legacy else "torch-zip")
    assert same_weights(load_file(path), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32_and_are_recorded(dtype, tiny_single, tmp_path):
    network = tiny_single("denoise")
    state = {key: value.to(dtype) for key, value in network.state_dict().items()}
    found = read_checkpoint(saved(state, tmp_path))
    assert list(found.dtypes) == [str(dtype).removeprefix("torch.")]
    assert all(value.dtype == torch.float32 for value in found.weights.values())
    assert all(torch.equal(found.weights[key], state[key].float()) for key in state)


def test_a_model_without_batch_counters_loads(tiny_single, tmp_path):
    network = tiny_single("volume")
    state = network.state_dict()
    bare = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(bare) < len(state)
    assert same_weights(load_file(saved(bare, tmp_path)), network)


def test_garbage_in_the_unused_means_is_ignored(tiny_single, tmp_path):
    state = official_state_dict(tiny_single("projection"))
    state["project.sub_mean.weight"] = torch.full((1, 1, 1, 1), float("nan"))
    loaded = load_file(saved(state, tmp_path))
    assert "project.sub_mean.weight" in loaded.source.left_out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><head><title>404</title>", "web page"),
        (b"\xef\xbb\xbf\n <HTML><body>Sign in", "web page"),
        (b'<?xml version="1.0"?><Error>NoSuchKey</Error>', "web page"),
        (b"Not Found\n", "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"II*\0" + bytes(200), "TIFF"),
        (b"MM\0*" + bytes(200), "TIFF"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "HDF5"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10", "ONNX"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip"),
        (b"\0" * 4096, "no format known"),
        (b"PK\x03\x04" + bytes(64), "damaged or incomplete"),
        (pickle.dumps({"a": 1}), "refused"),
        (struct.pack("<Q", 2**62) + b"{" + bytes(50), "header has 4611686018427387904 bytes"),
        (struct.pack("<Q", 16) + b"{" * 16, "header cannot be read"),
    ],
)
def test_something_else_is_named_for_what_it_looks_like(content, words, tmp_path):
    message = refusal(written(content, tmp_path))
    assert words in message
    assert "model.pt" in message


def test_a_missing_file_a_folder_and_an_archive_are_named(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.pt")
    assert "folder" in refusal(tmp_path)
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"), io.BytesIO())
    assert "tar archive" in refusal(tmp_path / "old.pt")
    for member, words in {
        "model.weights.h5": "Keras",
        "arr_0.npy": "NumPy",
        "notes.txt": "zip archive holding notes.txt",
    }.items():
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as packed:
            packed.writestr(member, b"x")
        assert words in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(legacy, tmp_path):
    mark = tmp_path / "ran"
    content = {"state_dict": {"conv_first.weight": torch.zeros(1)}, "x": Payload(mark)}
    message = refusal(saved(content, tmp_path, legacy=legacy))
    assert "refused" in message
    assert "safetensors" in message
    assert not mark.exists()


def test_a_whole_pickled_network_is_refused_with_the_way_to_convert_it(tiny_single, tmp_path):
    message = refusal(saved(tiny_single("sr"), tmp_path))
    assert "unifmir.networks.swin.SwinRestoration" in message
    assert "weights_only=False" in message


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_called_incomplete(keep, legacy, tiny_single, tmp_path):
    path = saved(tiny_single("sr").state_dict(), tmp_path, legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert "damaged or incomplete" in refusal(path)


def test_one_flipped_bit_in_a_weight_is_found_by_the_checksum(tiny_single, tmp_path):
    path = saved(tiny_single("sr").state_dict(), tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "wrong checksum" in refusal(path)


def test_a_file_saved_without_checksums_loads(tiny_single, tmp_path):
    network = tiny_single("sr")
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(network.state_dict(), tmp_path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert same_weights(load_file(path), network)


def test_nan_and_infinity_are_named_by_key(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    state["conv_last.bias"][0] = float("nan")
    state["norm.weight"][1] = float("inf")
    message = refusal(saved(state, tmp_path))
    assert "2 weights hold NaN or infinity" in message
    assert "norm.weight" in message
    assert "conv_last.bias" in message


def test_a_wrong_shape_is_named_with_both_shapes(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    state["conv_last.bias"] = torch.zeros(7)
    message = refusal(saved(state, tmp_path))
    assert "conv_last.bias: expected [1], found [7]" in message


def test_entries_that_are_no_tensors_are_named(tiny_single, tmp_path):
    state = dict(tiny_single("sr").state_dict())
    message = refusal(saved({**state, "norm.epoch": 3, "norm.lr": [0.1]}, tmp_path))
    assert "'norm.epoch' (int)" in message
    assert "'norm.lr' (list)" in message
    sparse = {**state, "norm.weight": torch.ones(24).to_sparse()}
    assert "torch.sparse_coo" in refusal(saved(sparse, tmp_path))
    assert "expected a state dict" in refusal(saved([state], tmp_path))
    assert "empty" in refusal(saved({}, tmp_path))


def test_integer_weights_are_refused(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    state["norm.weight"] = state["norm.weight"].to(torch.int8)
    assert "norm.weight has type torch.int8" in refusal(saved(state, tmp_path))


def test_two_networks_in_one_file_are_ambiguous(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    both = refusal(saved({"params": state, "model": state}, tmp_path))
    assert "two networks in one file (raw under 'params'; raw under 'model')" in both
    mixed = {**state, **{f"module.{k}": v for k, v in state.items()}}
    assert "'module.'" in refusal(saved(mixed, tmp_path))
    beside = {"state_dict": state, "norm.weight": torch.ones(24)}
    assert "beside other tensors" in refusal(saved(beside, tmp_path))


def test_a_tensor_larger_than_its_file_is_refused_before_it_is_touched(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    state["norm.weight"] = torch.ones(1).expand(2**40)
    assert "exhaust memory" in refusal(saved(state, tmp_path))


def test_a_storage_that_declares_more_than_it_has_is_refused(tiny_single, tmp_path):
    # torch 2.13 reads beyond the record when it is not mapped.
    path = saved({"norm.weight": torch.ones(100)}, tmp_path)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in records if name.endswith("data.pkl"))
    # BININT1 100 -> BININT 1 000 000, for the storage and the shape.
    records[name] = records[name].replace(b"K\x64", b"J" + struct.pack("<i", 1_000_000))
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in records.items():
            archive.writestr(member, content)
    assert "model.pt" in refusal(path)


def test_a_compressed_archive_that_grows_out_of_proportion_is_refused(tmp_path, monkeypatch):
    path = saved({"norm.weight": torch.zeros(10**6)}, tmp_path)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in records.items():
            archive.writestr(member, content)
    monkeypatch.setattr(zip_archive, "MAX_UNPACKED_BYTES", 3_999_999)
    assert "unpacks to 400" in refusal(path)
    monkeypatch.setattr(zip_archive, "MAX_RATIO", 10)
    assert "declared to grow from" in refusal(path)


def test_a_wrong_relative_position_index_or_mask_is_refused(tiny_single, tmp_path):
    state = official_state_dict(tiny_single("sr"))
    index = "layers.0.residual_group.blocks.0.attn.relative_position_index"
    mask = "layers.0.residual_group.blocks.1.attn_mask"
    assert "not the index" in refusal(saved({**state, index: state[index].flip(0)}, tmp_path))
    assert "not the mask" in refusal(saved({**state, mask: state[mask] + 1}, tmp_path))
    assert "[windows, 64, 64]" in refusal(saved({**state, mask: state[mask][0]}, tmp_path))


def test_a_mask_of_another_training_size_is_accepted(tiny_single, tmp_path):
    from unifmir.networks.swin import shift_mask

    network = tiny_single("sr")
    state = official_state_dict(network)
    mask = "layers.0.residual_group.blocks.1.attn_mask"
    state[mask] = shift_mask(16, 48, 8, torch.device("cpu")).squeeze(1)
    assert same_weights(load_file(saved(state, tmp_path)), network)
