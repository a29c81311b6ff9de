"""Fixtures of the tests that go through several rooms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.helpers import browser as web
from tests.helpers.zoo_server import Server, serving
from unifmir.zoo.catalogue import directories, transfer
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium."""
    web.require_page()
    with web.chromium() as found:
        yield found
