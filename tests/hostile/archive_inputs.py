"""Zip archives that are no plain row of files, given as whatever kind of file is a zip."""

import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import unifmir
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.script_archives import RDF_05
from tests.hostile import templates
from tests.hostile.raw_zip import END, LINK, Entry, archive_of, entries_of, renamed

Attack = Callable[[list[Entry], Room], bytes]
MAIN = {"model.pt": b"/data/0", "model.zip": b"weights.pt", "model.openvino.zip": b".bin"}
"""Ending of the member that matters, in each kind of file."""
OTHERS = b"another member's content"


def victim(room: Room, name: str = "pwn") -> bytes:
    return str(room.victim / name).encode()


def added(**fields: Any) -> Attack:
    """An archive with one member more."""
    return lambda entries, _room: archive_of([*entries, Entry(**{"content": OTHERS, **fields})])


def named(name: str | bytes) -> Attack:
    return added(name=name if isinstance(name, bytes) else name.encode())


def main(**fields: Any) -> Attack:
    """An archive whose main member, the last, has other fields."""
    return lambda entries, _room: archive_of(renamed(entries, -1, **fields))


@functools.cache
def zeros() -> Entry:
    """100 MB in 0.1."""
    return Entry(b"zeros", bytes(100_000_000), method=zipfile.ZIP_DEFLATED).kept()


def bomb(entries: list[Entry], _room: Room) -> bytes:
    return archive_of([*entries[:-1], replace(zeros(), name=entries[-1].name)])


def twice(number: int) -> Attack:
    """One name twice, the second with the numbers of others."""

    def attack(entries: list[Entry], _room: Room) -> bytes:
        other = entries[number]
        return archive_of([*entries, Entry(other.name, bytes(len(other.content)))])

    return attack


def in_one_place(entries: list[Entry], _room: Room) -> bytes:
    first = entries[0]
    lines = [Entry(b"more/%d" % n, first.content, offset=0, without_body=True) for n in range(50)]
    return archive_of([*entries, *lines])


def inside(entries: list[Entry], _room: Room) -> bytes:
    hidden = archive_of([Entry(b"x", b"y")])
    first = Entry(entries[0].name, entries[0].content + hidden)
    at = 30 + len(first.name) + len(entries[0].content)
    return archive_of([first, *entries[1:], Entry(b"x", b"y", offset=at, without_body=True)])


def linked(entries: list[Entry], room: Room) -> bytes:
    return archive_of(renamed(entries, -1, content=victim(room, "precious.txt"), attributes=LINK))


def two_archives(entries: list[Entry], _room: Room) -> bytes:
    zeros = [Entry(entry.name, bytes(len(entry.content))) for entry in entries]
    return archive_of(zeros) + archive_of(entries)


def in_the_comment(entries: list[Entry], _room: Room) -> bytes:
    zeros = [Entry(entry.name, bytes(len(entry.content))) for entry in entries]
    return archive_of(entries, comment=archive_of(zeros)[:60_000])


def very_many(entries: list[Entry], _room: Room) -> bytes:
    return archive_of([*entries, *empty()], count=65535)


@functools.cache
def empty() -> tuple[Entry, ...]:
    return tuple(Entry(b"%d" % number, b"") for number in range(100_100))


def nested(entries: list[Entry], _room: Room) -> bytes:
    return archive_of(renamed(entries, -1, content=archive_of(entries)))


def zip64(values: bytes) -> Attack:
    """A member whose sizes and place stand in an extra field, as of 2**63 bytes."""
    extra = b"\x01\x00" + len(values).to_bytes(2, "little") + values
    full = 0xFFFFFFFF
    return main(extra=extra, packed_bytes=full, unpacked_bytes=full, offset=full)


ATTACKS: dict[str, Attack] = {
    "a parent": named("../victim/pwn"),
    "parents inside": named("a/../../victim/pwn"),
    "many parents": named("../" * 40 + "tmp/pwn"),
    "a root": lambda entries, room: added(name=victim(room))(entries, room),
    "two slashes": lambda entries, room: added(name=b"/" + victim(room))(entries, room),
    "parents of Windows": named("..\\victim\\pwn"),
    "a drive": named("C:\\pwn"),
    "a drive without a folder": named("C:pwn"),
    "a share": named("\\\\host\\share\\pwn"),
    "a null in a name": named(b"harmless\0/../../victim/pwn"),
    "an empty name": named(""),
    "a dot": named("."),
    "a folder of dots": named("../"),
    "escape sequences in a name": named("\x1b]0;pwn\x07\x1b[2J"),
    "a line end in a name": named("a\nTraceback (most recent call last):"),
    "text turned around in a name": named("weights\u202etp.exe"),
    "no UTF-8 in a name": added(name=b"\xff\xfe\xfd"),
    "a name of 60,000 letters": named("a" * 60_000),
    "a folder of a thousand levels": named("a/" * 1_000 + "b"),
    "a program that nobody names": named("setup.py"),
    "a start-up file that nobody names": named(".bashrc"),
    "a second description": named("model.yaml"),
    "the first name twice": twice(0),
    "the last name twice": twice(-1),
    "names by another case": lambda e, room: added(name=e[-1].name.upper())(e, room),
    "names by another slash": lambda e, room: added(name=b"\\" + e[-1].name)(e, room),
    "the main member a link": linked,
    "a link beside it": added(name=b"link", content=b"/etc/passwd", attributes=LINK),
    "a device": added(name=b"device", attributes=0o020666 << 16),
    "encrypted": main(flags=1),
    "strongly encrypted": main(flags=0x41),
    "a masked directory": main(flags=0x2000),
    **{f"method {number}": main(method=number) for number in (1, 6, 9, 12, 14, 93, 95, 98, 99)},
    "a bomb": bomb,
    "a bomb beside it": lambda e, _room: archive_of([*e, zeros()]),
    "more than there is": main(unpacked_bytes=4_000_000_000),
    "more than there is, packed": main(packed_bytes=4_000_000_000),
    "less than there is": main(unpacked_bytes=8, packed_bytes=8),
    "nothing": main(unpacked_bytes=0, packed_bytes=0),
    "deflated to less than it says": main(method=8, unpacked_bytes=10**8),
    "deflated to more than it says": main(method=8, unpacked_bytes=16),
    "a wrong checksum": main(crc=1),
    "no checksum": main(crc=0),
    "another name before the content": main(local_name=b"another"),
    "another size before the content": main(local_unpacked_bytes=5),
    "sizes after the content": main(flags=8, local_unpacked_bytes=0),
    "outside the file": main(offset=0x7FFFFFFF),
    "in the directory": lambda e, room: main(offset=sum(len(x.content) for x in e))(e, room),
    "a place before the file": zip64(b"\xff" * 24),
    "2**63 bytes": zip64((2**63 - 1).to_bytes(8, "little") * 3),
    "an extra field cut short": main(extra=b"\x01\x00\xff\xff"),
    "many members in one place": in_one_place,
    "a member in another": inside,
    "on another disk": main(disk=7),
    "something before it": lambda e, _room: archive_of(e, prefix=b"#!/bin/sh\ntouch pwn\n" * 20),
    "a picture before it": lambda e, _room: archive_of(e, prefix=b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "another archive before it": two_archives,
    "another archive in its comment": in_the_comment,
    "something after it": lambda e, _room: archive_of(e, after=b"more" * 20_000),
    "another end after it": lambda e, _room: archive_of(e, after=END + bytes(18)),
    "too many members": very_many,
    "fewer members than there are": lambda e, _room: archive_of(e, count=1),
    "more members than there are": lambda e, _room: archive_of(e, count=len(e) + 9),
    "a longer directory": lambda e, _room: archive_of(e, directory_bytes=10**9),
    "a shorter directory": lambda e, _room: archive_of(e, directory_bytes=40),
    "a directory elsewhere": lambda e, _room: archive_of(e, directory_offset=3),
    "no end": lambda e, _room: archive_of(e, cut=22),
    "half a directory": lambda e, _room: archive_of(e, cut=60),
    "no members": lambda _e, _room: archive_of([]),
    "the first member alone": lambda e, _room: archive_of(e[:1]),
    "itself in itself": nested,
}


@functools.cache
def members(name: str) -> tuple[Entry, ...]:
    """The members of a well-formed file of each kind, the one that matters last."""
    if name == "model.pt":
        found = entries_of(templates.saved(templates.weights()))
    elif name == "model.zip":
        content = templates.saved(templates.weights())
        described = RDF_05.replace("torchscript", "pytorch_state_dict").format(
            source="weights.pt", sha256=hashlib.sha256(content).hexdigest()
        )
        found = [Entry(b"rdf.yaml", described.encode()), Entry(b"weights.pt", content)]
    else:
        files = templates.exported("openvino")
        found = entries_of(next(b for n, b in files.items() if n.endswith(".openvino.zip")))
    return tuple(sorted(found, key=lambda entry: entry.name.endswith(MAIN[name])))


def case(name: str, attack: Attack, title: str) -> Case:
    def write(room: Room) -> Any:
        path = room.given / name
        path.write_bytes(attack(list(members(name)), room))
        return path

    return Case(f"{name}: {title}", write)


def cases() -> Iterator[Case]:
    for name in MAIN:
        yield from (case(name, attack, title) for title, attack in ATTACKS.items())


IMAGE = np.random.default_rng(3).poisson(40, (24, 24)).astype(np.uint16)


def give(given: Any, _room: Room) -> Any:
    if given.name.endswith(".openvino.zip"):
        return unifmir.restore(IMAGE, given, task="sr")
    return unifmir.load(given)


@functools.cache
def restored() -> Any:
    return unifmir.restore(IMAGE, templates.network())


def lie(_case: Case, came: Any) -> str | None:
    if not isinstance(came, np.ndarray):
        return templates.other_weights(came)
    far = float(np.abs(came - restored()).max() / restored().std())
    return None if far < 1e-3 else f"the picture differs by {far:.3g} standard deviations"


KIND = HostileKind("archive (zip)", cases, give, lie)
