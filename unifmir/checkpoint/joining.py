"""Joining: the networks of all tasks as one multi-task network, the way back from pruning."""

from collections.abc import Mapping
from dataclasses import replace

from unifmir.checkpoint.detect import detect
from unifmir.config import MultiTaskConfig
from unifmir.errors import CheckpointError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import multitask_parts


def join(networks: Mapping[str, Network]) -> Network:
    """One network of all tasks that share nothing, from a network for each.

    Parameters
    ----------
    networks : mapping from task to Network
        Single-task UniFMIR networks of one size, as fine-tuning each task gives them; copied.

    Returns
    -------
    Network
        Multi-task, in eval mode; pruned to a task it is that task's network, weight for weight.

    Raises
    ------
    CheckpointError
        A task is missing, or the networks are not those of one configuration.
    """
    expected = list(multitask_parts())
    if sorted(networks) != sorted(expected):
        have = ", ".join(networks) or "none"
        raise CheckpointError(f"a multi-task network has {', '.join(expected)}; given: {have}")
    state = {
        f"{task}.{key}": tensor
        for task in expected
        for key, tensor in networks[task].state_dict().items()
    }
    units = {networks[task].config.intensities for task in expected} - {"own"}
    found = detect({key: tuple(tensor.shape) for key, tensor in state.items()})
    assert isinstance(found, MultiTaskConfig)  # noqa: S101 - the keys name the tasks
    config = replace(found, intensities=units.pop() if units else "own")
    for task in expected:
        wanted, given = config.single(task), networks[task].config
        if wanted != given:
            raise CheckpointError(
                f"the network for {task} is not of the size of the others, or has other "
                f"intensities: expected {wanted.to_dict()}, found {given.to_dict()}"
            )
    network = build(config)
    network.load_state_dict(state)
    return network
