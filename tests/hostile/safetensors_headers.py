"""Safetensors files whose headers lie, and records of ours that are not those of their weights."""

import functools
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

from tests.hostile.templates import safetensors

FIRST = "conv_first.weight"
HUGE = 2**63 - 1


def parts() -> tuple[dict[str, Any], bytes]:
    """Header and numbers of the right file."""
    content = safetensors()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, numbers: bytes, *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def of_entry(**fields: Any) -> bytes:
    """A file whose first weight is described by other fields."""
    header, numbers = parts()
    header[FIRST] |= fields
    return joined(header, numbers)


def changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    header, numbers = parts()
    return joined(change(header) or header, numbers)


def of_text(old: bytes, new: bytes) -> bytes:
    header, numbers = parts()
    return joined(json.dumps(header).encode().replace(old, new, 1), numbers)


def recorded(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A file whose own record is another."""
    header, numbers = parts()
    record = json.loads(header["__metadata__"]["unifmir"])
    header["__metadata__"]["unifmir"] = json.dumps(change(record) or record)
    return joined(header, numbers)


def record_text(text: str) -> bytes:
    return changed(lambda header: header["__metadata__"].update(unifmir=text))


def configured(field: str, value: Any) -> bytes:
    """A record whose configuration has another value of a field, `body.depths`."""

    def change(record: dict[str, Any]) -> None:
        held = record["config"]
        *path, leaf = field.split(".")
        for name in path:
            held = held[name]
        held[leaf] = value

    return recorded(change)


def headers() -> Iterator[tuple[str, bytes]]:
    """Headers that are none, or that describe tensors that are not there."""
    whole, numbers = parts()
    size = len(numbers)
    for dtype in ("F64", "F16", "F8_E4M3", "C64", "X9", "", "f32", None, 5, ["F32"]):
        yield f"type {dtype!r}", of_entry(dtype=dtype)
    shapes: list[Any] = [[], [0], [-1, 1, 3, 3], [2**62, 4], [HUGE] * 4, [2**70], [1.5], ["8"]]
    for shape in (*shapes, None, {}, 8, [[8]], [1] * 10_000):
        yield f"shape {str(shape)[:40]}", of_entry(shape=shape)
    places = ([0, 0], [4, 0], [-8, 8], [0, size * 2], [HUGE, HUGE], [size, size + 288], [0], "0,8")
    for place in (*places, None, [0, 8, 16], [0.5, 8], [2**70, 2**71]):
        yield f"place {place}", of_entry(data_offsets=place)
    other = next(entry for name, entry in whole.items() if name not in (FIRST, "__metadata__"))
    yield "the place of another tensor", of_entry(data_offsets=other["data_offsets"])
    yield "no type", changed(lambda h: h[FIRST].pop("dtype") and None)
    yield "more than a tensor has", of_entry(more="more")
    yield "a tensor that is text", changed(lambda h: h.update({FIRST: "zeros"}))
    yield "a tensor that is null", changed(lambda h: h.update({FIRST: None}))
    yield "a list", joined([], numbers)
    yield "an empty mapping", joined({}, numbers)
    yield "no tensors", changed(lambda h: {"__metadata__": h["__metadata__"]})
    yield "metadata that is a list", changed(lambda h: h.update(__metadata__=[]))
    yield "metadata of numbers", changed(lambda h: h.update(__metadata__={"unifmir": 5}))
    yield "a name twice", of_text(b'"conv_first.bias"', b'"conv_first.weight"')
    yield "metadata twice", of_text(b'{"__metadata__"', b'{"__metadata__": {}, "__metadata__"')
    yield "NaN for a place", of_text(b'"data_offsets": [', b'"data_offsets": [NaN, ')
    yield (
        "a number of 5,000 digits",
        of_text(b'"data_offsets": [', b'"data_offsets": [' + b"9" * 5_000),
    )
    yield "escape sequences", of_text(b"conv_first.weight", b"\\u001b[2J\\u0007")
    yield "a name that is a path", of_text(b"conv_first.weight", b"../../victim/pwn")
    yield "half a letter", of_text(b"conv_first.weight", b"\\ud800")
    yield "no UTF-8", of_text(b"conv_first.weight", b"\xff\xfe")
    yield "a comment", of_text(b"{", b"{/* */")
    yield "levels without end", joined(b'{"a":' * 100_000, numbers)
    yield "lists without end", joined(b"{" + b'"a":' + b"[" * 10**6, numbers)
    yield (
        "a million names",
        joined(b"{" + b",".join(b'"%d":0' % n for n in range(1_000_000)) + b"}", numbers),
    )
    yield "a name of 50 MB", joined({"a" * 50_000_000: {}}, numbers)
    for length in (0, 1, 7, 10**8 + 1, 2**40, 2**63, 2**64 - 1):
        yield f"a header of {length} bytes", joined(whole, numbers, length=length)
    yield "a gap between tensors", joined(whole, bytes(64) + numbers)
    yield "numbers that end early", joined(whole, numbers[:-1])
    yield "more numbers than tensors", joined(whole, numbers + bytes(8))
    yield "no numbers", joined(whole, b"")
    yield "NaN in a weight", joined(whole, numbers[:-4] + struct.pack("<f", float("nan")))


def records() -> Iterator[tuple[str, bytes]]:
    """Records of ours that the weights contradict, or that are none."""
    for text in ("", "{", "null", "[]", "5", '"text"', "{}", "[" * 100_000, '{"schema":NaN}'):
        yield f"record {text[:20]!r}", record_text(text)
    for schema in (0, 2, -1, 1.5, "1", None, True, 2**70):
        yield f"schema {schema!r}", recorded(functools.partial(dict.update, schema=schema))
    for kind in ("multitask", "reference", "", "x/../../victim/pwn", None):
        yield f"kind {kind!r}", recorded(functools.partial(dict.update, kind=kind))
    for task in ("denoise", "volume", "../../victim/pwn", "", None, "sr\x1b[2J", 5):
        yield f"task {task!r}", configured("task", task)
    changed: dict[str, tuple[Any, ...]] = {
        "scale": (1, 4, 0, -2, 2**40, 2.0, "2"),
        "in_channels": (0, 2, 10**9),
        "tail_features": (8, 0, 10**6),
        "body.embed_dim": (16, 0, -8, 10**9, None),
        "body.depths": ([], [1], [2, 2], [10**9], "2", [2.0], [[2]]),
        "body.num_heads": ([3], [0], [1], []),
        "body.window_size": (0, 8, 10**5),
        "body.mlp_hidden": (16, 0),
        "body": (None, [], {}),
        "projector": ({}, "x"),
        "nowhere": (1,),
    }
    for field, values in changed.items():
        for value in values:
            yield f"{field} {value!r}", configured(field, value)
    yield "a parent that is a path", recorded(lambda r: r.update(parent=_parent("/etc/passwd")))
    yield "a parent of no hash", recorded(lambda r: r.update(parent={"name": "a"}))
    yield "a certificate of nothing", recorded(lambda r: r.update(certificate={}))
    yield "types of no kind", recorded(lambda r: r.update(dtype=["F32"]))
    yield "one entry more", recorded(lambda r: r.update(run="touch pwn"))


def _parent(name: str) -> dict[str, Any]:
    return {"name": name, "sha256": "0" * 64, "size_bytes": 1, "zoo_id": None}
