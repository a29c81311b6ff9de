"""Facts of the machine that decisions are taken by."""

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
