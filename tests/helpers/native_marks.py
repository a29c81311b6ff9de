"""Marks of tests that the kernels of unifmir.native are needed for."""

import shutil

import pytest

from unifmir.native import compilation

HAS_COMPILER = any(shutil.which(name) for name in compilation.COMPILERS)
HAS_BF16 = HAS_COMPILER and bool(compilation.load_library().has_bf16())
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="no C compiler on PATH")
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="no AVX512_BF16, or no C compiler")
