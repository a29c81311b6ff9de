"""Marks of tests that the kernels of unifmir.native are needed for, and the compilers at hand."""

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
