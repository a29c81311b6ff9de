"""Batches made ahead: in order, no more than a few, and none after the end."""

import threading
import time

import pytest

from unifmir.training.prefetching import AHEAD, Prefetched


def test_numbers_come_in_order_from_another_thread() -> None:
    makers = set()

    def make(number: int) -> int:
        makers.add(threading.current_thread().name)
        return number**2

    with Prefetched(make, 3, 9) as made:
        assert [made.take(number) for number in range(3, 9)] == [9, 16, 25, 36, 49, 64]
    assert threading.current_thread().name not in makers
    assert len(makers) == 1


def test_the_next_are_made_while_one_is_used_and_none_behind_the_last() -> None:
    asked: list[int] = []
    with Prefetched(asked.append, 0, 100) as made:
        made.take(0)
        while len(asked) < AHEAD + 1:
            time.sleep(0.001)
    assert asked == list(range(AHEAD + 1))
    asked.clear()
    with Prefetched(asked.append, 0, 2) as made:
        made.take(0)
        made.take(1)
    assert asked == [0, 1]


def test_an_error_is_raised_where_its_number_is_taken() -> None:
    def make(number: int) -> int:
        return 1 // (number - 1)

    with Prefetched(make, 0, 3) as made:
        assert made.take(0) == -1
        with pytest.raises(ZeroDivisionError):
            made.take(1)
