"""Fixtures of the tests that go through several rooms."""

from collections.abc import Iterator

import pytest

from tests.helpers.zoo_server import Server, serving
from unifmir.zoo.catalogue import directories, transfer
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[Server]:
    """A server in place of Zenodo; the user's folder and cache are the test's own."""
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.0)
    with serving() as script:
        monkeypatch.setenv(ZENODO_VARIABLE, script.url)
        yield script
