"""Fixtures that several folders of tests share."""

import gc
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from _pytest.nodeid import NodeId

from tests.golden.weights import filled
from tests.helpers import array_types  # noqa: F401 - what is imported after it is checked
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.model import build
from unifmir.networks.base import Network

REPO = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """One thread for torch, also in processes that tests start.

    Two threads wait for each other more than they compute: on two busy cores the golden tests
    took 18 s with one thread (14 s of CPU time) and 58 s with two (37 s).
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell starts what runs in the background; processes that tests start and interrupt
        # would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # until all is imported: nothing of that is garbage


def pytest_collection_finish() -> None:
    """From here on garbage is collected, and looked for among what tests make alone."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before the test's own fixtures
def pytest_runtest_setup() -> None:
    """No test computes with what one before it left: threads, with which sums differ, random state.

    A random image of every run another would fail a test now and then, by a pixel that no one can
    look at again.
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)


@pytest.hookimpl(trylast=True)  # after what changes the order
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group tests that share a fixture, and skip what needs a GPU where there is none.

    One of the processes of `--dist loadgroup` runs a group: the fixture is made once. xdist 3.8
    tells its scheduler the group at the end of a test's id, by an attribute that pytest 9.2 no
    longer reads: with both, every test was a group of its own, and fixtures were made twice.
    """
    if getattr(config.option, "loadgroup", False):  # set in xdist's own processes
        sort_longest_first(items)
        for item in items:
            if group := group_of(item):
                item._id = NodeId.parse(f"{item.nodeid.partition('@')[0]}@{group}")
                if not item.nodeid.endswith(f"@{group}"):
                    raise pytest.UsageError(f"{item.nodeid}: pytest takes no group; see {__file__}")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Put groups that have a time limit of their own first, then those of many tests.

    A long group that is started last leaves the other process without work.
    """
    groups = {item: group_of(item) or item.nodeid for item in items}
    sizes = Counter(groups.values())
    limits: dict[str, float] = defaultdict(float)
    for item, group in groups.items():
        if limit := item.get_closest_marker("timeout"):
            limits[group] = max(limits[group], limit.args[0])
    items.sort(key=lambda item: (limits[groups[item]], sizes[groups[item]]), reverse=True)


def group_of(item: pytest.Item) -> str | None:
    """The group that a test names, or that of the fixture it shares; None if it runs alone."""
    if named := item.get_closest_marker("xdist_group"):
        return str(named.args[0])
    scopes = {
        fixture.scope
        for fixtures in item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]  # pytest says it in no other way
        for fixture in fixtures
    }
    for scope, node in (("module", pytest.Module), ("class", pytest.Class)):
        if scope in scopes and (shared := item.getparent(node)) is not None:
            return str(shared.nodeid)
    return None


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The developers' folder of facts and reference data; the test is skipped without it."""
    folder = Path(os.environ.get("UNIFMIR_SHARED", REPO.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of shared reference data (UNIFMIR_SHARED)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests from reading or filling the user's caches and records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIFMIR_TRUSTED", str(tmp_path_factory.mktemp("trusted")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_config() -> MultiTaskConfig:
    """A multi-task configuration with every part of the real one, that runs in milliseconds."""
    return MultiTaskConfig(
        body=BodyConfig(embed_dim=24, depths=(2, 2), num_heads=(4, 4), mlp_hidden=48),
        projector=ProjectorConfig(
            planes=6, features=16, blocks=8, match_features=8, random_features=16
        ),
        view_unet=ViewUNetConfig(
            views=9, planes=5, stem_features=32, entry_features=16, encoder=(16, 16, 24, 24, 24)
        ),
        tail_features=8,
        volume_tail_features=24,
    )


@pytest.fixture
def tiny_multitask(tiny_config: MultiTaskConfig) -> Network:
    """The multi-task network of `tiny_config`, with the parity rule's weights for seed 0."""
    network = build(tiny_config)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    return network


@pytest.fixture(scope="session")
def tiny_single(tiny_config: MultiTaskConfig) -> Callable[[str], Network]:
    """Function from a task to the single-task network of `tiny_config`, weights as above."""

    def of(task: str) -> Network:
        network = build(tiny_config.single(task))
        network.load_state_dict(filled(network.state_dict(), seed=0))
        return network

    return of
