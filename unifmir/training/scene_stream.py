"""Scenes of one task that change as its training goes: old ones leave, new ones come.

At the task's step t, counted from 0, a batch is drawn from the scenes k to k + n - 1 of its seed,
where n is the recipe's `scenes` and k = floor(fresh_scenes * t). That depends on nothing else, so
that an interrupted training goes on with the scenes it would have had.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from unifmir.training.scene_process import Scene, SceneRequest, simulate_scene
from unifmir.training.scene_workers import SceneWorkers

AHEAD = 8
"""Scenes that are simulated before they are needed, for each process that does so."""


class SceneStream:
    """Scenes by their numbers, simulated here when they are read, or ahead by other processes.

    Parameters
    ----------
    wanted : SceneRequest
        The first scene.
    count : int
        Scenes that a step draws from.
    rate : float
        New scenes a step of the task; 0: always the same ones.
    """

    def __init__(self, wanted: SceneRequest, count: int, rate: float) -> None:
        self.wanted, self.count, self.rate = wanted, count, rate
        self._made: dict[int, Future[Scene]] = {}
        self._workers: SceneWorkers | None = None
        self._stop = 0
        """Number behind the last scene that is ever needed."""

    def first(self, turn: int) -> int:
        """Number of the first scene that a step draws from."""
        return int(self.rate * turn)

    def total(self, turns: int) -> int:
        """Scenes that so many steps draw from."""
        return self.first(max(0, turns - 1)) + self.count

    def scene(self, number: int) -> Scene:
        """A scene, as soon as it is there.

        Raises
        ------
        SimulationError
            The process that simulates it has ended.
        """
        return self._coming(number).result()

    def move(self, turn: int) -> None:
        """Forget the scenes before those of a step, and have its own and the next ones made."""
        first = self.first(turn)
        for number in [number for number in self._made if number < first]:
            self._made.pop(number).cancel()
        if self._workers:
            ahead = first + self.count + AHEAD * self._workers.count
            for number in range(first, min(ahead, self._stop)):
                self._coming(number)

    def start(self, workers: SceneWorkers, turn: int, turns: int) -> None:
        """Have the scenes made by other processes from a step on, of so many in all."""
        self._workers, self._stop = workers, self.total(turns)
        self.move(turn)

    def fill(self, turn: int, on_scene: Callable[[], None]) -> None:
        """Have all scenes of a step, with this process simulating as well; one call for each.

        Other processes begin with the first, this one with the last.
        """
        window = range(self.first(turn), self.first(turn) + self.count)
        told = 0
        for number in reversed(window):
            if number not in self._made or self._made[number].cancel():
                self._made[number] = self._simulated_here(number)
            done = sum(n in self._made and self._made[n].done() for n in window)
            told = self._tell(on_scene, told, done)
        for number in window:
            self.scene(number)
        self._tell(on_scene, told, self.count)

    @staticmethod
    def _tell(on_scene: Callable[[], None], told: int, done: int) -> int:
        for _ in range(told, done):
            on_scene()
        return max(told, done)

    def _coming(self, number: int) -> Future[Scene]:
        if number not in self._made:
            if self._workers:
                self._made[number] = self._workers.request(replace(self.wanted, index=number))
            else:
                self._made[number] = self._simulated_here(number)
        return self._made[number]

    def _simulated_here(self, number: int) -> Future[Scene]:
        done: Future[Scene] = Future()
        done.set_result(simulate_scene(replace(self.wanted, index=number)))
        return done
