"""Names and places of files that are odd, given to the commands.

Each case is one command line with files of the room; the small model of the tests restores. What is
restored is compared with what the same image gives under a harmless name.
"""

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from tests.golden.weights import filled
from tests.helpers.hostile import Case, HostileKind, Room, by_command
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.errors import UnifmirError
from unifmir.model import build

PIXELS = np.random.default_rng(0).integers(0, 4000, (24, 20), dtype=np.uint16)
ODD_NAMES = {
    "escape sequence": "\x1b[2J\x1b]0;owned\x07.tif",
    "carriage return": "a.tif\rb.tif",
    "line break": "a\nerror: b.tif",
    "override of direction": "gpj.\u202efit.tif",
    "zero width": "a\u200b\ufeff.tif",
    "one dash": "-a.tif",
    "two dashes": "--help.tif",
    "markup of rich": "[red]a[bold].tif",
    "brackets": "[a-z].tif",
    "star": "*.tif",
    "question mark": "a?.tif",
    "percent": "%s%n%x.tif",
    "braces": "{0.__class__}.tif",
    "dollar": "$(touch x)`id`;&|.tif",
    "quotes": "a\"b'c.tif",
    "spaces": "  a  .tif",
    "tilde": "~.tif",
    "backslash": "a\\..\\b.tif",
    "colon": "http:a.tif",
    "reserved": "CON.tif",
    "dots": "...tif",
    "emoji": "\U0001f52c.tif",
    "combining": "e\u0301\u0301\u0301.tif",
    "C1 controls": "\x9b2J.tif",
    "delete": "a\x7f.tif",
    "tab": "a\tb.tif",
    "journal's": ".unifmir-partial-x.tif",
    "200 letters": "a" * 196 + ".tif",
}


@dataclass(frozen=True)
class Line:
    """A command line, and what may come of it."""

    words: tuple[str, ...]
    restored: Path | None = None
    """The result, where one may be made."""
    runner: bool = True
    """Whether in this process; else in one of its own."""


@functools.cache
def template() -> Path:
    """A folder with a model, an image, and what the model makes of it."""
    folder = Path(tempfile.mkdtemp(prefix="unifmir-names-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = SingleTaskConfig("denoise", BodyConfig(8, (1,), (2,), 8, 16))
    network = build(config)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    save(network, folder / "m.safetensors")
    tifffile.imwrite(folder / "a.tif", PIXELS)
    run(("restore", str(folder / "a.tif"), "--model", str(folder / "m.safetensors"), *QUICK))
    return folder


QUICK = ("--runtime", "eager", "--threads", "1", "--device", "cpu")


def run(words: tuple[str, ...]) -> str:
    """Run a command in this process; what it printed.

    Raises
    ------
    UnifmirError
        It refused, by exit code and message.
    """
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(app, list(words))
    finally:
        torch.set_num_threads(threads)
    told = result.stdout + result.stderr
    if any(not letter.isprintable() and letter != "\n" for letter in told):
        raise RuntimeError(f"control characters reach the terminal: {told!r}")
    if result.exit_code == 0:
        return str(result.stdout)
    if result.exit_code in (1, 2) and isinstance(result.exception, SystemExit):
        raise UnifmirError(told)
    raise result.exception or RuntimeError(told)


def placed(room: Room, name: str = "a.tif", *, at: str = "given") -> Path:
    """The image under a name, and the model beside it."""
    path = getattr(room, at) / name
    shutil.copyfile(template() / "a.tif", path)
    shutil.copyfile(template() / "m.safetensors", room.given / "m.safetensors")
    return Path(path)


def restoring(room: Room, image: str, *more: str) -> tuple[str, ...]:
    model = str(room.given / "m.safetensors")
    return ("restore", "--model", model, *QUICK, "--out", str(room.out), *more, "--", image)


def named(name: str, room: Room) -> Line:
    path = placed(room, name)
    result = room.out / f"{path.name[:-4]}.denoise.tif"
    return Line(restoring(room, str(path)), result)


def prepared(make: Callable[[Room], Line], room: Room) -> Line:
    return make(room)


def names() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    for what, name in ODD_NAMES.items():
        yield f"name: {what}", partial(named, name)
    for what, name in {
        "no UTF-8": "\udcff\udcfe.tif",
        "half of a character": "a\udc80.tif",
        "240 letters": "a" * 236 + ".tif",
        "251 letters": "a" * 251 + ".tif",
    }.items():
        yield f"name: {what}", partial(refused_name, name)
        yield f"in a folder, name: {what}", partial(in_folder, name)
    for what, name in {
        "zero byte": "a\0.tif",
        "5000 letters": "a" * 5000 + ".tif",
        "nothing": "",
        "a space": " ",
        "slashes": "/" * 300,
        "deep": "a/" * 2000 + "a.tif",
        "dots up": "../" * 300 + "nothing.tif",
        "no file": "nothing.tif",
        "no folder": "nothing/a.tif",
        "pattern that fits none": "[z-a]*.tif",
        "pattern of stars": "*" * 300 + ".tif",
        "pattern of all": "**/" * 30 + "nothing.tif",
    }.items():
        yield f"argument: {what}", partial(absent, name)


def refused_name(name: str, room: Room) -> Line:
    return Line(restoring(room, str(placed(room, name))))


def absent(name: str, room: Room) -> Line:
    placed(room)
    return Line(restoring(room, name))


def in_folder(name: str, room: Room) -> Line:
    folder = room.given / "images"
    folder.mkdir()
    shutil.move(placed(room), folder / name)
    return Line(restoring(room, str(folder)))


def _out(
    room: Room, place: str, *more: str, source: Path | None = None, made: str | None = None
) -> Line:
    path = source or placed(room)
    model = str(room.given / "m.safetensors")
    words = ("restore", str(path), "--model", model, *QUICK, "--out", place, *more)
    return Line(words, room.out / made if made else None)


def over_inputs() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    """Outputs that are inputs, in other spellings."""

    def over(spelling: Callable[[Room, Path], Path]) -> Callable[[Room], Line]:
        def make(room: Room) -> Line:
            path = placed(room)
            return _out(room, str(spelling(room, path)), "--overwrite", source=path)

        return make

    def linked(room: Room, path: Path) -> Path:
        (room.given / "link.tif").symlink_to(path)
        return room.given / "link.tif"

    def hard(room: Room, path: Path) -> Path:
        os.link(path, room.given / "hard.tif")
        return room.given / "hard.tif"

    def through(room: Room, path: Path) -> Path:
        (room.given / "here").symlink_to(room.given)
        return room.given / "here" / path.name

    yield "out is the input", over(lambda _room, path: path)
    yield (
        "out is the input by dots",
        over(lambda room, path: room.given / ".." / "given" / path.name),
    )
    yield "out is the input by a link", over(linked)
    yield "out is the input by another name", over(hard)
    yield "out is the input by a linked folder", over(through)


def odd_inputs() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    """Inputs that are no plain files."""

    def special(make: Callable[[Path], None]) -> Callable[[Room], Line]:
        def given(room: Room) -> Line:
            placed(room)
            make(room.given / "odd.tif")
            return Line(restoring(room, str(room.given / "odd.tif")))

        return given

    yield "input is a pipe", special(os.mkfifo)
    yield "input is a folder", special(os.mkdir)
    yield "input is a link to itself", special(lambda path: path.symlink_to(path))
    yield "input is a link to nothing", special(lambda path: path.symlink_to("nothing"))
    yield "input is endless", special(lambda path: path.symlink_to("/dev/zero"))
    yield "input is a device", special(lambda path: path.symlink_to("/dev/null"))
    yield "input is empty", special(lambda path: path.touch())
    yield (
        "input is the model",
        lambda room: Line(restoring(room, str(placed(room).with_name("m.safetensors")))),
    )


def placed_out(
    place: Callable[[Room], str], made: str | None, *more: str
) -> Callable[[Room], Line]:
    """A command whose output is at a place that is made odd first."""
    return lambda room: _out(room, place(room), *more, made=made)


def odd_outputs() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    """Outputs whose place is no plain one."""

    def put(make: Callable[[Path], None], room: Room) -> str:
        make(room.out / "odd.tif")
        return str(room.out / "odd.tif")

    for what, make in {
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "link to itself": lambda path: path.symlink_to(path),
        "link to a device": lambda path: path.symlink_to("/dev/null"),
    }.items():
        for more in ((), ("--overwrite",)):
            made = None
            if what == "folder":
                made = "odd.tif/a.denoise.tif"
            elif what.startswith("link") and more:  # the link is replaced, not followed
                made = "odd.tif"
            yield f"out is a {what} {more}", placed_out(partial(put, make), made, *more)
    precious = {
        "out is a link to precious": ("r.tif", "r.tif"),
        "the result's own name is a link to precious": ("a.denoise.tif", ""),
        "what lies aside is a link to precious": (".unifmir-partial-r.tif", "r.tif"),
        "the note aside is a link to precious": (".unifmir-partial-r.tif.json", "r.tif"),
        "the old one aside is a link to precious": (".unifmir-partial-r.tif.old", "r.tif"),
        "the journal is a link to precious": (".unifmir-partial-r.tif.journal", "r.tif"),
    }
    for what, (link, name) in precious.items():
        put_link = partial(_to_precious, link, name)
        yield what, placed_out(put_link, name or "a.denoise.tif", "--overwrite")
    for what, place in {
        "in a file": "a.tif/r.tif", "in a device": "/dev/null/r.tif", "a device": "/dev/full",
        "in /proc": "/proc/r.tif", "in /sys": "/sys/r.tif", "long": "a" * 300 + ".tif",
        "deep": "a/" * 3000 + "r.tif",
        "a suffix": ".tif", "no UTF-8": "\udcff.tif",
        "an address": "http://127.0.0.1:9/r.tif", "JPEG": "r.jpg",
        "240 letters": "a" * 236 + ".tif",
    }.items():  # fmt: skip
        yield f"out is {what}", partial(_out_at, place)


def other_commands() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    """Odd words for commands that take one."""
    for command in (
        ("prune",),
        ("inspect",),
        ("verify",),
        ("trust",),
        ("zoo", "show"),
        ("zoo", "pull"),
    ):
        for what, word in {
            "no UTF-8": "\udcff.pt", "an escape sequence": "\x1b[2J.pt", "zero": "/dev/zero",
            "long": "a" * 5000,
            "a path": "../../../etc/passwd", "an option": "--\x1b[2J",
        }.items():  # fmt: skip
            yield f"{' '.join(command)} {what}", partial(_other_command, command, word)


def _out_at(place: str, room: Room) -> Line:
    path = placed(room)
    if place == "a.tif/r.tif":
        place = str(path / "r.tif")
    elif place and not place.startswith(("/", "http")):
        place = str(room.out / place)
    model = str(room.given / "m.safetensors")
    return Line(("restore", str(path), "--model", model, *QUICK, "--out", place, "--overwrite"))


def _other_command(command: tuple[str, ...], word: str, room: Room) -> Line:
    more = (
        ("--task", "sr", "--out", str(room.out / "x.safetensors")) if command == ("prune",) else ()
    )
    return Line((*command, word, *more))


def _to_precious(link: str, name: str, room: Room) -> str:
    (room.out / link).symlink_to(room.victim / "precious.txt")
    return str(room.out / name)


def processes() -> Iterator[tuple[str, Callable[[Room], Line]]]:
    """A few of them in a process of their own, where stdout and arguments are real."""
    for what in ("escape sequence", "override of direction", "markup of rich", "two dashes"):

        def line(room: Room, what: str = what) -> Line:
            placed(room)
            return Line(("zoo", "show", "--", ODD_NAMES[what]), runner=False)

        yield f"process: zoo show {what}", line


Parts = Iterable[Callable[[], Iterator[tuple[str, Callable[[Room], Line]]]]]
"""Functions that give command lines by name."""


def cases(parts: Parts) -> Iterator[Case]:
    """Cases of what the parts give by name."""
    for part in parts:
        for name, make in part():
            yield Case(name, partial(prepared, make))


def give(line: Line, room: Room) -> Line:
    """Run the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIFMIR_HOME", str(room.folder / "home"))
        patch.setenv("UNIFMIR_CACHE", str(room.folder / "cache"))
        patch.setenv("UNIFMIR_TRUSTED", str(room.folder / "trusted"))
        patch.setenv("UNIFMIR_ZENODO_URL", "http://127.0.0.1:9")
        if line.runner:
            run((*line.words, "--json")) if "--" not in line.words else run(line.words)
        else:
            by_command(*line.words)
    return line


def lie(_case: Case, line: Line) -> str | None:
    """What was restored is the right picture; nothing else may succeed."""
    if line.restored is None:
        return f"it succeeded: {' '.join(line.words)!r:.200}"
    right = tifffile.imread(template() / "a.denoise.tif")
    if not line.restored.is_file() or line.restored.is_symlink():
        return f"no {line.restored.name!r}"
    found = tifffile.imread(line.restored)
    return None if np.array_equal(found, right) else "another picture"


PARTS = (names, over_inputs, odd_inputs, odd_outputs, other_commands, processes)
KIND = HostileKind("names of files", lambda: cases(PARTS), give, lie)
