"""ONNX files: malformed, running on, reaching out of the file, endless, and of other pictures."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_artifacts import LIES, give, lie, placed
from tests.hostile.onnx_graphs import FORMAT, Change, bombs, changed, last, other_pictures, template
from unifmir.export.lineage import Lineage


def content(name: str, make: Callable[[bytes], bytes]) -> Case:
    """A case of other bytes."""
    return Case(name, lambda room: placed(room, FORMAT, make(template())))


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def nested(depth: int) -> bytes:
    """Graphs within attributes of graphs, deeper than any parser should follow."""
    inner = b""
    for _ in range(depth):
        attribute = b"\x32" + varint(len(inner)) + inner  # AttributeProto.g
        node = b"\x2a" + varint(len(attribute)) + attribute  # NodeProto.attribute
        inner = b"\x0a" + varint(len(node)) + node  # GraphProto.node
    return b"\x3a" + varint(len(inner)) + inner  # ModelProto.graph


def malformed() -> Iterator[Case]:
    yield content("no bytes", lambda _: b"")
    yield content("one null byte", lambda _: b"\0")
    yield content("a text", lambda _: b"ONNX model, really")
    yield content("a zip", lambda _: b"PK\x05\x06" + bytes(18))
    yield content("compressed", gzip.compress)
    yield content("two graphs, one after the other", lambda b: b + b)
    yield content("garbage after it", lambda b: b + b"\xff" * 64)
    yield content("garbage before it", lambda b: b"\xff" * 64 + b)
    yield content("a length beyond the end", lambda b: b + b"\x3a" + varint(1 << 62))
    yield content("nested 99 deep", lambda _: nested(99))
    yield content("nested 20000 deep", lambda _: nested(20_000))
    for part in (0.01, 0.25, 0.5, 0.9, 0.999):
        yield content(f"cut at {part:g}", partial(lambda p, b: b[: int(len(b) * p)], part))
    yield Case("a folder", _folder)
    yield Case("a named pipe", _pipe)
    yield Case("a link to itself", _loop)
    yield Case("a link to the victim", _link)
    yield Case("a name that a terminal obeys", lambda room: placed(room, FORMAT, b"", "a\x1b[2Jb"))


def _folder(room: Room):
    path = room.given / "model.onnx"
    path.mkdir()
    return path


def _pipe(room: Room):
    path = room.given / "model.onnx"
    os.mkfifo(path)
    return path


def _loop(room: Room):
    path = room.given / "model.onnx"
    path.symlink_to(path)
    return path


def _link(room: Room):
    path = room.given / "model.onnx"
    path.symlink_to(room.victim / "precious.txt")
    return path


OTHER_OPERATORS = (
    *("If", "Loop", "Scan", "SequenceMap", "SequenceAt", "SplitToSequence", "Optional"),
    *("OptionalGetElement", "RandomNormal", "RandomUniformLike", "Multinomial", "Bernoulli"),
    *("StringConcat", "StringNormalizer", "ImageDecoder", "QLinearConv", "LSTM", "Adagrad"),
    *("NonZero", "Compress", "Custom", "../../victim/precious.txt"),
)
DOMAINS = ("com.microsoft", "ai.onnx.ml", "ai.onnx.training", "com.microsoft.nchwc", "../victim")


def _renamed(field: str, value: str) -> Change:
    return lambda model, _: setattr(last(model), field, value)


def operators() -> Iterator[Case]:
    for name in OTHER_OPERATORS:
        yield changed(f"operator {name}", _renamed("op_type", name))
    for domain in DOMAINS:
        yield changed(f"domain {domain}", _renamed("domain", domain))

    def needed(model: ModelProto, _: Room) -> None:
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    yield changed("needs another domain", needed)
    yield changed("a function that shadows an operator", _function)
    yield changed("training", lambda m, _: m.training_info.add())
    yield changed("a graph in a harmless operator", _hidden)
    yield changed("a list of graphs", _hidden_list)
    yield changed("a reference to a function's attribute", _reference)
    yield changed("sparse weights", lambda m, _: m.graph.sparse_initializer.add())
    yield changed("sparse values of an operator", _sparse)


def _function(model: ModelProto, _: Room) -> None:
    body = [helper.make_node("Sub", ["a", "b"], ["c"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Add", ["a", "b"], ["c"], body, opsets))


def _inner_graph():
    return helper.make_graph([helper.make_node("Identity", ["image"], ["a"])], "inner", [], [])


def _hidden(model: ModelProto, _: Room) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", _inner_graph()))


def _hidden_list(model: ModelProto, _: Room) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("bodies", [_inner_graph()]))


def _reference(model: ModelProto, _: Room) -> None:
    model.graph.node[0].attribute.add(name="axis", ref_attr_name="axis")


def _sparse(model: ModelProto, _: Room) -> None:
    value = helper.make_sparse_tensor(
        helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        [1 << 40],
    )
    model.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=value))


def outside() -> Iterator[Case]:
    def weight(location: Callable[[Room], str], **more: str) -> Change:
        def change(model: ModelProto, room: Room) -> None:
            _outside(model.graph.initializer[0], location(room), **more)

        return change

    def victim(room: Room) -> str:
        return str(room.victim / "precious.txt")

    yield changed("weights of an absolute path", weight(victim))
    yield changed("weights beside the folder", weight(lambda _: "../victim/precious.txt"))
    yield changed("weights by an address", weight(lambda r: f"file://{victim(r)}"))
    yield changed("weights at an offset", weight(victim, offset="4", length="8"))
    yield changed("weights of a huge length", weight(victim, offset="0", length=str(1 << 60)))
    yield changed("weights at a negative offset", weight(victim, offset="-8", length="8"))
    yield changed("weights of another process's memory", weight(lambda _: "/proc/self/mem"))
    yield changed("weights that never end", weight(lambda _: "/dev/zero", length="1000000"))

    def constant(model: ModelProto, room: Room) -> None:
        value = numpy_helper.from_array(np.ones(1, np.float32), "value")
        _outside(value, victim(room))
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))

    def listed(model: ModelProto, room: Room) -> None:
        value = numpy_helper.from_array(np.ones(1, np.float32), "value")
        _outside(value, victim(room))
        attribute = model.graph.node[0].attribute.add(
            name="values", type=onnx.AttributeProto.TENSORS
        )
        attribute.tensors.append(value)

    def unsaid(model: ModelProto, room: Room) -> None:
        model.graph.initializer[0].external_data.add(key="location", value=victim(room))

    yield changed("a constant out of the file", constant)
    yield changed("a list of values out of the file", listed)
    yield changed("a location beside values", unsaid)
    yield changed(
        "a part of a larger tensor", lambda m, _: m.graph.initializer[0].segment.SetInParent()
    )


def _outside(tensor: TensorProto, location: str, **more: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)


def weights() -> Iterator[Case]:
    """What is declared of weights is not what they are."""
    for sizes in ([1 << 40], [-1], [1 << 31, 1 << 31], [2] * 40, [0, 1 << 62]):

        def change(model: ModelProto, _: Room, sizes: list[int] = sizes) -> None:
            model.graph.initializer[0].dims[:] = sizes

        yield changed(f"a weight of {sizes[:3]} and {len(sizes)} axes", change)
    for kind in ("STRING", "COMPLEX64", "INT4", "FLOAT8E5M2", "UNDEFINED", "UINT64"):

        def typed(model: ModelProto, _: Room, kind: str = kind) -> None:
            model.graph.initializer[0].data_type = TensorProto.DataType.Value(kind)

        yield changed(f"a weight of {kind}", typed)

    def few(model: ModelProto, _: Room) -> None:
        weight = model.graph.initializer[0]
        weight.CopyFrom(helper.make_tensor(weight.name, TensorProto.FLOAT, [1], [1.0]))
        weight.dims[:] = [1 << 33]

    yield changed("a weight of 32 GiB with one value", few)


def ends() -> Iterator[Case]:
    """The image and the restored image are none."""
    for kind in ("DOUBLE", "FLOAT16", "INT64", "STRING"):

        def end(model: ModelProto, _: Room, kind: str = kind) -> None:
            tensor = model.graph.input[0].type.tensor_type
            tensor.elem_type = TensorProto.DataType.Value(kind)

        yield changed(f"an image of {kind}", end)
    for shape in (
        [],
        [1 << 40, 1 << 40, 1, 1],
        [-5, 1, 8, 8],
        [1] * 30,
        [2, 1, 8, 8],
        [1, 3, 8, 8],
    ):

        def sized(model: ModelProto, _: Room, shape: list[int] = shape) -> None:
            found = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
            model.graph.input[0].CopyFrom(found)

        yield changed(f"an image of {shape[:4]} and {len(shape)} axes", sized)

    def no_end(model: ModelProto, _: Room) -> None:
        del model.graph.output[:]

    yield changed("no output", no_end)
    yield changed("two inputs", lambda m, _: m.graph.input.add().CopyFrom(m.graph.input[0]))
    yield changed("two outputs", lambda m, _: m.graph.output.add().CopyFrom(m.graph.output[0]))
    yield changed("a sequence", _sequence)


def _sequence(model: ModelProto, _: Room) -> None:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    model.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(kind))


def invalid() -> Iterator[Case]:
    """Graphs that no runtime can run."""

    def of_last(name: str, change: Callable[[onnx.NodeProto], object]) -> Case:
        return changed(name, lambda m, _: change(last(m)))

    yield of_last("an input that nobody makes", lambda n: n.input.__setitem__(0, "nobody"))
    yield of_last("a circle", lambda n: n.input.__setitem__(0, n.output[0]))
    yield of_last("an operator without inputs", lambda n: n.ClearField("input"))
    yield of_last("a name of 2 MB", lambda n: n.input.__setitem__(0, "x" * 2_000_000))
    yield changed("operators of version 0", lambda m, _: setattr(m.opset_import[0], "version", 0))
    yield changed("operators of 2100", lambda m, _: setattr(m.opset_import[0], "version", 999))
    yield changed("no version", lambda m, _: m.ClearField("opset_import"))
    yield changed("a format of 2100", lambda m, _: setattr(m, "ir_version", 999))
    yield changed("no nodes", lambda m, _: m.graph.ClearField("node"))
    yield changed("no weights", lambda m, _: m.graph.ClearField("initializer"))
    yield changed("no graph", lambda m, _: m.ClearField("graph"))


def metadata() -> Iterator[Case]:
    def said(key: str, value: str | None) -> Change:
        def change(model: ModelProto, _: Room) -> None:
            kept = [(p.key, p.value) for p in model.metadata_props if p.key != key]
            del model.metadata_props[:]
            for name, text in [*kept, *([(key, value)] if value is not None else [])]:
                model.metadata_props.add(key=name, value=text)

        return change

    for field in fields(Lineage):
        yield changed(f"no {field.name}", said(field.name, None))
        yield changed(f"an empty {field.name}", said(field.name, ""))
    for key, values in LIES.items():
        for value in values:
            yield changed(f"{key} {value[:30]!r}", said(key, value))

    def window(model: ModelProto, room: Room) -> None:
        (entry,) = (p for p in model.metadata_props if p.key == "config")
        config = json.loads(entry.value)
        entry.value = json.dumps(config | {"body": config["body"] | {"window_size": 16}})

    yield changed("another window", window)


def cases() -> Iterator[Case]:
    graphs = (operators, outside, weights, ends, invalid, bombs, other_pictures)
    for part in (malformed, *graphs, metadata):
        yield from part()


KIND = HostileKind("ONNX file", cases, give, lie)
