"""The wheel of the checkout."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.wheels import LEFT_OUT, wheel_from


@pytest.fixture(scope="module")
def source(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout: building leaves files behind."""
    copy = tmp_path_factory.mktemp("source") / "unifmir"
    shutil.copytree(repo, copy, symlinks=True, ignore=LEFT_OUT)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout."""
    return wheel_from(source, tmp_path_factory.mktemp("wheel"))
