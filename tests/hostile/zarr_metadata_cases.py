"""Zarr images whose shapes, types, codecs and descriptions lie."""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, refused, right
from tests.hostile.zarr_parts import ARRAY, ATTRIBUTES, LITTLE, PLANE, SIDE, image_2, image_3

LENGTHS: tuple[tuple[str, Any], ...] = (
    ("negative", [-SIDE, SIDE]),
    ("2**53", [2**53 + 1, SIDE]),
    ("2**63", [2**63, SIDE]),
    ("10**30", [10**30, SIDE]),
    ("with a point", [32.5, SIDE]),
    ("of words", ["a", "b"]),
    ("of truth", [True, SIDE]),
    ("of lists", [[SIDE], [SIDE]]),
    ("no list", SIDE),
    ("of none", None),
    ("of one axis", [SIDE]),
    ("of three axes", [1, SIDE, SIDE]),
    ("of a thousand axes", [1] * 1000),
    ("empty", []),
    ("with a 0", [0, SIDE]),
)


def grids() -> Iterator[ImageCase]:
    for name, value in LENGTHS:
        yield refused(f"a shape {name}", image_2({"shape": value}))
        yield refused(f"3: a shape {name}", image_3({"shape": value}))
        yield refused(f"chunks {name}", image_2({"chunks": value}))
        grid = {"name": "regular", "configuration": {"chunk_shape": value}}
        yield refused(f"3: chunks {name}", image_3({"chunk_grid": grid}))
    for name, side in (("128 GiB", 2**18), ("a petabyte", 2**25), ("2**100 bytes", 2**50)):
        yield refused(f"chunks of {name}", image_2({"chunks": [side, side]}))
        yield refused(f"chunks of {name}, none there", image_2({"chunks": [side, side]}, None))
        grid = {"name": "regular", "configuration": {"chunk_shape": [side, side]}}
        yield refused(f"3: chunks of {name}", image_3({"chunk_grid": grid}))
    yield refused("3: no grid", image_3({"chunk_grid": None}))
    yield refused(
        "3: a grid of another kind",
        image_3({"chunk_grid": {"name": "spiral", "configuration": {}}}),
    )
    yield refused("chunks twice as large as they are", image_2({"chunks": [SIDE, 2 * SIDE]}))
    wide = image_2({"shape": [10**9, 10**9], "chunks": [1024, 1024]}, None)
    yield refused("10**18 pixels that are not there", wide)
    yield refused(
        "10**12 pixels that are not there",
        image_2({"shape": [10**6, 10**6], "chunks": [1024, 1024]}, None),
    )
    yield refused(
        "10**18 pixels in chunks of one", image_2({"shape": [10**9, 10**9], "chunks": [1, 1]}, None)
    )
    large = image_2({"shape": [142_000, 142_000], "chunks": [1024, 1024]}, None)
    yield ImageCase("20 gigapixels, none there, right", large, corner=np.zeros((8, 8)))


def types() -> Iterator[ImageCase]:
    for said in (
        *("|O", "<U2147483647", "|S9", "|V8", "<M8[ns]", "<c16", "<u3", "nope", "", "u2,u2"),
        *("x" * 10_000, [["a", "<u2"]], {"a": 1}, None, 7, "(1000000,1000000)u2", "<f99"),
    ):
        yield refused(f"pixels of {str(said)[:24]!r}", image_2({"dtype": said}))
    kinds: tuple[Any, ...] = (
        *("string", "complex128", "r4096", "uint7", "", None, 7, ["uint16"], "|O"),
        {"name": "struct", "configuration": {"fields": [["a", "uint8"]]}},
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**31}},
    )
    for said in kinds:
        yield refused(f"3: pixels of {str(said)[:24]!r}", image_3({"data_type": said}))


class Attack:
    """What a pickle would do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ../victim/ran",)


def codecs() -> Iterator[ImageCase]:
    attack = pickle.dumps(Attack())
    yield refused("a compressor that unpickles", image_2({"compressor": {"id": "pickle"}}, attack))
    yield refused("a filter that unpickles", image_2({"filters": [{"id": "pickle"}]}, attack))
    yield refused(
        "objects that are unpickled",
        image_2({"dtype": "|O", "filters": [{"id": "pickle"}], "compressor": None}, attack),
    )
    pickled = {"codecs": [LITTLE, {"name": "numcodecs.pickle", "configuration": {}}]}
    yield refused("3: a codec that unpickles", image_3(pickled, attack))
    for name in (
        "json2",
        "msgpack2",
        "vlen-utf8",
        "vlen-array",
        "base64",
        "imagecodecs_jpeg",
        "",
        "../x",
    ):
        yield refused(f"the compressor {name!r}", image_2({"compressor": {"id": name}}))
        codec: dict[str, Any] = {"name": name, "configuration": {}}
        yield refused(f"3: the codec {name!r}", image_3({"codecs": [LITTLE, codec]}))
    for name, said in (
        ("a word", "zlib"),
        ("a number", 7),
        ("a list", [{"id": "zlib"}]),
        ("nothing", {}),
    ):
        yield refused(f"a compressor that is {name}", image_2({"compressor": said}))
    options: tuple[tuple[str, dict[str, Any]], ...] = (
        ("with an unknown name", {"id": "blosc", "cname": "rot13", "clevel": 5, "shuffle": 1}),
        ("with a strange level", {"id": "zlib", "level": "many"}),
        ("with another's options", {"id": "gzip", "quality": 3}),
    )
    for name, configuration in options:
        yield refused(f"a compressor {name}", image_2({"compressor": configuration}))
    for name, filters in (
        ("of a type that is none", [{"id": "delta", "dtype": "nope"}]),
        ("of objects", [{"id": "delta", "dtype": "|O"}]),
        ("of text", [{"id": "astype", "encode_dtype": "<U99999999", "decode_dtype": "<u2"}]),
        ("that is no list", {"id": "delta"}),
        ("a thousand", [{"id": "packbits"}] * 1000),
    ):
        yield refused(f"filters {name}", image_2({"filters": filters}))
    for name, listed in (
        ("none", []),
        ("no list", {"name": "bytes"}),
        ("bytes twice", [LITTLE, LITTLE]),
        (
            "packed twice",
            [
                LITTLE,
                {"name": "gzip", "configuration": {"level": 1}},
                {"name": "zstd", "configuration": {}},
            ],
        ),
        (
            "an order that is none",
            [{"name": "transpose", "configuration": {"order": [0, 7]}}, LITTLE],
        ),
        ("of an unknown end", [{"name": "bytes", "configuration": {"endian": "middle"}}]),
    ):
        yield refused(f"3: codecs {name}", image_3({"codecs": listed}))


def descriptions() -> Iterator[ImageCase]:
    deep = "[" * 10**5 + "]" * 10**5
    for name, text in (
        ("nested deeply", deep),
        ("cut", json.dumps(ARRAY)[:40]),
        ("a list", "[]"),
        ("a number", "7"),
        ("no text", "\udcff"),
        ("empty", ""),
        ("a number of 10000 digits", json.dumps(ARRAY).replace("32", "3" * 10_000, 1)),
        ("65 MB of blanks", " " * (65 * 2**20)),
    ):
        data = text.encode("utf-8", "surrogateescape")
        yield refused(f".zarray {name}", image_2(data))
        yield refused(f"zarr.json {name}", image_3(data))
        if name not in ("a number of 10000 digits",):
            yield refused(f".zattrs {name}", image_2({}, attributes=data))
    for name, path in (
        *(
            ("above it", "../../victim"),
            ("of the disk", "/etc"),
            ("with a null", "0\0"),
            ("empty", ""),
        ),
        *(
            ("that is not there", "7"),
            ("that is no text", 7),
            ("of 10000 letters", "a" * 10_000),
            ("nested", {"a": 1}),
        ),
    ):
        said = json.loads(json.dumps(ATTRIBUTES))
        said["multiscales"][0]["datasets"][0]["path"] = path
        yield refused(f"full resolution at a place {name}", image_2({}, attributes=said))
    for name, listed in (("none", []), ("no list", 7), ("no objects", [7])):
        said = json.loads(json.dumps(ATTRIBUTES))
        said["multiscales"][0]["datasets"] = listed
        yield refused(f"datasets: {name}", image_2({}, attributes=said))
    for name, axes in (
        ("of one", [{"name": "x"}]),
        ("of the same", ["x", "x"]),
        ("of none", []),
        ("of numbers", [1, 2]),
    ):
        said = json.loads(json.dumps(ATTRIBUTES))
        said["multiscales"][0]["axes"] = axes
        yield refused(f"axes {name}", image_2({}, attributes=said))
    for name, scale in (
        ("NaN", [float("nan")] * 2),
        ("negative", [-1, -1]),
        ("10**400", [10**400] * 2),
        ("text", ["a", "b"]),
        ("nothing", None),
    ):
        said = json.loads(json.dumps(ATTRIBUTES))
        said["multiscales"][0]["datasets"][0]["coordinateTransformations"] = [
            {"type": "scale", "scale": scale}
        ]
        yield right(f"a scale of {name}", image_2({}, attributes=said), PLANE)
    for name, steps in (("7", 7), ("text", "scale"), ("lists", [[1]]), ("null", [None])):
        said = json.loads(json.dumps(ATTRIBUTES))
        said["multiscales"][0]["coordinateTransformations"] = steps
        yield right(f"transformations: {name}", image_2({}, attributes=said), PLANE)
    for field, value in (
        *(
            ("order", "Z"),
            ("order", 7),
            ("fill_value", "many"),
            ("fill_value", 10**40),
            ("fill_value", [1]),
        ),
        *(("dimension_separator", ".."), ("dimension_separator", "|"), ("dimension_separator", 7)),
        *(("zarr_format", 1), ("zarr_format", 4), ("zarr_format", "2"), ("zarr_format", None)),
    ):
        yield right(f"{field} {value!r}", image_2({field: value}), PLANE)
    escape = json.loads(json.dumps(ATTRIBUTES)) | {
        "omero": {"channels": [{"label": "\x1b[2J", "color": "\x1b"}]}
    }
    yield right("a channel that clears the screen", image_2({}, attributes=escape), PLANE)


def plates() -> Iterator[ImageCase]:
    def plate(wells: Any) -> Callable[[Room], Path]:
        def write(room: Room) -> Path:
            path = room.given / "p.zarr"
            path.mkdir()
            (path / ".zgroup").write_text('{"zarr_format": 2}')
            (path / ".zattrs").write_text(json.dumps({"plate": {"wells": wells}}))
            return path

        return write

    for name, wells in (
        *(("above it", [{"path": "../../victim"}]), ("of the disk", [{"path": "/etc"}])),
        *(
            ("that are no text", [{"path": 7}]),
            ("none", []),
            ("no list", "A/1"),
            ("nested", [[["A"]]]),
        ),
        *(("that are not there", [{"path": "A/1"}]), ("with a null", [{"path": "A\0"}])),
    ):
        yield refused(f"wells {name}", plate(wells))
