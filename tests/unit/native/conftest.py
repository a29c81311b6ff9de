"""Fixtures for every file here: all compilers, and all instructions of bf16."""

from tests.helpers.native_marks import compiler, emulated_amx, instructions

__all__ = ["compiler", "emulated_amx", "instructions"]
