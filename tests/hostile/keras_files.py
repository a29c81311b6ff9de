"""HDF5 files of CARE networks that reach elsewhere, or hold more than they store."""

import functools
import io
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import torch

from tests.helpers.hostile import Room
from unifmir.config import ReferenceConfig
from unifmir.model import build
from unifmir.networks.base import Network

Change = Callable[[Any, str, Room], Any]
"""Alters an open file, given the path of its first kernel's dataset."""


@functools.cache
def care() -> Network:
    """A small network of CARE."""
    torch.manual_seed(5)
    return build(ReferenceConfig("care-2d", "denoise", (("features", 4),)))


def written(file: Any) -> str:
    """Write the right weights as csbdeep does; returns the path of the first kernel."""
    state = list(care().state_dict().items())
    file.attrs["layer_names"] = ["input", *(f"conv{n}" for n in range(len(state) // 2)), "add_1"]
    for name in ("input", "add_1"):
        file.create_group(name).attrs["weight_names"] = np.array([], "S1")
    for number in range(len(state) // 2):
        group = file.create_group(f"conv{number}")
        group.attrs["weight_names"] = [f"conv{number}/kernel:0", f"conv{number}/bias:0"]
        kernel, bias = (state[2 * number + part][1].numpy() for part in (0, 1))
        group.create_dataset(f"conv{number}/kernel:0", data=kernel.transpose(2, 3, 1, 0))
        group.create_dataset(f"conv{number}/bias:0", data=bias)
    return "conv0/conv0/kernel:0"


def replaced(make: Callable[[Any, str, Any, Room], Any]) -> Change:
    """The first kernel replaced by what `make` puts in its place, given its values."""

    def change(file: Any, path: str, room: Room) -> None:
        values = file[path][()]
        del file[path]
        make(file, path, values, room)

    return change


def virtual(file: Any, path: str, values: Any, room: Room) -> None:
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[...] = h5py.VirtualSource(str(room.victim / "other.h5"), "x", values.shape)
    file.create_virtual_dataset(path, layout)


def external(file: Any, path: str, values: Any, room: Room) -> None:
    file.create_dataset(
        path, values.shape, "f4", external=[(str(room.victim / "precious.txt"), 0, 10_000)]
    )


def external_link(file: Any, path: str, _values: Any, room: Room) -> None:
    file[path] = h5py.ExternalLink(str(room.victim / "other.h5"), "x")


def declared(shape: tuple[int, ...], **options: Any) -> Change:
    """A kernel that is declared and never written."""
    return replaced(lambda file, path, _v, _room: file.create_dataset(path, shape, "f4", **options))


def made(**options: Any) -> Change:
    """The right kernel, stored in another way."""
    return replaced(
        lambda file, path, values, _room: file.create_dataset(path, data=values, **options)
    )


def valued(change: Callable[[Any], Any]) -> Change:
    return replaced(
        lambda file, path, values, _room: file.create_dataset(path, data=change(values))
    )


def attribute(place: str, name: str, value: Any) -> Change:
    def change(file: Any, _path: str, _room: Room) -> None:
        file[place].attrs[name] = value

    return change


def soft(file: Any, path: str, _values: Any, _room: Room) -> None:
    file[path] = h5py.SoftLink("/conv0/conv0")


def soft_circle(file: Any, path: str, _values: Any, _room: Room) -> None:
    file[path] = h5py.SoftLink(path)


def circle(file: Any, path: str, _values: Any, _room: Room) -> None:
    file[path] = file["conv0"]


def beside(text: str) -> Change:
    """The right file with a config.json beside it."""

    def change(_file: Any, _path: str, room: Room) -> None:
        (room.given / "config.json").write_text(text, "utf-8")

    return change


def linked_settings(_file: Any, _path: str, room: Room) -> None:
    (room.given / "config.json").symlink_to(room.victim / "precious.txt")


CHANGES: dict[str, Change] = {
    "a virtual dataset of another file": replaced(virtual),
    "numbers of another file": replaced(external),
    "a link to another file": replaced(external_link),
    "a link to a group": replaced(soft),
    "a link to itself": replaced(soft_circle),
    "a group that holds itself": replaced(circle),
    "2**50 values that are not there": declared((3, 3, 1, 2**46)),
    "2**50 values in chunks": declared((3, 3, 1, 2**46), chunks=(1, 1, 1, 1024)),
    "zeros that are not there": declared((3, 3, 1, 4)),
    "compressed zeros": declared((3, 3, 1, 2**24), compression="gzip", fillvalue=0.5),
    "compressed": made(compression="gzip", compression_opts=9),
    "in chunks": made(chunks=(1, 1, 1, 1)),
    "a filter that is not there": made(compression=32_000, allow_unknown_filter=True),
    "another shape": valued(lambda v: v[..., :2]),
    "no axes": valued(lambda _v: np.float32(1)),
    "twelve axes": valued(lambda v: v.reshape(3, 3, 1, 4, *(1,) * 8)),
    "an empty axis": valued(lambda v: v[:0]),
    "an even window": valued(lambda v: v[:2, :2]),
    "NaN": valued(lambda v: v * np.nan),
    "infinity": valued(lambda v: v / 0 if v.any() else v),
    "beyond float32": valued(lambda v: v.astype("f8") * 0 + 1e300),
    "half precision": valued(lambda v: v.astype("f2") * 0 + np.inf),
    "whole numbers": valued(lambda v: v.astype("i4")),
    "complex numbers": valued(lambda v: v.astype("c8")),
    "text": valued(lambda _v: "weights"),
    "a record": valued(lambda _v: np.zeros(4, [("a", "f4"), ("b", "i4")])),
    "references": valued(lambda _v: h5py.Reference()),
    "layers that are numbers": attribute("/", "layer_names", [1, 2, 3]),
    "layers that are one text": attribute("/", "layer_names", "conv0"),
    "a layer that is not there": attribute("/", "layer_names", ["conv0", "nowhere"]),
    "a layer that is a path": attribute("/", "layer_names", ["../../victim/pwn"]),
    "a layer that is the root": attribute("/", "layer_names", ["/", "/"]),
    "a layer twice": attribute("/", "layer_names", ["conv0", "conv0"]),
    "a layer of escape sequences": attribute("/", "layer_names", ["\x1b[2J"]),
    "a weight that is a group": attribute("/conv0", "weight_names", ["conv0"]),
    "a weight that is not there": attribute("/conv0", "weight_names", ["x/kernel:0", "x/bias:0"]),
    "a weight of another layer": attribute("/conv0", "weight_names", ["/conv1/conv1/kernel:0"]),
    "weights that are numbers": attribute("/conv0", "weight_names", [1.5]),
    "weights of another kind": attribute("/conv0", "weight_names", ["conv0/gamma:0"]),
    "a description that is none": attribute("/", "model_config", "{"),
    "a description without end": attribute("/", "model_config", "[" * 60_000),
    "a description of numbers": attribute("/", "model_config", 5),
    "a description of NaN": attribute("/", "model_config", '{"config": NaN}'),
    "a layer that runs": attribute(
        "/",
        "model_config",
        '{"class_name": "Lambda", "config": {"name": "a", "function": "os.system"}}',
    ),
    "another activation": attribute(
        "/",
        "model_config",
        '{"class_name": "Activation", "config": {"name": "a", "activation": "relu"}}',
    ),
    "settings that are none": beside("{"),
    "settings without end": beside("[" * 100_000),
    "settings of axes": beside('{"unet_n_depth": 2, "axes": "../../x"}'),
    "settings of channels": beside('{"unet_n_depth": 2, "n_channel_in": 1e999}'),
    "settings of two megabytes": beside("[" + "0," * 10**6 + "0]"),
    "settings that are a link": linked_settings,
}


@functools.cache
def right() -> bytes:
    """The right file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        written(file)
    return memory.getvalue()


def write_other(room: Room) -> None:
    """A file that is not given, to which others point."""
    with h5py.File(room.victim / "other.h5", "w") as other:
        other["x"] = np.zeros((3, 3, 1, 4), "f4")


def files() -> Iterator[tuple[str, Callable[[Room], None]]]:
    """Writers of `weights_best.h5` in a room's `given`."""

    def changed(room: Room, change: Change) -> None:
        write_other(room)
        path = room.given / "weights_best.h5"
        path.write_bytes(right())
        with np.errstate(all="ignore"), h5py.File(path, "r+") as file:
            change(file, "conv0/conv0/kernel:0", room)

    for name, change in CHANGES.items():
        yield name, functools.partial(changed, change=change)
    for share in (0.1, 0.5, 0.9, 0.999):
        cut = int(len(right()) * share)
        yield (
            f"cut to {share:.1%}",
            functools.partial(write_bytes, content=right()[:cut]),
        )


def write_bytes(room: Room, content: bytes) -> None:
    (room.given / "weights_best.h5").write_bytes(content)
