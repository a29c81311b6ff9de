"""Programs of TorchScript files: ours pass, and all that does more than compute is refused."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.export.runtimes.script_program import require_plain_program
from unifmir.zip_archive import write_stored_zip

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Saves(nn.Module):
    """Writes a file."""

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "/tmp/never-written")
        return x


class Loops(nn.Module):
    """Runs for ever."""

    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() == x.sum()):
            x = x + 1
        return x


class Branches(nn.Module):
    """Another picture where the image is large."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(2) > 64:
            x = x * 1.5
        return x


class Raises(nn.Module):
    """A message that the author chose."""

    def forward(self, x: Tensor) -> Tensor:
        assert bool(x.sum() > 0), "\x1b[2J"
        return x


class Draws(nn.Module):
    """Random numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Prints(nn.Module):
    """Writes to the terminal."""

    def forward(self, x: Tensor) -> Tensor:
        print(x)
        return x


class MapsFile(nn.Module):
    """Reads a file, or makes one."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("/etc/passwd", False, 16)


class Restores(nn.Module):
    """Runs when it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.training = False

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return torch.zeros(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x


class ReachesBeyond(nn.Module):
    """Memory that is not the tensor's."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_strided(x, [1 << 20], [1], 0)


class Asynchronous(nn.Module):
    """Work of its own beside the caller's."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.jit.wait(torch.jit.fork(torch.relu, x))
        return found


HOSTILE = (
    Saves,
    Loops,
    Branches,
    Raises,
    Draws,
    Prints,
    MapsFile,
    Restores,
    ReachesBeyond,
    Asynchronous,
)


def scripted(module: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_no_network_needs_is_refused(kind: Callable[[], nn.Module], tmp_path: Path):
    path = tmp_path / "hostile.torchscript.pt"
    path.write_bytes(scripted(nn.Sequential(kind())))
    with pytest.raises(ExportError, match=r"hostile.*refused, and nothing of it was run.*holds"):
        require_plain_program(path.name, path.read_bytes())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.torchscript.pt"
    module = torch.jit.trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.rand(1, 1, 8, 8))
    torch.jit.save(module, path)
    return path


def test_a_traced_module_passes(plain):
    require_plain_program(plain.name, plain.read_bytes())


LOOP = """class A(Module):
  def forward(self, x: Tensor) -> Tensor:
    network = self.network
    found = annotate(List[Tensor], [])
    parts = torch.split(x, 2)
    for i in range(torch.len(parts)):
      part = parts[i]
      a = torch.append(found, (network).forward(part, ))
    return torch.cat(found)
"""
"""The loop that slices are restored in."""
LOOPS = {
    "a number of turns": ("range(torch.len(parts))", "range(10)"),
    "turns that the image decides": ("torch.len(parts)", "int(torch.sum(x))"),
    "another list": ("torch.append(found,", "torch.append(parts,"),
    "a list of the module": ("annotate(List[Tensor], [])", "self.kept"),
    "two parts at once": ("forward(part, ))", "forward(part, ), part)"),
    "a value carried on": ("a = torch", "x = torch"),
    "what was added before": ("forward(part, )", "forward(found[0], )"),
    "a loop in it": (
        "part = parts[i]",
        "for j in range(torch.len(parts)):\n        part = parts[j]",
    ),
    "an end in it": ("part = parts[i]", "return x"),
    "something else": ("(network).forward(part, )", "torch.save(part)"),
    "something else first": ("part = parts[i]", "part = torch.save(parts[i])"),
    "an else": ("    return", "    else:\n      b = 1\n    return"),
}


def with_program(plain: Path, text: str) -> bytes:
    """The content of an archive with one more part of a program."""
    with zipfile.ZipFile(plain) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (root,) = {name.split("/")[0] for name in files}
    files[f"{root}/code/__torch__/more.py"] = text.encode()
    write_stored_zip(files, plain)
    return plain.read_bytes()


def test_the_loop_over_parts_passes(plain):
    require_plain_program(plain.name, with_program(plain, LOOP))


@pytest.mark.parametrize("change", LOOPS.values(), ids=LOOPS)
def test_any_other_loop_is_refused(change, plain):
    assert LOOP.count(change[0]) == 1
    with pytest.raises(ExportError, match=r"more\.py.* holds"):
        require_plain_program(plain.name, with_program(plain, LOOP.replace(*change)))


LINES = (
    "import os",
    "x = 1",
    "def f(x: Tensor) -> Tensor:\n  return x",
    "@torch.no_grad\nclass A(Module):\n  pass",
    "class A(Module):\n  x = torch.save",
    "class A(Module):\n  __parameters__ = [torch.save]",
    "class A(Module):\n  __annotations__['0'] = torch.save(1)",
    "class A(Module):\n  def __setstate__(self, x: int) -> NoneType:\n    return x",
    "class A(Module):\n  def forward(self, x: int=torch.save) -> int:\n    return x",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return torch.load(x)",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return ops.aten.save(x)",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return getattr(x, x)",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return (lambda: x)()",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return [y for y in x]",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    x.append(1)\n    return x",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return x.y.forward(1)",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    del x",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    x[0] = 1\n    return x",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    self.y = 1\n    return x",
    "class A(Module):\n  def forward(self, x: int) -> int:\n    return x if x else 1",
    "(" * 5000,
    "\0",
)


@pytest.mark.parametrize("text", LINES)
def test_a_program_of_anything_else_is_refused(text, plain):
    with pytest.raises(ExportError, match=r"more\.py"):
        require_plain_program(plain.name, with_program(plain, text))


def test_classes_in_cpp_are_refused(plain):
    with zipfile.ZipFile(plain) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (values,) = (name for name in files if name.endswith("/data.pkl"))
    files[values], count = re.subn(
        rb"c__torch__\.[\w.]+\nSequential\n", b"c__torch__.torch.classes.foo\nBar\n", files[values]
    )
    assert count == 1
    write_stored_zip(files, plain)
    with pytest.raises(ExportError, match=r"torch\.classes"):
        require_plain_program(plain.name, plain.read_bytes())


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half of one"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "x.torchscript.pt"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="not a TorchScript file"):
        require_plain_program(path.name, path.read_bytes())
