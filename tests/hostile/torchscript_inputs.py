"""TorchScript files: programs that write, read and run on, in every place that one may stand."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_artifacts import (
    LIES,
    Members,
    Served,
    exported,
    give,
    lie,
    packed,
    placed,
)
from unifmir.export.lineage import Lineage

FORMAT = "torchscript"
ROOT = "archive/"
RECORD = f"{ROOT}extra/unifmir.json"
Given = tuple[Path, bool]


@cache
def template() -> Members:
    with zipfile.ZipFile(io.BytesIO(exported(FORMAT))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@cache
def interface() -> str:
    """Member with the module that is called first."""
    return next(name for name in template() if "/networks/interface/" in name)


def case(name: str, make: Callable[[Room], bytes], *, trusting: bool) -> Case:
    """A case of other bytes, which are trusted or not."""

    def write(room: Room) -> Given:
        return placed(room, FORMAT, make(room)), trusting

    return Case(f"{name}, {'trusted' if trusting else 'untrusted'}", write)


def changed(name: str, change: Callable[[Members, Room], object], *, trusting: bool) -> Case:
    def make(room: Room) -> bytes:
        files = dict(template())
        change(files, room)
        return packed(files)

    return case(name, make, trusting=trusting)


STATEMENTS = (
    'torch.save(image, "{victim}/pwn")',
    'torch.save([image], "pwn")',
    'x = torch.from_file("{victim}/precious.txt", False, 36, dtype=0)',
    'x = torch.from_file("{victim}/precious.txt", True, 1000)',
    'x = torch.load("{victim}/precious.txt")',
    'ops.aten.save(image, "{victim}/pwn")',
    'x = ops.aten.from_file("{victim}/precious.txt", True, 36)',
    'x = ops.prim.load("{victim}/precious.txt")',
    'torch.ops.load_library("{victim}/precious.txt")',
    'x = ops.image.read_file("{victim}/precious.txt")',
    'ops.image.write_file("{victim}/pwn", image)',
    "x = ops.inductor._alloc_from_pool(image, 0, 0, [1], [1])",
    "x = ops._c10d_functional.wait_tensor(image)",
    'x = ops.profiler._record_function_enter("x")',
    "x = torch.as_strided(image, [100000], [1])",
    "x = torch.empty([100000])",
    "x = torch.ones([1 << 20, 1 << 20])",
    "x = torch.zeros([100000, 100000])",
    "x = torch.randn([4])",
    "x = torch.set_(image, image)",
    "x = torch.resize_(image, [1 << 40])",
    "x = torch.fill_(image, 0)",
    "x = torch.mul_(image, 2)",
    "x = torch.copy_(image, image)",
    "x = torch.data_ptr(image)",
    "x = torch.item(image)",
    "torch.manual_seed(0)",
    "torch.set_num_threads(1000)",
    'x = torch.format("{{}}", image)',
    "x = torch.jit.fork(self.network, image)",
    "x = torch.jit._fork(self.network, image)",
    "x = ops.prim.fork(image)",
    "x = ops.prim.Print(image)",
    "print(image)",
    'ops.prim.RaiseException("x")',
    'raise AssertionError("x")',
    "assert bool(image)",
    "while True: pass",
    "for x in range(1000000000): pass",
    "x = [y for y in range(1000000000)]",
    "x = torch.cat([image for _ in range(1000)])",
    "if bool(image): image = torch.neg(image)",
    "x = image if True else image",
    "x = lambda y: y",
    "import os",
    "from os import system",
    '__import__("os").system("touch pwn")',
    'open("pwn", "w")',
    'exec("import os")',
    'eval("1")',
    'x = getattr(image, "__class__")',
    'setattr(self, "x", image)',
    'x = getattr(self, "net" + "work")',
    "self.training = True",
    "self.network.weight = image",
    "image[0] = 1",
    "image += 1",
    "del image",
    "global x",
    "try:\n    pass\n  except:\n    pass",
    "with torch.no_grad():\n    pass",
    "x = uninitialized(Tensor)",
    "x = unchecked_cast(Tensor, image)",
    'x = f"{{image}}"',
    "x = (y := image)",
    "def inner(x): return x",
    "class Inner: pass",
    "return torch.zeros_like(image)",
    "x = self.network.network.save(image)",
    "x = self.save(image)",
    "x = forward(image)",
    "x = torch.forward",
    "x = __torch__.unifmir.networks.Other.forward(image)",
    "x = torch\uff0esave(image)",
)
"""Lines that are put into `forward`, before all others."""
KEPT_UNTRUSTED = 12
"""Every so manyth of them is given without trust too: then no line of it is read."""


def programs() -> Iterator[Case]:
    for number, line in enumerate(STATEMENTS):

        def change(files: Members, room: Room, line: str = line) -> None:
            said = files[interface()].decode()
            start = said.index("\n", said.index("def forward(")) + 1
            start = said.index("\n", said.index("-> Tensor", said.index("def forward("))) + 1
            shown = line.format(victim=room.victim).replace("\n", "\n    ")
            files[interface()] = f"{said[:start]}    {shown}\n{said[start:]}".encode()

        yield changed(f"{line[:60]!r}", change, trusting=True)
        if number % KEPT_UNTRUSTED == 0:
            yield changed(f"{line[:60]!r}", change, trusting=False)


METHODS = (
    '  def __setstate__(self, s: Tensor) -> None:\n    torch.save(s, "pwn")\n',
    "  def __getstate__(self) -> Tensor:\n    return self.x\n",
    "  def __init__(self) -> None:\n    pass\n",
    "  def __del__(self) -> None:\n    pass\n",
    "  def helper(self, x: Tensor) -> Tensor:\n    return torch.neg(x)\n",
    "  def forward_hook(self, x: Tensor) -> Tensor:\n    return x\n",
    "  @torch.jit.export\n  def forward2(self, x: Tensor) -> Tensor:\n    return x\n",
    '  def forward3(self, x: Tensor=torch.load("x")) -> Tensor:\n    return x\n',
    '  x = torch.load("x")\n',
    '  x : int = torch.save(1, "pwn")\n',
    '  __annotations__["x"] = torch.load("x")\n',
    '  __parameters__ = [torch.load("x"), ]\n',
    '  torch.save(1, "pwn")\n',
)
MODULES = (
    "import os\n",
    'torch.save(1, "pwn")\n',
    "x = torch.ones([1])\n",
    'def f(x: Tensor) -> Tensor:\n  return torch.load("x")\n',
    "class Y(Enum):\n  a = 1\n@torch.jit.script\nclass X(Module):\n  pass\n",
    "@torch.jit.interface\nclass X(Interface):\n  pass\n",
    "if True:\n  pass\n",
    "(\n" * 1000,
    "((((" * 5000,
    "x" * 5_000_000,
    "\0",
    "\ufeffclass X(Module):\n  pass\n",
)


def elsewhere() -> Iterator[Case]:
    """Programs beside `forward`: of classes, of modules, and in files of their own."""
    for text in METHODS:

        def method(files: Members, _: Room, text: str = text) -> None:
            files[interface()] += text.encode()

        yield changed(f"a class with {text[:50]!r}", method, trusting=True)
    for text in MODULES:

        def module(files: Members, _: Room, text: str = text) -> None:
            files[interface()] = text.encode() + files[interface()]

        yield changed(f"a module with {text[:40]!r} ({len(text)})", module, trusting=True)
    for name in ("code/__torch__.py", "code/evil.so", "code/a.pyc", "code/../../victim/pwn.py"):

        def file(files: Members, _: Room, name: str = name) -> None:
            files[f"{ROOT}{name}"] = b'torch.save(1, "pwn")\n'

        yield changed(f"with {name}", file, trusting=True)
    yield changed("no program", lambda f, _: f.pop(interface()), trusting=True)


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch pwn",)


PICKLES = {
    "a call of the system": pickle.dumps(_Evil()),
    "a function by its name": b"cposix\nsystem\n(S'touch pwn'\ntR.",
    "no bytes": b"",
    "half of one": b"\x80\x02c__torch__",
    "a stack without end": b"(" * 100_000 + b".",
    "2 GiB said": b"\x80\x02X\xff\xff\xff\x7f.",
    "an object of a method": b"\x80\x02c__torch__\nX\n)\x81}b.",
}


def pickles() -> Iterator[Case]:
    for member in ("data.pkl", "constants.pkl"):
        for name, content in PICKLES.items():
            for trusting in (True, False):

                def change(
                    files: Members, _: Room, member: str = member, content: bytes = content
                ) -> None:
                    files[f"{ROOT}{member}"] = content

                yield changed(f"{member} of {name}", change, trusting=trusting)


def archives() -> Iterator[Case]:
    whole = exported(FORMAT)
    for trusting in (True, False):

        def content(name: str, made: bytes, trusting: bool = trusting) -> Case:
            return case(name, lambda _: made, trusting=trusting)

        yield content("no bytes", b"")
        yield content("a text", b"TorchScript, really")
        yield content("half", whole[: len(whole) // 2])
        yield content("a byte short", whole[:-1])
        yield content("damaged", whole[:5000] + b"\xff" * 100 + whole[5100:])
        yield content("in another folder", packed({f"x/{n}": c for n, c in template().items()}))
        linked = {**template(), f"{ROOT}../../victim/pwn": b"x"}
        yield content("a member outside", packed(linked))
        yield content(
            "no weights", packed({n: c for n, c in template().items() if "/data/" not in n})
        )
        yield content("a bomb", packed({**template(), f"{ROOT}data/0": bytes(10**8)}, 8))


def _said(**more: object) -> Callable[[Members, Room], None]:
    """A change of the record."""

    def change(files: Members, _: Room) -> None:
        record = json.loads(files[RECORD]) | more
        kept = {key: value for key, value in record.items() if value is not None}
        files[RECORD] = json.dumps(kept).encode()

    return change


def metadata() -> Iterator[Case]:
    for field in fields(Lineage):
        yield changed(f"no {field.name}", _said(**{field.name: None}), trusting=True)
    for key, values in LIES.items():
        for value in values:
            yield changed(f"{key} {value[:30]!r}", _said(**{key: value}), trusting=True)
    for name, content in {"a list": b"[]", "nested": b"[" * 100_000, "a number": b"1"}.items():

        def change(files: Members, _: Room, content: bytes = content) -> None:
            files[RECORD] = content

        yield changed(f"a record that is {name}", change, trusting=True)


def weights() -> Iterator[Case]:
    def scaled(factor: float) -> Callable[[Members, Room], None]:
        def change(files: Members, _: Room) -> None:
            indices = 8 * 8**4  # bytes of a window's index
            names = [n for n in files if "/data/" in n and len(files[n]) != indices]
            largest = max(names, key=lambda name: len(files[name]))
            values = np.frombuffer(files[largest], np.float32) * np.float32(factor)
            files[largest] = values.tobytes()

        return change

    for factor in (1.01, 0.0, np.nan, np.inf):
        yield changed(f"weights times {factor}", scaled(factor), trusting=False)
    yield changed("as it is", lambda *_: None, trusting=False)


def cases() -> Iterator[Case]:
    for part in (programs, elsewhere, pickles, archives, metadata, weights):
        yield from part()


def _give(given: Given, room: Room) -> Served:
    path, trusting = given
    # What is not run is run by its weights in our own network.
    return give(path, room, trusting=trusting, runtime=None if trusting else "eager")


KIND = HostileKind("TorchScript file", cases, _give, lie)
