"""How far a benchmark is: steps that are counted, and told to whoever shows them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkProgress:
    """How far a benchmark is."""

    done: int
    total: int
    """Steps: models and files loaded, subjects opened, visits made. It grows when the models are
    loaded and the subjects known, and when subjects are started once more."""
    text: str


OnProgress = Callable[[BenchmarkProgress], None]


class Steps:
    """Counts steps and tells of them.

    Parameters
    ----------
    total : int
        Steps that are known now.
    tell : callable, optional
    """

    def __init__(self, total: int, tell: OnProgress | None = None) -> None:
        self.total = total
        self.done = 0
        self._tell = tell

    def __call__(self, text: str) -> None:
        """One step more is done."""
        self.reach(self.done + 1, text)

    def reach(self, done: int, text: str) -> None:
        """Count up to a number of steps, those included that were not needed."""
        self.done = done
        if self._tell is not None:
            self._tell(BenchmarkProgress(self.done, self.total, text))
