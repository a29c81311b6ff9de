"""A package that the tests of its parts share: it takes seconds to make."""

from pathlib import Path

import pytest

from tests.compat.canned import untested


@pytest.fixture(scope="session")
def small_package(tmp_path_factory) -> Path:
    """A package of a small network for `sr`."""
    return untested("sr", tmp_path_factory.mktemp("sr")).path
