"""Networks and plans that the tests of precision share."""

from functools import cache

import pytest

from tests.helpers.precision_cases import outgrow, task_input
from unifmir.precision.planning import plan_precision


@pytest.fixture
def outgrowing(tiny_single):
    """A network whose residual stream fp16 cannot hold."""
    return outgrow(tiny_single("sr"))


@pytest.fixture(scope="module")
def planned(tiny_single):
    """Function from a task to its network and the plan of fp16, made when first asked for."""

    @cache
    def of(task):
        network = tiny_single(task)
        return network, plan_precision(network, "fp16", [task_input(task)])

    return of
