"""Uploads that break the form, the settings, the name or the limits, and images that are bombs."""

import io
import json
import struct
from collections.abc import Iterator

import numpy as np
import tifffile

from tests.hostile.raw_requests import OWN, Ask, form, request, upload

TAKEN = (202,)
ODD_NAMES: dict[str, bytes] = {
    "above": b"../../../victim/precious.tif",
    "backslashes": b"..\\..\\victim\\precious.tif",
    "absolute": b"/etc/cron.d/x.tif",
    "a drive": b"C:\\Windows\\x.tif",
    "control characters": b"a\x07\x1b[2J\x08b.tif",
    "zero byte": b"a\0b.tif",
    "turned round": "a\u202efit.tif".encode(),
    "no UTF-8": b"\xff\xfe\xc0.tif",
    "long": b"x" * 30_000 + b".tif",
    "long letters": "ß".encode() * 9000 + b".tif",
    "a device": b"CON.tif",
    "only an end": b".tif",
    "a tag": b"<img src=x onerror=alert(1)>.tif",
    "a quote": b'a\\".tif',
    "percent": b"%0d%0ax-injected%3a yes.tif",
    "spaces": b" " * 500 + b".tif",
    "dots": b"." * 500 + b".tif",
    "its record": b"job.json.tif",
    "an option": b"--out=x.tif",
    "a pattern": b"*?[a].tif",
    "surrogate": b"\xed\xa0\x80.tif",
    "formula": b"=HYPERLINK(1).tif",
}
BAD_NAMES: dict[str, bytes] = {
    "a program": b"a.exe", "a folder": b"a.zarr", "a page": b"a.svg", "nothing": b"",
    "slashes": b"///",
    "its record": b"job.json", "a pickle": b"a.pkl", "two ends": b"a.tif.exe",
    "hidden": b"a.tif\0.exe",
}  # fmt: skip
SETTINGS: dict[str, bytes] = {
    "deep": b'{"task": ' + b"[" * 9000 + b"]" * 9000 + b"}",
    "deep objects": b'{"task": ' * 1500 + b"1" + b"}" * 1500,
    "NaN": b'{"task": "sr", "z_factor": NaN}',
    "infinite": b'{"task": "sr", "pixel_size": Infinity}',
    "beyond all": b'{"task": "sr", "pixel_size": 1e999}',
    "5000 digits": b'{"task": "sr", "tile": ' + b"9" * 5000 + b"}",
    "twice": b'{"task": "sr", "task": "denoise"}',
    "no JSON": b"task=sr",
    "cut": b'{"task": "sr"',
    "more behind": b'{"task": "sr"}{"task": "sr"}',
    "a list": b'["sr"]',
    "a text": b'"sr"',
    "null": b"null",
    "a byte order mark": b'\xef\xbb\xbf{"task": "sr"}',
    "UTF-16": '{"task": "sr"}'.encode("utf-16"),
    "no UTF-8": b'{"task": "\xff"}',
    "a zero byte": b'{"task": "sr\x00"}',
    "an escape": b'{"task": "\\u001b[2J"}',
    "a surrogate": b'{"task": "\\ud800"}',
    "a megabyte": b'{"task": "sr"' + b" " * 1_000_00 + b"}",
    "a program": b'{"task": "__import__(\'os\')"}',
}
VALUES: tuple[tuple[str, object], ...] = (
    ("task", ["sr"]), ("task", 5), ("task", None), ("task", "../sr"), ("task", "s" * 10_000),
    ("task", "SR"),
    ("model", "/etc/passwd"), ("model", "../../victim"), ("model", "https://evil.example/m.pt"),
    ("model", 5), ("model", ""), ("model", "a" * 9000), ("model", "unifmir-small-sim\n"),
    ("tile", -1), ("tile", 0), ("tile", 1e300), ("tile", "256"), ("tile", 1.5), ("tile", True),
    ("tile", []),
    ("axes", "yxq"), ("axes", "y" * 5000), ("axes", "../x"), ("axes", 5), ("axes", ""),
    ("axes", "(a+)+$"),
    ("series", -1), ("series", 1e9), ("series", "0"), ("channel", -1), ("channel", 1.5),
    ("channel", "all"),
    ("dtype", "object"), ("dtype", "O8"), ("dtype", 5), ("pixel_size", 0), ("pixel_size", -1),
    ("pixel_size", "1"),
    ("z_factor", 0), ("z_factor", -3), ("z_factor", [1]), ("lens_pitch", -1), ("lens_pitch", 1e300),
    ("lens_centre", [1]), ("lens_centre", [1, 2, 3]), ("lens_centre", "00"), ("planes", "../x"),
    ("intensity", "eval"), ("intensity", 1), ("percentiles", [99, 1]), ("percentiles", [-5, 200]),
    ("percentiles", [0, 0]), ("percentiles", {"low": 1}), ("runtime", "/bin/sh"),
    ("runtime", "os"), ("runtime", 1),
    ("precision", "fp1"), ("precision", 16), ("fast", "yes"), ("fast", 1), ("out", "/etc/x"),
    ("device", "cuda"),
    ("threads", 99), ("overwrite", True), ("trust", "0" * 64), ("__class__", {}),
    ("memory_bytes", 1), ("", ""),
)  # fmt: skip


def forms() -> Iterator[tuple[str, Ask]]:
    """Bodies that are no form, or half of one."""
    part = b'--B\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    image = b'; filename="a.tif"'
    whole = form()
    bodies = {
        "empty": b"",
        "no end": whole[:-8],
        "cut in a name": whole[:60],
        "cut in the image": whole[:-30],
        "only an end": b"--B--\r\n",
        "another boundary": whole.replace(b"--B", b"--C"),
        "two images": part % (b"image", image, b"a") + whole,
        "two settings": part % (b"settings", b"", b'{"task": "sr"}') + whole,
        "an unknown part": part % (b"out", b"", b"/etc/passwd") + whole,
        "a part without a name": b"--B\r\ncontent-disposition: form-data\r\n\r\nx\r\n" + whole,
        "a part without a head": b"--B\r\n\r\nx\r\n" + whole,
        "a name of control characters": part % (b"\x1b[2J", b"", b"x") + whole,
        "a long head": b"--B\r\nx: " + b"y" * 200_000 + b"\r\n\r\nx\r\n" + whole,
        "many heads": b"--B\r\n" + b"x: y\r\n" * 20_000 + b"\r\nx\r\n" + whole,
        "many parts": part % (b"a", b"", b"x") * 5000 + whole,
        "no image": part % (b"settings", b"", b"{}") + b"--B--\r\n",
        "an image of nothing": form(b""),
        "line ends of Unix": whole.replace(b"\r\n", b"\n"),
        "a form in a form": form(form()).replace(b"--B--\r\n\r\n", b""),
        "a head without a colon": b"--B\r\nxyz\r\n\r\nx\r\n" + whole,
        "zeros": bytes(50_000),
    }
    for name, body in bodies.items():
        may = TAKEN if name in ("a form in a form", "two settings") else ()
        yield name, Ask((upload(body, f"content-length: {len(body)}"),), may=may)
    yield "more after the end", Ask((upload(whole + b"x" * 1000),), may=TAKEN)


def kinds() -> Iterator[tuple[str, Ask]]:
    """Content types that are no form's."""
    for kind in (
        "application/json", "application/x-www-form-urlencoded", "text/plain", "",
        "multipart/mixed; boundary=B",
        "multipart/form-data", "multipart/form-data; boundary=", "image/tiff",
        "multipart/form-data; boundary=" + "B" * 9000,
        "multipart/form-data; boundary*=utf-8''B", "multipart/form-data; charset=x", "x" * 9000,
        ";;;", "multipart/",
        "multipart/form-data; boundary=\x01", 'multipart/form-data; boundary="B',
        "multipart/form-data; BOUNDARY",
    ):  # fmt: skip
        # The quote that does not end, and the coded parameter, leave the boundary B.
        may = TAKEN if kind.endswith(('"B', "''B")) else ()
        yield kind[:60], Ask((upload(form(), kind=kind),), may=may)


def names() -> Iterator[tuple[str, Ask]]:
    """Names of images that are paths, odd, or of something else."""
    for what, name in ODD_NAMES.items():
        yield what, Ask((upload(form(name=name)),), may=TAKEN)
    for what, name in BAD_NAMES.items():
        yield f"refused, {what}", Ask((upload(form(name=name)),))
    for what, field in {
        "a header": b'a.tif"\r\nx-injected: yes\r\nx: "',
        "coded": b"a.tif\"; filename*=utf-8''..%2f..%2fx.tif; x=\"",
        "twice": b'a.tif"; filename="../x.tif',
    }.items():
        yield f"{what} in it", Ask((upload(form(name=field)),), may=TAKEN)


def settings() -> Iterator[tuple[str, Ask]]:
    """Settings that are no settings."""
    for what, text in SETTINGS.items():
        yield what, Ask((upload(form(settings=text)),))
    for number, (name, value) in enumerate(VALUES):
        text = json.dumps({"task": "sr", name: value}).encode()
        yield f"{number} {name} {value!r:.30}", Ask((upload(form(settings=text)),))


def limits() -> Iterator[tuple[str, Ask]]:
    """Uploads that are larger or slower than the server takes, or many."""
    large = form(bytes(400_000))
    yield "over the limit", Ask((upload(large),))
    yield "over the limit, told before", Ask((upload(b"", "content-length: 999999999999"),))
    chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
    chunked = request(
        "POST",
        "/api/restore",
        "content-type: multipart/form-data; boundary=B",
        "transfer-encoding: chunked",
    )
    start = form(b"")[: form(b"").index(b"\r\n--B--")]
    first = b"%x\r\n%s\r\n" % (len(start), start)
    yield "over the limit, in chunks", Ask((chunked + first, *[chunk] * 5))
    yield "never ends", Ask((chunked + first, chunk))
    longer = upload(form(), "content-length: 100000")
    yield "less than was said", Ask((longer,))
    yield "silent in the middle", Ask((upload(large)[:3000],), pause_s=0.1)
    slow = upload(form(bytes(4000)))
    pieces = tuple(slow[at : at + 100] for at in range(0, 2000, 100))
    yield "creeping", Ask((slow[:0], *pieces), pause_s=0.08)
    yield "left in the middle", Ask((slow[:1000],), half=True)
    yield "settings over their limit", Ask((upload(form(settings=b" " * 90_000)),))
    yield "too many jobs", Ask((upload(form()),), options={"jobs_a_session": 1})


def bombs() -> Iterator[tuple[str, Ask]]:
    """Images that say they are far more than they are, given to the real process of a job."""
    small = np.zeros((16, 16), np.uint16)
    huge = 140_000

    def tiff(**tags: int) -> bytes:
        held = io.BytesIO()
        tifffile.imwrite(held, small, compression="zlib", metadata=None)
        held.seek(0)
        with tifffile.TiffFile(held) as file:
            places = {tag.name: tag.valueoffset for tag in file.pages.first.tags}
        data = bytearray(held.getvalue())
        for name, value in tags.items():
            data[places[name] : places[name] + 2] = struct.pack("<H", value % 65_536)
        return bytes(data)

    plain = tiff()
    loop = bytearray(plain)
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        last = file.pages.first.offset + 2 + 12 * len(file.pages.first.tags)
    loop[last : last + 4] = struct.pack("<I", file.pages.first.offset)
    images = {
        "a strip of many pixels": tiff(ImageWidth=60_000, ImageLength=60_000, RowsPerStrip=60_000),
        "pages in a ring": bytes(loop),
        "cut": plain[: len(plain) // 2],
        "no image": b"II*\0" + bytes(60),
        "text": OWN,
        "zeros": bytes(huge),
    }
    for name, image in images.items():
        yield name, Ask((upload(form(image)),), may=TAKEN, real=True)


PARTS = (forms, kinds, names, settings, limits, bombs)
