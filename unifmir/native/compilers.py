"""The C compilers that there are: how each is called, and which makes the kernels."""

import logging
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from unifmir.errors import MissingExtraError

logger = logging.getLogger(__name__)

PROGRAMS = ("cc", "gcc", "clang")
"""Tried in this order; the environment variable CC goes before them."""
ZIG = "ziglang"
"""Package that has a Clang inside, `zig cc`, which is taken where no program is on PATH."""
WITHOUT = "models run on the CPU by PyTorch's own operations, slower"
"""Consequence of having no compiler, in words."""
REMEDY = "pip install 'unifmir[compiler]'"
"""Command that brings a compiler."""


class NoCompilerError(MissingExtraError):
    """The native kernels cannot be compiled: there is no C compiler."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler as it is called."""

    command: tuple[str, ...]
    """The program, in full, and the words that go before all options."""

    @property
    def is_zig(self) -> bool:
        """Whether it is the Clang inside Zig, which has ways of its own."""
        return self.command[1:] == ("cc",) and "zig" in Path(self.command[0]).name

    @property
    def name(self) -> str:
        """Name, as a user calls it."""
        return " ".join((Path(self.command[0]).name, *self.command[1:]))

    @property
    def version(self) -> str:
        """First line of what it says of its version, such as `zig 0.17.1`."""
        # `zig cc --version` names the running kernel, and writes into the caches.
        asked = (self.command[0], "version") if self.is_zig else (*self.command, "--version")
        line = (_said(asked).splitlines() or [""])[0]
        return f"zig {line}" if self.is_zig else line

    def target(self, architecture: str) -> str:
        """Option for a processor.

        Parameters
        ----------
        architecture : str
            As GCC calls it, such as `x86-64-v3`; `native` is the processor at hand.
        """
        if self.is_zig:
            architecture = architecture.replace("-", "_")
        # Clang on Apple's and other ARM processors knows the processor only by -mcpu.
        is_arm = platform.machine().lower() in ("arm64", "aarch64")
        return f"-mcpu={architecture}" if is_arm else f"-march={architecture}"

    def run(self, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Call it; what it keeps or leaves when it is killed lies in a folder.

        Parameters
        ----------
        arguments : list of str
            Options and files.
        folder : Path
            For temporary files. Zig's caches too: it would make them in the user's home or where
            it is called.
        """
        places = dict.fromkeys(
            ("TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(folder)
        )
        return subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **places},
        )


def find_compiler() -> Compiler:
    """The compiler that makes the kernels: CC, the first program on PATH, or that of `ziglang`.

    Raises
    ------
    NoCompilerError
        There is none.
    """
    wanted = shlex.split(os.environ.get("CC", ""))
    if wanted:
        if found := shutil.which(wanted[0]):
            return Compiler((found, *wanted[1:]))
        missing = f"CC names {wanted[0]}, which is not on PATH"
    else:
        if compiler := next(compilers_here(), None):
            return compiler
        missing = f"{' or '.join(PROGRAMS)} is not on PATH"
    raise NoCompilerError(
        f"the native kernels need a C compiler, and {missing}: {REMEDY} "
        "brings one, or install one (Debian: apt install gcc; macOS: xcode-select --install), or "
        "use another runtime"
    )


@cache
def warn_without_compiler() -> None:
    """Say, once in a process, that what runs here would be faster with a compiler."""
    logger.warning("no C compiler is here: %s; %s brings one", WITHOUT, REMEDY)


def compilers_here() -> Iterator[Compiler]:
    """All that are here, whatever CC says, the preferred first."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            yield Compiler((found,))
    if zig := _zig():
        yield Compiler((str(zig), "cc"))


def _zig() -> Path | None:
    # The program itself: `python -m` would look for the package in the working folder first.
    # On Windows the kernels were never compiled by it.
    spec = find_spec(ZIG) if os.name == "posix" else None
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "zig"
    return program if os.access(program, os.X_OK) else None


@cache
def _said(command: tuple[str, ...]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
