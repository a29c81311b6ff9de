"""Files of torch.save whose tensors, storages or records are not what they say."""

import functools
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.hostile.pickles import text
from tests.hostile.raw_zip import Entry, archive_of, entries_of
from tests.hostile.templates import saved, weights

FIRST = "conv_first.weight"
Change = Callable[[dict[Any, Any]], Any]


def put(change: Callable[[Tensor], Any]) -> Change:
    """A state dict with another first weight."""
    return lambda state: {**state, FIRST: change(state[FIRST])}


def self_holding(state: dict[Any, Any]) -> Any:
    state["self"] = state
    return state


def deep(state: dict[Any, Any]) -> Any:
    found: Any = state
    for _ in range(5_000):
        found = {"state_dict": found}
    return found


def wide(state: dict[Any, Any]) -> Any:
    shared: list[Any] = []
    for _ in range(40):
        shared = [shared, shared]
    return {**state, "more": shared}


def tagged(weight: Tensor) -> Tensor:
    weight = weight.clone()
    weight.more = "attribute"  # type: ignore[attr-defined]  # tensors take any
    return weight


def one_storage(state: dict[Any, Any]) -> Any:
    """The right weights, all in one storage."""
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    sizes = [tensor.numel() for tensor in state.values()]
    parts = flat.split(sizes)
    return {
        key: part.view(tensor.shape)
        for (key, tensor), part in zip(state.items(), parts, strict=True)
    }


CONTENTS: dict[str, Change] = {
    "an expanded value": put(lambda w: torch.zeros(1).expand(w.shape)),
    "a value expanded to 2**40": put(lambda _w: torch.zeros(1).expand(2**20, 2**20)),
    "a value expanded in 40 dimensions": put(lambda _w: torch.zeros(1).expand((2,) * 40)),
    "rows that overlap": put(lambda w: torch.ones(12).as_strided(w.shape, (1, 1, 1, 1))),
    "rows with gaps": put(lambda w: torch.stack([w, w * 0], -1)[..., 0]),
    "no values": put(lambda _w: torch.zeros(0)),
    "a dimension of 0": put(lambda w: torch.zeros(0, *w.shape[1:])),
    "one value": put(lambda _w: torch.tensor(1.0)),
    "another shape": put(lambda w: w.flatten()),
    "another order": put(lambda w: w.transpose(0, 1)),
    "one row more": put(lambda w: torch.cat([w, w[:1]])),
    "NaN": put(lambda w: w * torch.nan),
    "one NaN": put(lambda w: w.clone().index_fill_(0, torch.tensor([0]), torch.nan)),
    "infinity": put(lambda w: w / 0),
    "float64 beyond float32": put(lambda w: w.double() * 0 + 1e300),
    "complex numbers": put(lambda w: w.to(torch.complex64)),
    "whole numbers": put(lambda w: w.to(torch.int64)),
    "bytes": put(lambda w: w.to(torch.uint8)),
    "truth values": put(lambda w: w > 0),
    "8-bit floats": put(lambda w: w.to(torch.float8_e4m3fn)),
    "a sparse tensor": put(lambda w: w.to_sparse()),
    "a sparse tensor of 2**60": put(
        lambda _w: torch.sparse_coo_tensor(
            torch.zeros(2, 1, dtype=torch.int64), torch.ones(1), (2**30, 2**30)
        )
    ),
    "rows of a sparse matrix": put(lambda w: w.flatten(1).to_sparse_csr()),
    "a quantised tensor": put(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
    "a tensor without values": put(lambda w: w.to("meta")),
    "a parameter": put(torch.nn.Parameter),
    "a parameter that hooks": put(lambda w: torch.nn.Parameter(w, requires_grad=True)),
    "a negated view": put(lambda w: torch._neg_view(-w)),
    "a tensor with an attribute": put(tagged),
    "a number": put(lambda _w: 5),
    "text": put(lambda _w: "weights"),
    "None": put(lambda _w: None),
    "a list of numbers": put(lambda w: w.tolist()),
    "a mapping": put(lambda w: {"weight": w}),
    "a set": put(lambda _w: {1, 2}),
    "a whole number of 10,000 digits": put(lambda _w: 10**10_000),
    "a key that is a number": lambda state: {**state, 5: torch.zeros(1)},
    "a key that is None": lambda state: {**state, None: torch.zeros(1)},
    "a key that is a tensor": lambda state: {**state, torch.zeros(1): torch.zeros(1)},
    "a key of escape sequences": lambda state: {**state, "\x1b[2J\x1b]0;pwn\x07": torch.zeros(1)},
    "a key of line ends": lambda state: {**state, "a\nb\rc": torch.zeros(1)},
    "a key that is a path": lambda state: {**state, "../../victim/pwn": torch.zeros(1)},
    "a key of a million letters": lambda state: {**state, "k" * 10**6: torch.zeros(1)},
    "a key turned around": lambda state: {**state, "weight\u202e": torch.zeros(1)},
    "a key that looks the same": lambda state: renamed_key(state, "conv_f\u0456rst.weight"),
    "a missing key": lambda state: {k: v for k, v in state.items() if k != FIRST},
    "a key of Python": lambda state: renamed_key(state, "__class__.__init__"),
    "every key twice by a prefix": lambda state: {
        **state,
        **{f"module.{key}": torch.zeros_like(tensor) for key, tensor in state.items()},
    },
    "100,000 keys": lambda state: {**state, **dict.fromkeys(map(str, range(100_000)), 0)},
    "nothing": lambda _state: {},
    "a list": lambda state: list(state.values()),
    "a tensor alone": lambda state: state[FIRST],
    "a text alone": lambda _state: "../../victim/precious.txt",
    "itself": self_holding,
    "5,000 levels": deep,
    "a list of lists without end": wide,
    "one storage for all": one_storage,
    "an ordered mapping": OrderedDict,
    "other weights under another name": lambda state: {
        "state_dict": {key: torch.zeros_like(tensor) for key, tensor in state.items()},
        "model": state,
    },
    "options that are a path": lambda state: {"state_dict": state, "args": "/etc/passwd"},
}
"""What stands in a file instead of the state dict."""


def renamed_key(state: dict[Any, Any], name: str) -> dict[Any, Any]:
    return {name if key == FIRST else key: tensor for key, tensor in state.items()}


def contents() -> Iterator[tuple[str, bytes]]:
    """Files of torch.save of both kinds, with other contents."""
    for number, (name, change) in enumerate(CONTENTS.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own rarer tensors
            try:
                content = saved(change(dict(weights())), legacy=number % 2 == 1)
            except (RecursionError, NotImplementedError, RuntimeError):
                continue  # not even torch can write it
        yield name, content


@functools.cache
def records() -> tuple[Entry, ...]:
    """The records of a right file."""
    return tuple(entries_of(saved(weights())))


def with_record(ending: str, change: Callable[[bytes], bytes]) -> bytes:
    """A file whose record of this ending has another content, checksums right."""
    return archive_of(
        [
            replace(entry, content=change(entry.content))
            if entry.name.decode().endswith(ending)
            else entry
            for entry in records()
        ]
    )


def without(ending: str) -> bytes:
    return archive_of([e for e in records() if not e.name.decode().endswith(ending)])


def pickled() -> bytes:
    return next(e.content for e in records() if e.name.endswith(b"data.pkl"))


def _numbers_in(pickle: bytes) -> list[tuple[int, bytes]]:
    """Place and opcode bytes of the first small whole numbers of a pickle."""
    found = []
    for opcode, argument, place in pickletools.genops(pickle):
        if opcode.name in ("BININT1", "BININT2", "BININT") and isinstance(argument, int):
            length = {"BININT1": 2, "BININT2": 3, "BININT": 5}[opcode.name]
            found.append((place or 0, pickle[place : (place or 0) + length]))
    return found


VALUES = {
    "-1": b"J\xff\xff\xff\xff",
    "2**31 - 1": b"J\xff\xff\xff\x7f",
    "2**62": b"\x8a\x08" + (2**62).to_bytes(8, "little"),
    "2**64": b"\x8a\x09" + (2**64).to_bytes(9, "little"),
    "a text": text("9"),
    "None": b"N",
}
"""Opcodes that push something else than a small whole number."""


def numbers() -> Iterator[tuple[str, bytes]]:
    """The first tensor's count, offset, shape and strides, each as what it cannot be."""
    whole = pickled()
    names = ("count", "offset", "rows", "columns", "height", "width", "row step", "column step")
    for name, (place, opcode) in zip(names, _numbers_in(whole), strict=False):
        for words, value in VALUES.items():
            changed = whole[:place] + value + whole[place + len(opcode) :]
            yield f"its {name} is {words}", with_record("data.pkl", lambda _, c=changed: c)  # type: ignore[misc]  # mypy infers none with a default


def of_records() -> Iterator[tuple[str, bytes]]:
    """Records that are missing, longer, shorter, or of another meaning."""
    yield "a storage cut short", with_record("/data/0", lambda old: old[:-4])
    yield "a storage with more behind it", with_record("/data/0", lambda old: old + bytes(400))
    yield "an empty storage", with_record("/data/0", lambda _old: b"")
    yield "no storage", without("/data/0")
    yield "no storages", archive_of([e for e in records() if b"/data/" not in e.name])
    yield "no pickle", without("data.pkl")
    yield "an empty pickle", with_record("data.pkl", lambda _old: b"")
    yield "a pickle without an end", with_record("data.pkl", lambda old: old[:-1])
    yield "two pickles in one", with_record("data.pkl", lambda old: old + old)
    yield "a pickle of zeros", with_record("data.pkl", lambda old: bytes(len(old)))
    yield "a byte order of nowhere", with_record("byteorder", lambda _old: b"middle")
    yield "a version of the future", with_record("/version", lambda _old: b"999999999999")
    yield "a version that is none", with_record("/version", lambda _old: b"\xff../../x")
    yield (
        "a storage of another file",
        with_record(
            "data.pkl", lambda old: old.replace(b"X\x01\x00\x00\x000", text("../data.pkl"))
        ),
    )
    yield (
        "a storage that is the pickle",
        with_record("data.pkl", lambda old: old.replace(b"X\x01\x00\x00\x000", text("/data.pkl"))),
    )
    yield (
        "a storage on a device",
        with_record("data.pkl", lambda old: old.replace(text("cpu"), text("../dev/null"))),
    )
    yield (
        "a storage on a GPU that is not there",
        with_record("data.pkl", lambda old: old.replace(text("cpu"), text("cuda:77"))),
    )
    yield (
        "a storage of no kind",
        with_record("data.pkl", lambda old: old.replace(text("storage"), text("module"))),
    )
    yield (
        "numbers of twice the width",
        with_record("data.pkl", lambda old: old.replace(b"FloatStorage", b"DoubleStorage")),
    )
    yield (
        "a memo of 2**31",
        with_record("data.pkl", lambda old: old[:-1] + b"r\xff\xff\xff\x7f."),
    )


def of_legacy() -> Iterator[tuple[str, bytes]]:
    """Old files, whose storages follow the pickles one by one."""
    right = saved(weights(), legacy=True)
    middle = len(right) // 2
    yield "an old file cut short", right[:middle]
    yield "an old file cut by a byte", right[:-1]
    yield "an old file with more behind it", right + bytes(1000)
    yield "an old file twice", right + right
    yield "an old file whose storages are gone", right[: right.rindex(b"]q")]
    yield "another magic number", right.replace(b"\x8a\nl\xfc\x9cF\xf9", b"\x8a\nl\xfc\x9cF\xf8", 1)
    yield "another protocol", right.replace(b"M\xe9\x03.", b"M\xe9\x04.", 1)
    yield "no system", right.replace(b"little_endian", b"little_endiam", 1)
    yield (
        "another byte order",
        right.replace(b"little_endianq\x01\x88", b"little_endianq\x01\x89", 1),
    )
    yield "a source that is run", right.replace(text("storage"), text("module"), 1)
    yield "storages of 2**56 values", right.replace(b"\x8a\x01", b"\x8a\x08", 1)
    yield "a tar archive of old torch", b"storages".ljust(257, b"\0") + b"ustar\0" + bytes(9_000)
    yield "a pickle alone", b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s."
    yield "a pickle of protocol 5", b"\x80\x05\x95\x08\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s."
    yield "a text pickle", b"(dp0\nS'a'\np1\nI1\ns."
