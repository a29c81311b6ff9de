"""Numbers and other values of options that are odd, given to `unifmir restore`."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.helpers.hostile import HostileKind, Room
from tests.hostile.name_inputs import Line, cases, give, lie, placed, restoring

NUMBERS = (
    "\xb2", "\u0663\xbd", "1e3", "0x10", "1.5", "-1", "-0", "nan", "NaN", "inf", "-inf", "Infinity",
    "1e999", "", " ", "1_0", "++1", "\u2212", "9" * 400, "1" + "0" * 30, "one",
    "1,5", "1\n", "\x1b[2J", "\u202e1",
)  # fmt: skip
"""Texts in place of numbers; `1_0` and digits of other scripts are numbers to Python."""
SERVED = {("--threads", "1_0"), ("--workers", "1_0"), ("--series", "-0")}


def numbered(option: str, value: str, room: Room) -> Line:
    path = placed(room)
    series = f".series{int(value)}" if (option, value) == ("--series", "-0") else ""
    return Line(
        restoring(room, str(path), f"{option}={value}"),
        room.out / f"a{series}.denoise.tif" if (option, value) in SERVED else None,
    )


def numbers() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    options = ("--tile", "--pixel-size", "--threads", "--series", "--workers", "--z-factor")
    for option in options:
        for value in NUMBERS if option in ("--tile", "--pixel-size") else NUMBERS[:9]:
            if option in ("--pixel-size", "--z-factor") and value in ("1e3", "1.5", "1_0", "-0"):
                continue  # numbers
            yield f"{option} {value!r:.30}", partial(numbered, option, value)
    for value in ("nan nan", "0 inf", "-1 50", "90 10", "5 5", "0 101", "\xb2 \xb2"):
        yield f"--percentiles {value!r}", partial(between, value)
    for value in ("nan,nan", "inf,1", "1", "1,2,3", "a,b", ",", "\x1b[2J,1"):
        yield f"--lens-centre {value!r}", partial(numbered, "--lens-centre", value)
    devices = ("cuda:\xb2", "cuda:-1", "cuda:99999999999", "cuda:", "gpu", "\x1b[2J", "cpu:0", "")
    for value in devices:
        yield f"--device {value!r}", partial(_one_option, "--device", value)
    for option, value in {
        "--axes": "qq", "--task": "\x1b[2J", "--dtype": "\u202e", "--format": "../x",
        "--runtime": "sh", "--intensity": "\0", "--planes": "x" * 5000, "--artifact": "/dev/zero",
        "--model": "../../../etc/passwd", "--scheduler": "file:///etc/passwd", "--trust": "../key",
        "--precision": "fp\xb2", "--\x1b[2J": "1",
        "--weights": "-", "--out": "\0",
    }.items():  # fmt: skip
        yield f"{option!r} {value!r:.20}", partial(_one_option, option, value)


def between(value: str, room: Room) -> Line:
    return Line(restoring(room, str(placed(room)), "--percentiles", *value.split()))


def _one_option(option: str, value: str, room: Room) -> Line:
    path = placed(room)
    return Line(("restore", str(path), "--task", "denoise", f"{option}={value}"))


KIND = HostileKind("values of options", lambda: cases((numbers,)), give, lie)
