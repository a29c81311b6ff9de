"""OpenVINO archives: malformed, with entities, running on, out of their weights, and lying."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache, partial
from html import escape

import numpy as np

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_artifacts import LIES, exported, give, lie, packed, placed
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.openvino import WEIGHTS
from unifmir.export.runtimes.openvino_graph import GRAPH

FORMAT = "openvino"


@cache
def _template() -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(exported(FORMAT))) as archive:
        return archive.read(GRAPH).decode(), archive.read(WEIGHTS)


def text() -> str:
    return _template()[0]


def binary() -> bytes:
    return _template()[1]


def content(name: str, make: Callable[[], bytes]) -> Case:
    """A case of other bytes."""
    return Case(name, lambda room: placed(room, FORMAT, make()))


def graph(name: str, change: Callable[[str, Room], str | bytes]) -> Case:
    """A case of another graph with the same weights."""

    def write(room: Room):
        made = change(text(), room)
        assert made != text(), name
        made = made.encode() if isinstance(made, str) else made
        return placed(room, FORMAT, packed({GRAPH: made, WEIGHTS: binary()}))

    return Case(name, write)


def replaced(name: str, old: str, new: str, *, pattern: bool = False) -> Case:
    """A case of a graph with its first match of a text replaced."""
    found = old if pattern else re.escape(old)
    return graph(name, lambda said, _: re.sub(found, lambda _: new, said, count=1))


def weighed(name: str, change: Callable[[bytes], bytes]) -> Case:
    """A case of the same graph with other weights."""
    return content(name, lambda: packed({GRAPH: text().encode(), WEIGHTS: change(binary())}))


def archives() -> Iterator[Case]:
    files = {GRAPH: text().encode(), WEIGHTS: binary()}
    whole = packed(files)
    yield content("no bytes", lambda: b"")
    yield content("a text", lambda: b"OpenVINO, really")
    yield content("an empty zip", lambda: b"PK\x05\x06" + bytes(18))
    yield content("a graph alone, not packed", lambda: files[GRAPH])
    for part in (0.1, 0.5, 0.9, 0.999):
        yield content(f"cut at {part:g}", partial(lambda p: whole[: int(len(whole) * p)], part))
    yield content("no weights", lambda: packed({GRAPH: files[GRAPH]}))
    yield content("no graph", lambda: packed({WEIGHTS: files[WEIGHTS]}))
    yield content("compressed", lambda: packed(files, zipfile.ZIP_DEFLATED))
    bomb = {GRAPH: files[GRAPH], WEIGHTS: bytes(200_000_000)}
    yield content("zeros without end", lambda: packed(bomb, zipfile.ZIP_DEFLATED))
    for more in ("plugins.xml", "../../victim/pwn", "/tmp/pwn", f"x/{WEIGHTS}", f"{WEIGHTS}/"):
        yield content(f"with {more}", partial(lambda m: packed({**files, m: b"x"}), more))
    yield content("a damaged graph", lambda: whole.replace(b"<layers>", b"<lay\0rs>", 1))
    yield content("a declared size of 1 TiB", lambda: _resized(whole, 1 << 31))
    yield content("behind a script", lambda: b"#!/bin/sh\n" + whole)


def _resized(whole: bytes, size: int) -> bytes:
    start = whole.index(b"PK\x01\x02", whole.rindex(b"</net>"))
    return whole[: start + 24] + size.to_bytes(4, "little") + whole[start + 28 :]


LAUGHS = '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def xml() -> Iterator[Case]:
    head = '<?xml version="1.0"?>'

    def started(name: str, with_: Callable[[Room], str]) -> Case:
        return graph(name, lambda said, room: said.replace(head, head + with_(room), 1))

    yield started("entities that grow", lambda _: LAUGHS)
    yield started(
        "an entity of the victim",
        lambda r: f'<!DOCTYPE net [<!ENTITY x SYSTEM "file://{r.victim}/precious.txt">]>',
    )
    yield started("an outer document type", lambda _: '<!DOCTYPE net SYSTEM "http://x/y.dtd">')
    yield started("a parameter entity", lambda _: '<!DOCTYPE n [<!ENTITY % x "y"> %x;]>')
    yield started("a style sheet", lambda r: f'<?xml-stylesheet href="{r.victim}/precious.txt"?>')
    yield started("a comment", lambda _: "<!-- <layers> -->")
    for coding in ("utf-16", "utf-16-le", "utf-32", "cp037", "utf-7"):
        said = f'<?xml version="1.0" encoding="{coding}"?>'
        yield graph(
            f"entities in {coding}",
            partial(lambda c, s, t, _: t.replace(head, s + LAUGHS, 1).encode(c), coding, said),
        )
    yield graph("another encoding said", lambda t, _: t.replace("?>", ' encoding="utf-16"?>', 1))
    yield graph("no UTF-8", lambda t, _: t.encode().replace(b"/network/Shape", b"\xff\xfe/Shape"))
    yield graph("a null byte", lambda t, _: t.replace("main_graph", "main\0graph"))
    yield graph("no bytes of graph", lambda *_: b"")
    yield graph("another document", lambda *_: "<html/>")
    yield graph("half of the graph", lambda t, _: t[: len(t) // 2])
    yield graph("nested 200000 deep", lambda *_: "<net>" * 200_000 + "</net>" * 200_000)
    yield graph(
        "200000 layers", lambda t, _: t.replace("<layers>", "<layers>" + "<layer/>" * 200_000)
    )
    yield graph("a graph in a graph", lambda t, _: t.replace("<layers>", f"<layers>{t[21:]}", 1))


OTHER_OPERATORS = (
    *("If", "Loop", "TensorIterator", "ReadValue", "Assign", "RandomUniform", "Multinomial"),
    *("Custom", "FrameworkNode", "StringTensorUnpack", "LSTMSequence", "../victim/pwn", ""),
)
VERSIONS = ("extension", "experimental", "opset", "opset999", "opset1 ", "opset\u0663", "")


def layers() -> Iterator[Case]:
    for kind in OTHER_OPERATORS:
        yield replaced(f"operator {kind!r}", 'type="ShapeOf"', f'type="{kind}"')
    for version in VERSIONS:
        yield replaced(f"version {version!r}", 'version="opset3"', f'version="{version}"')
    for key, values in {
        "offset": ("99999999999", "-8", "0x10", "", "+8", "\u0663", "1e1", "9" * 5000),
        "size": ("99999999999", "-8", "", "0", "7", "\u0668", str(2**64)),
        "shape": ("1000000000000", "-1", "?", "x", "1,2,3"),
        "element_type": ("string", "f32", "u1", "x", ""),
    }.items():
        for value in values:
            yield graph(
                f"a constant whose {key} is {value[:20]!r}",
                partial(
                    lambda k, v, t, _: re.sub(
                        rf'(<data (?=element_type="i64")[^>]*?\b{k}=")[^"]*',
                        rf"\g<1>{v}",
                        t,
                        count=1,
                    ),
                    key,
                    value,
                ),
            )
    yield replaced("an edge from nowhere", 'from-layer="2"', 'from-layer="99999"')
    yield replaced(
        "a circle", r'from-layer="(\d+)" from-port="\d+" to-layer="(\d+)"', CIRCLE, pattern=True
    )
    yield replaced("an edge to itself", 'from-layer="2"', 'from-layer="5"')
    yield replaced("two layers of a number", 'layer id="2"', 'layer id="1"')
    yield replaced("no result", 'type="Result"', 'type="ReLU"')
    yield replaced("no edges", r"(?s)<edges>.*</edges>", "<edges/>", pattern=True)
    yield replaced("no layers", r"(?s)<layers>.*</layers>", "<layers/>", pattern=True)
    yield replaced("an image of 3 axes", 'shape="?,1,?,?"', 'shape="?,?,?"')
    yield replaced("an image of one size", 'shape="?,1,?,?"', 'shape="1,1,24,32"')
    yield replaced("an image of 2**60 pixels", 'shape="?,1,?,?"', f'shape="1,1,{2**30},{2**30}"')
    yield replaced("an image of whole numbers", 'element_type="f32"', 'element_type="i64"')


CIRCLE = 'from-layer="5" from-port="3" to-layer="5"'


def weights() -> Iterator[Case]:
    def numbers(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[bytes], bytes]:
        """Change what is a float of a weight; indices and sizes are smaller than any."""

        def apply(given: bytes) -> bytes:
            values = np.frombuffer(given, np.float32).copy()
            real = (np.abs(values) > 1e-6) & (np.abs(values) < 1e3)
            values[real] = change(values[real])
            return values.tobytes()

        return apply

    yield weighed("no weights at all", lambda _: b"")
    yield weighed("a byte less", lambda given: given[:-1])
    yield weighed("more weights", lambda given: given + bytes(64))
    yield weighed("half as large again", numbers(lambda v: v * 1.5))
    yield weighed("one per mille larger", numbers(lambda v: v * np.float32(1.001)))
    yield weighed("not a number", numbers(lambda v: np.full_like(v, np.nan)))


def metadata() -> Iterator[Case]:
    def said(field: str, value: str | None) -> Callable[[str, Room], str]:
        entry = "" if value is None else f'<{field} value="{escape(value)}" />'

        def change(graph_text: str, _: Room) -> str:
            start, own = graph_text.rsplit("<unifmir>", 1)
            return f"{start}<unifmir>" + re.sub(rf"<{field} value=.*/>", lambda _: entry, own)

        return change

    for field in fields(Lineage):
        yield graph(f"no {field.name}", said(field.name, None))
        yield graph(f"an empty {field.name}", said(field.name, ""))
    for key, values in LIES.items():
        for value in values:
            # XML has no null bytes and no escape sequences.
            shown = "".join(letter if letter.isprintable() else "?" for letter in value)
            yield graph(f"{key} {shown[:30]!r}", said(key, shown))
    yield replaced("no record", "<unifmir>", "<other>")
    yield graph("two records", lambda t, _: t.replace("</rt_info>", "<unifmir/></rt_info>"))
    yield graph(
        "a field twice", lambda t, _: t.replace("</unifmir>", '<task value="sr"/></unifmir>')
    )


def cases() -> Iterator[Case]:
    for part in (archives, xml, layers, weights, metadata):
        yield from part()


KIND = HostileKind("OpenVINO archive", cases, give, lie)
