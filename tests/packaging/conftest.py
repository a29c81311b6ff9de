"""The wheel of the checkout, or the one that `make release` has built."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.wheels import LEFT_OUT, wheel_from
from tests.packaging.wheel_trials import WHEEL


@pytest.fixture(scope="module")
def source(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout: building leaves files behind."""
    copy = tmp_path_factory.mktemp("source") / "unifmir"
    shutil.copytree(repo, copy, symlinks=True, ignore=LEFT_OUT)
    return copy


@pytest.fixture(scope="module")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    if given := os.environ.get(WHEEL):
        return Path(given)
    source: Path = request.getfixturevalue("source")
    return wheel_from(source, tmp_path_factory.mktemp("wheel"))
