"""Batches that are ready when a step begins."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

AHEAD = 4
"""Batches that are made while a step runs. Reading and cutting let other threads run."""

Made = TypeVar("Made")


class Prefetched(Generic[Made]):
    """Results of a function for successive numbers, made in a thread before they are asked for.

    Parameters
    ----------
    make : callable
        From a number to what is wanted of it, which must depend on nothing else.
    start, stop : int
        First number, and the one behind the last.
    """

    def __init__(self, make: Callable[[int], Made], start: int, stop: int) -> None:
        self._make, self._stop = make, stop
        self._next = start
        self._thread = ThreadPoolExecutor(1, "batches")
        self._made: dict[int, Future[Made]] = {}

    def take(self, number: int) -> Made:
        """The result for a number, each in its turn; raises what the function raises."""
        while self._next < min(self._stop, number + 1 + AHEAD):
            self._made[self._next] = self._thread.submit(self._make, self._next)
            self._next += 1
        return self._made.pop(number).result()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the thread; what it is making is waited for, and no more is made."""
        self._thread.shutdown(cancel_futures=True)
