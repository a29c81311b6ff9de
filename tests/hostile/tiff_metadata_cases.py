"""TIFF files whose descriptions lie, and name other files."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, refused, right
from tests.helpers.microscope_files import file_uuid, ome_text
from tests.helpers.tiff_bytes import (
    DESCRIPTION,
    LONG,
    RATIONAL,
    Raw,
    page,
    tiff,
)
from tests.hostile.tiff_parts import (
    PLANE,
    SIDE,
    STACK,
    described,
    file_of,
    fine,
)


def words() -> Iterator[ImageCase]:
    """ImageJ's and tifffile's descriptions."""
    imagej = "ImageJ=1.54f\nimages={}\nslices={}\n"
    for count in (4, 10**6, 10**12, 10**18):
        yield refused(f"ImageJ of {count} images", described(imagej.format(count, count)))
    for count in (-3, 0):
        yield right(f"ImageJ of {count} images", described(imagej.format(count, count)), STACK)
    yield refused(
        "ImageJ of 10**9 frames",
        described(
            "ImageJ=1.54f\nimages=3000000000\nslices=3\nframes=1000000000\nhyperstack=true\n"
        ),
    )
    good = imagej.format(3, 3)
    for name, line in (
        ("a unit that clears the screen", "unit=\x1b[2J\n"),
        ("planes NaN apart", "spacing=nan\n"),
        ("planes infinitely far apart", "spacing=1e999\n"),
        ("a display range of NaN", "min=nan\nmax=inf\n"),
        ("10 MB of signs", "=" * 10**7 + "\n"),
        ("a hundred thousand lines", "a=b\n" * 10**5),
        ("an interval of -1 s", "finterval=-1\ntunit=s\n"),
        ("a calibration that is none", "cf=0\nc0=nan\nc1=nan\n"),
    ):
        yield right(f"ImageJ: {name}", described(good + line), STACK)
    for name, code in (("counts", 50838), ("data", 50839)):
        listed = page(
            PLANE, tags={DESCRIPTION: imagej.format(1, 1).encode(), code: Raw(LONG, 2**31, 8)}
        )
        yield fine(f"ImageJ: metadata {name} of 2**31", PLANE, listed)
    counts = {
        DESCRIPTION: imagej.format(1, 1).encode(),
        50838: (LONG, [12, 2**31]),
        50839: (1, list(b"IJIJinfo\0\0\0\1") * 4),
    }
    yield fine("ImageJ: metadata longer than they are", PLANE, page(PLANE, tags=counts))
    for name, said in (
        ("of 10**9 planes", {"shape": [10**9, SIDE, SIDE]}),
        ("of -3 planes", {"shape": [-3, SIDE, SIDE]}),
        ("of no planes", {"shape": [0, SIDE, SIDE]}),
        ("of half a plane", {"shape": [0.5, SIDE, SIDE]}),
        ("of words", {"shape": ["a", "b"]}),
        ("of other axes", {"shape": [3, SIDE, SIDE], "axes": "QQQQ"}),
        ("that is no list", {"shape": 7}),
    ):
        yield right(f"a shape {name}", described(json.dumps(said)), STACK)
    yield right(
        "a shape nested deeply", described('{"shape": ' + "[" * 10**5 + "]" * 10**5 + "}"), STACK
    )


def ome(said: str) -> Callable[[Room], Path]:
    return described(said)


def ome_numbers() -> Iterator[ImageCase]:
    def sized(**sizes: object) -> str:
        known = {"X": SIDE, "Y": SIDE, "Z": 3, "C": 1, "T": 1} | sizes
        return " ".join(f'Size{axis}="{value}"' for axis, value in known.items())

    for axis, value in (
        *(("Z", n) for n in (4, 10**6, 10**12, -3, 0)),
        *(("X", n) for n in (SIDE + 1, 10**9, -1, 0)),
        ("T", 10**9),
        ("C", 10**9),
        ("Y", "many"),
        ("Z", "9" * 5000),
        ("Z", "nan"),
    ):
        yield refused(f"OME: size {axis} {str(value)[:12]}", ome(ome_text(sized(**{axis: value}))))
    no_y = sized().replace("SizeY", "Sizes")
    yield refused("OME: no size Y", ome(ome_text(no_y)))
    for name, data in (
        ("10**12 planes at once", '<TiffData IFD="0" PlaneCount="1000000000000"/>'),
        ("-5 planes", '<TiffData IFD="0" PlaneCount="-5"/>'),
        ("planes from 10**9 on", '<TiffData IFD="0" FirstZ="1000000000" PlaneCount="1"/>'),
        ("page 10**9", '<TiffData IFD="1000000000" PlaneCount="3"/>'),
        ("page -1", '<TiffData IFD="-1" PlaneCount="1"/>'),
        ("half a page", '<TiffData IFD="0.5"/>'),
        ("no planes", ""),
    ):
        yield refused(f"OME: {name}", ome(ome_text(sized(), data=data)))
    twice = '<TiffData FirstZ="0" IFD="0" PlaneCount="3"/>' * 2
    yield right("OME: planes that are named twice", ome(ome_text(sized(), data=twice)), STACK)
    pages = [page(np.ones((4, 4), np.uint16)) for _ in range(400)]
    many = ome_text(
        'SizeX="4" SizeY="4" SizeZ="400" SizeC="1" SizeT="1"', data="<TiffData/>" * 10**5
    )
    yield refused("OME: all pages, a hundred thousand times", described(many, *pages))
    modulo = (
        '<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/omero/'
        'dimension/modulo"><Value><Modulo><ModuloAlongZ Type="phase" {}/></Modulo></Value>'
        "</XMLAnnotation></StructuredAnnotations>"
    )
    for name, along in (
        ("10**12 steps", 'Start="0" End="1000000000000"'),
        ("steps of nothing", 'Start="0" End="9" Step="0"'),
        ("steps of NaN", 'Start="0" End="9" Step="nan"'),
        ("steps without end", 'Start="0" End="inf"'),
    ):
        text = ome_text(sized()).replace("<Image", modulo.format(along) + "<Image", 1)
        yield refused(f"OME: an axis divided by {name}", ome(text))
    order = ome_text(sized()).replace("XYZCT", "XXXXX")
    yield refused("OME: axes that are all X", ome(order))
    for samples in (0, -1, 10**9):
        # None that there can be: one is taken, which is right.
        text = ome_text(sized()).replace('SamplesPerPixel="1"', f'SamplesPerPixel="{samples}"')
        yield right(f"OME: {samples} samples a pixel", ome(text), STACK)


def ome_text_tricks() -> Iterator[ImageCase]:
    sized = f'SizeX="{SIDE}" SizeY="{SIDE}" SizeZ="3" SizeC="1" SizeT="1"'
    whole = ome_text(sized)
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    for name, doctype in (
        ("a billion laughs", f'<!DOCTYPE OME [<!ENTITY a0 "ha">{laughs}]>'),
        ("the file of another", '<!DOCTYPE OME [<!ENTITY a9 SYSTEM "../victim/precious.txt">]>'),
        (
            "a document elsewhere",
            '<!DOCTYPE OME SYSTEM "http://192.0.2.1/ome.dtd" [<!ENTITY a9 "x">]>',
        ),
    ):
        text = whole.replace("?>", "?>" + doctype, 1).replace(
            "<Image ID", '<Image Name="&a9;" ID', 1
        )
        yield refused(f"OME: {name}", ome(text))
    deep = "<a>" * 10**5 + "</a>" * 10**5
    yield right(
        "OME: elements nested deeply", ome(whole.replace("</Pixels>", deep + "</Pixels>")), STACK
    )
    named = whole.replace("<Image ID", '<Image Name="\u202e\x7f[2J" ID', 1)
    yield right("OME: a name that turns the line", ome(named), STACK)
    yield right("OME: cut", ome(whole[: len(whole) // 2]), STACK)


def nothing(_room: Room) -> None:
    """Make no file beside the one that is read."""


def special(kind: str, name: str) -> Callable[[Room], Any]:
    """A file of a kind under a name in `given`."""

    def link_to(target: str) -> Callable[[Path], Any]:
        return lambda path: path.symlink_to(target)

    def large(path: Path) -> None:
        # Not in `given`, whose files are hashed before and after.
        there = path.parent.parent / "large"
        there.touch()
        os.truncate(there, 2**40)
        path.symlink_to("../large")

    makers: dict[str, Callable[[Path], Any]] = {
        "pipe": os.mkfifo,
        "folder": Path.mkdir,
        "device": link_to("/dev/zero"),
        "link to another's image": link_to("../victim/b.tif"),
        "link to another's text": link_to("../victim/precious.txt"),
        "link to itself": link_to(name),
        "text": lambda path: path.write_text("no image"),
        "terabyte": large,
        "empty file": Path.touch,
        "chain without end": lambda path: path.write_bytes(
            tiff(*[page(np.ones((4, 4), np.uint8))] * 120, links={119: 110})
        ),
        "smaller image": lambda path: path.write_bytes(tiff(page(STACK[1][:9, :9].copy()))),
        "missing file": lambda _path: None,
    }

    def make(room: Room) -> None:
        (room.victim / "b.tif").write_bytes(tiff(page(STACK[1])))
        makers[kind](room.given / name)

    return make


def of_two(name: str, make: Callable[[Room], Any] = nothing) -> Callable[[Room], Path]:
    """An OME-TIFF whose second plane lies in a file of this name."""

    def write(room: Room) -> Path:
        make(room)
        pieces = "".join(
            f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{file}">'
            f"{file_uuid(z)}</UUID></TiffData>"
            for z, file in ((0, "a.tif"), (1, name))
        )
        sized = f'SizeX="{SIDE}" SizeY="{SIDE}" SizeZ="2" SizeC="1" SizeT="1"'
        text = ome_text(sized, data=pieces, identity=f'UUID="{file_uuid(0)}"')
        return described(text, page(STACK[0]))(room)

    return write


def described_in(name: str, make: Callable[[Room], Any] = nothing) -> Callable[[Room], Path]:
    """An OME-TIFF whose metadata lie in a file of this name."""

    def write(room: Room) -> Path:
        make(room)
        only = f'<BinaryOnly MetadataFile="{name}" UUID="{file_uuid(9)}"/>'
        text = f'<?xml version="1.0"?><OME xmlns="x">{only}</OME>'
        return described(text, *(page(one) for one in STACK))(room)

    return write


def file_names() -> Iterator[ImageCase]:
    """Names of other files in OME metadata."""

    def beside(room: Room) -> None:
        (room.given / "b.tif").write_bytes(tiff(page(STACK[1])))

    yield right("OME: two files, right", of_two("b.tif", beside), STACK[:2])
    for kind in (
        *("pipe", "folder", "device", "link to another's image", "link to itself", "text"),
        *("chain without end", "smaller image", "missing file", "empty file"),
    ):
        yield refused(f"OME: the other file is a {kind}", of_two("b.tif", special(kind, "b.tif")))
    elsewhere = special("missing file", "b.tif")
    for name in (
        "../victim/b.tif",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        ".",
        "..",
        "b&#10;",
    ):
        yield refused(f"OME: the other file is {name!r}", of_two(name, elsewhere))
    for kind in (
        *("pipe", "folder", "device", "link to another's text", "terabyte", "empty file"),
        "missing file",
    ):
        yield refused(
            f"OME: a {kind} has the metadata", described_in("c.ome", special(kind, "c.ome"))
        )
    for name in ("a.tif", "", "..", "../victim/precious.txt"):
        yield refused(f"OME: {name!r} has the metadata", described_in(name))


def neighbours() -> Iterator[ImageCase]:
    """Files that datasets of Micro-Manager open beside the one that is read."""

    def dataset(name: str) -> Callable[[Room], Path]:
        def write(room: Room) -> Path:
            (room.victim / "b.tif").write_bytes(tiff(page(STACK[1])))
            entries = b""
            for number, file in enumerate(("a.tif", name)):
                axes, encoded_name = json.dumps({"z": number}).encode(), file.encode()
                entries += struct.pack("<I", len(axes)) + axes
                entries += struct.pack("<I", len(encoded_name)) + encoded_name
                entries += struct.pack("<8I", 8, SIDE, SIDE, 1, 0, 0, 0, 0)
            if name == "pipe.tif":
                os.mkfifo(room.given / name)
            (room.given / "NDTiff.index").write_bytes(entries)
            first = page(STACK[0], tags={51123: b'{"a": 1}'})
            data = bytearray(tiff(first))
            return file_of(bytes(data))(room)

        return write

    for name in ("../victim/b.tif", "pipe.tif", "/dev/zero"):
        yield right(f"NDTiff: its index names {name}", dataset(name), STACK[0])

    def index_pipe(room: Room) -> Path:
        os.mkfifo(room.given / "NDTiff.index")
        return file_of(tiff(page(STACK[0], tags={51123: b'{"a": 1}'})))(room)

    yield right("NDTiff: its index is a pipe", index_pipe, STACK[0])


def other_microscopes() -> Iterator[ImageCase]:
    """Tags of other programs that say how many planes there are."""
    yield right(
        "STK of 2**31 planes",
        file_of(
            tiff(page(PLANE, tags={33629: Raw(RATIONAL, 2**31, 8), 33628: Raw(LONG, 2**31, 8)}))
        ),
        PLANE,
    )
    yield right(
        "LSM of a short header", file_of(tiff(page(PLANE, tags={34412: (1, [0] * 40)}))), PLANE
    )
    yield right(
        "LSM of a long header", file_of(tiff(page(PLANE, tags={34412: Raw(1, 2**31, 8)}))), PLANE
    )
    yield right(
        "FluoView of nothing",
        file_of(tiff(page(PLANE, tags={34361: (1, [0] * 64), 34362: (1, [0] * 8)}))),
        PLANE,
    )
    for text in ("<?xml?><scan", "Aperio Image", "DICOM", "<Indica", "SCANIMAGE.x=1", "\0" * 100):
        yield right(f"a description of {text[:12]!r}", described(text, page(PLANE)), PLANE)
