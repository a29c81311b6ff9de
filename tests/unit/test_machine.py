"""Facts of the machine that decisions are taken by."""

import resource
import sys
from types import SimpleNamespace

import psutil
import pytest

from unifmir import machine


@pytest.mark.parametrize(
    ("told", "threads"),
    [("3", 3), (" 2 ", 2), ("4,2", 4), ("", 6), ("0", 6), ("-1", 6), ("many", 6), (None, 6)],
)
def test_threads_are_those_that_the_environment_says_else_the_cores(told, threads, monkeypatch):
    monkeypatch.setattr(machine, "available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS")
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert machine.default_threads() == threads


def test_a_limit_on_the_address_space_is_all_the_memory_there_is():
    without = machine.available_bytes()
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, before[1]))
    try:
        left = machine.available_bytes()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert 0 < left <= 2**28 < without


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_endings_in_words():
    assert "SIGSEGV" in machine.ending(-11)
    assert machine.ending(1) == "ended with status 1"


def test_nvidias_driver_is_told_by_its_library_or_by_the_kernels_module(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "nvml", lambda: None)
    module = tmp_path / "version"
    monkeypatch.setattr(machine, "NVIDIA_DRIVER", module)
    assert machine.nvidia_driver() is None
    module.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    assert machine.nvidia_driver() == "580.95.05"
    library = SimpleNamespace(nvmlSystemGetDriverVersion=lambda: b"581.10")
    monkeypatch.setattr(machine, "nvml", lambda: library)
    assert machine.nvidia_driver() == "581.10"
