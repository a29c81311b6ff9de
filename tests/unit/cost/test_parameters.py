"""Four numbers that are all called parameters."""

import pytest

from unifmir.checkpoint.official import official_state_dict
from unifmir.cost.meta_device import meta_network
from unifmir.cost.paper.conventions import leaf_parameters
from unifmir.cost.paper.parameters import count_parameters
from unifmir.cost.paper.recipes import FULL
from unifmir.tasks import TASKS


@pytest.mark.parametrize(
    ("task", "parameters", "official", "scalars", "leaves", "without_norms"),
    [
        ("sr", 1_564_973, 1_564_973, 3_997_997, 1_540_673, 1_533_833),
        ("denoise", 1_531_221, 1_531_221, 3_964_245, 1_506_921, 1_500_081),
        ("isotropic", 1_527_981, 1_527_981, 3_961_005, 1_503_681, 1_496_841),
        ("projection", 78_654_254, 78_654_258, 81_161_010, 78_629_954, 78_623_114),
        ("volume", 20_689_400, 20_689_400, 23_129_358, 20_665_100, 20_658_260),
    ],
)
def test_the_official_networks(task, parameters, official, scalars, leaves, without_norms):
    network = meta_network(FULL.single(task))
    count = count_parameters(network)
    assert (count.parameters, count.official_parameters) == (parameters, official)
    assert count.official_scalars == scalars
    assert count.leaf_parameters == leaves
    assert leaf_parameters(network, norms=False) == without_norms


def test_the_multi_task_network():
    count = count_parameters(meta_network(FULL))
    assert count.official_parameters == 97_885_750
    assert count.official_scalars == 100_399_436


@pytest.mark.parametrize("task", TASKS)
def test_official_scalars_are_those_of_the_dictionary_that_is_written(task, tiny_single):
    network = tiny_single(task)
    state = official_state_dict(network)
    count = count_parameters(network)
    assert count.official_scalars == sum(entry.numel() for entry in state.values())
