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


OnScene = Callable[[int], None]
"""Called with the number of a scene that is there, or will not be needed any more."""


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
        self._on_scene: OnScene = lambda _: None
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

        One that no process has taken up yet is simulated here: the others are not waited for.

        Raises
        ------
        SimulationError
            The process that simulates it has ended.
        """
        coming = self._made.get(number)
        if coming is None or coming.cancel():
            coming = self._made[number] = self._simulated_here(number)
            self._on_scene(number)
        return coming.result()

    def move(self, turn: int) -> None:
        """Forget the scenes before those of a step, and have its own and the next ones made."""
        first = self.first(turn)
        for number in [number for number in self._made if number < first]:
            if self._made.pop(number).cancel():
                self._on_scene(number)
        if self._workers:
            ahead = first + self.count + AHEAD * self._workers.count
            for number in range(first, min(ahead, self._stop)):
                self._request(number, self._workers)

    def start(self, workers: SceneWorkers | None, turn: int, turns: int, on_scene: OnScene) -> None:
        """Have the scenes made by other processes from a step on, of so many in all.

        Parameters
        ----------
        workers : SceneWorkers, optional
            None: each is simulated here when it is first read.
        turn, turns : int
            Steps of the task before the next one, and of the whole training.
        on_scene : callable
            Called once for each scene, by whichever thread has it.
        """
        self._workers, self._stop, self._on_scene = workers, self.total(turns), on_scene
        self.move(turn)

    def _request(self, number: int, workers: SceneWorkers) -> None:
        if number in self._made:
            return
        coming = self._made[number] = workers.request(replace(self.wanted, index=number))

        def told(done: Future[Scene]) -> None:
            if not done.cancelled():
                self._on_scene(number)

        coming.add_done_callback(told)

    def _simulated_here(self, number: int) -> Future[Scene]:
        done: Future[Scene] = Future()
        done.set_result(simulate_scene(replace(self.wanted, index=number)))
        return done
