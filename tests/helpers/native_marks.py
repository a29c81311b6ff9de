"""Marks of tests that the kernels of unifmir.native are needed for, and the compilers at hand."""

import ctypes
import shlex
from collections.abc import Iterator

import pytest

from unifmir.errors import MissingExtraError
from unifmir.native import compilation
from unifmir.native.compilers import compilers_here, find_compiler


def _has_compiler() -> bool:
    try:
        find_compiler()
    except MissingExtraError:
        return False
    return True


HAS_COMPILER = _has_compiler()
HAS_BF16 = HAS_COMPILER and bool(compilation.load_library().has_bf16())
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="no C compiler is here")
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="no AVX512_BF16, or no C compiler")


@pytest.fixture(
    scope="module",
    params=["default", *(pytest.param(one, marks=pytest.mark.slow) for one in ("clang", "zig"))],
)
def compiler(request: pytest.FixtureRequest) -> Iterator[str]:
    """Kernels by the compiler that users get here, and by the others; its name."""
    if request.param == "default":
        yield request.param
        return
    program = "zig cc" if request.param == "zig" else request.param
    found = next((one for one in compilers_here() if one.name == program), None)
    if found is None:
        pytest.skip(f"{program} is not here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", shlex.join(found.command))
        compilation.load_library.cache_clear()
        assert compilation.load_library().has_bf16() == HAS_BF16
        yield request.param
    compilation.load_library.cache_clear()


every_compiler = pytest.mark.usefixtures("compiler")


def compute_with(library: ctypes.CDLL, patch: pytest.MonkeyPatch) -> None:
    """Call these kernels, not those for the processor at hand."""
    for module in ("compilation", "convolutions", "memory", "swin_body", "view_unet"):
        patch.setattr(f"unifmir.native.{module}.load_library", lambda: library)


@pytest.fixture
def emulated_amx() -> ctypes.CDLL:
    """The kernels with AMX's instructions in plain C."""
    return compilation.load_library(options=("-DEMULATE_AMX",))


@pytest.fixture(params=["chosen", pytest.param("amx", marks=pytest.mark.slow)])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Products in bf16 by the instructions that are chosen here, and by emulated AMX."""
    if request.param == "amx":
        compute_with(request.getfixturevalue("emulated_amx"), monkeypatch)
    return str(request.param)


every_instruction = pytest.mark.usefixtures("instructions")
