"""Folders that are the user's alone, also below a place where everybody may write."""

import os
import stat

import pytest

from unifmir.errors import UntrustedError
from unifmir.user_folders import make_private_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")


@pytest.fixture
def shared(tmp_path):
    """A folder as /tmp is."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o711])
def test_a_private_folder_may_lie_in_one_of_ones_own_that_others_can_read(shared, mode):
    own = shared / "own"
    own.mkdir()
    own.chmod(mode)
    make_private_folder(own / "clone" / "environments")
    made = own / "clone" / "environments"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_it_may_not_lie_in_one_that_others_can_write_to(shared, mode):
    own = shared / "own"
    own.mkdir()
    own.chmod(mode)
    with pytest.raises(UntrustedError, match=f"mode {mode:o}"):
        make_private_folder(own / "environments")
    assert list(own.iterdir()) == []


def test_it_is_not_made_where_its_name_could_have_been_taken(shared):
    with pytest.raises(UntrustedError, match="where every user may write"):
        make_private_folder(shared / "environments")
    assert list(shared.iterdir()) == []


def test_a_folder_that_others_can_read_is_not_private_itself(shared):
    own = shared / "own"
    own.mkdir(mode=0o755)
    with pytest.raises(UntrustedError, match="mode 755"):
        make_private_folder(own)
