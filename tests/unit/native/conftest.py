"""The fixture of all compilers, for every file here."""

from tests.helpers.native_marks import compiler

__all__ = ["compiler"]
