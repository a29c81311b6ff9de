"""Rows of `pytest.mark.parametrize` of which only some are among the quick tests."""

from collections.abc import Collection, Iterable

import pytest
from _pytest.mark.structures import ParameterSet


def few_quick(rows: Iterable[object], quick: Collection[object]) -> list[ParameterSet]:
    """All rows, a tuple where a row has several values; those not in `quick` are slow tests.

    Tests of the same property keep unlike rows among the quick ones, so that each task, format
    and precision is met there somewhere.
    """
    found = list(rows)
    assert all(row in found for row in quick)
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else (row,)),
            marks=() if row in quick else (pytest.mark.slow,),
        )
        for row in found
    ]
