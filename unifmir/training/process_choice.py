"""Whether several processes are faster than one, measured before the first step."""

from copy import deepcopy
from dataclasses import replace
from time import monotonic

from unifmir.native.window_attention import attention_in_c
from unifmir.training.trainer import Training

ROUNDS = 3
"""Steps of each task that are timed, after one that is not."""


def gain_of_processes(training: Training) -> float:
    """How many times as many steps the processes take in the time of one alone.

    They take the training's next steps in turn, together and the first one alone, on copies.

    Parameters
    ----------
    training : Training
        Its processes are launched, and all of them are here.
    """
    all_of_them = training.processes
    together = replace(training, network=deepcopy(training.network).train())
    alone = replace(
        training,
        network=deepcopy(training.network).train(),
        processes=all_of_them.alone(),
    )
    first = all_of_them.number == 0
    untimed = len(training.order)
    spent = [0.0, 0.0]
    with attention_in_c(together.network), attention_in_c(alone.network):
        for number in range((1 + ROUNDS) * untimed):
            step = min(training.step + number, training.schedule.steps - 1)
            batch = all_of_them.shared(training.batch(step) if first else None)
            assert batch is not None  # noqa: S101 - the first process has cut one
            times = [monotonic()]
            together.take_step(step, *batch)
            all_of_them.wait()
            times.append(monotonic())
            if first:
                alone.take_step(step, *batch)
            all_of_them.wait()
            times.append(monotonic())
            if number >= untimed:
                spent = [spent[0] + times[1] - times[0], spent[1] + times[2] - times[1]]
    return all_of_them.shared(spent[1] / spent[0])
