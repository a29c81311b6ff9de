"""Folders that are the user's alone, also below a place where everybody may write."""

import os
import stat
from pathlib import Path

import pytest

from unifmir import user_folders
from unifmir.errors import OutputError, UntrustedError
from unifmir.user_folders import make_private_folder

grp, pwd = pytest.importorskip("grp"), pytest.importorskip("pwd")
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


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o775])
def test_it_may_not_lie_anywhere_below_one_that_others_can_write_to(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(user_folders, "_is_private_group", lambda _: False)
    above = tmp_path / "above"
    (above / "own").mkdir(parents=True)
    above.chmod(mode)
    told = f"below {above}, where others may write \\(mode {mode:o}\\).*: chmod go-w {above}"
    with pytest.raises(UntrustedError, match=told):
        make_private_folder(above / "own" / "private")
    assert list((above / "own").iterdir()) == []
    above.chmod(0o755)
    make_private_folder(above / "own" / "private")


def test_the_group_may_write_above_it_where_it_has_no_other_members(tmp_path, monkeypatch):
    """As with umask 002 where each user has a group alone; and root's group, as in containers."""
    tmp_path.chmod(0o775)
    own = pwd.struct_passwd(("me", "x", os.geteuid(), tmp_path.stat().st_gid, "", "", ""))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: own)
    groups = {
        name: grp.struct_group((name, "x", own.pw_gid, members))
        for name, members in (("me", []), ("we", []), ("us", ["me", "you"]))
    }
    shared = own.pw_gid != 0
    for name, refused in (("we", shared), ("us", shared), ("me", False)):
        monkeypatch.setattr(grp, "getgrgid", lambda _, name=name: groups[name])
        if refused:
            with pytest.raises(UntrustedError, match="mode 775"):
                make_private_folder(tmp_path / "private")
        else:
            make_private_folder(tmp_path / "private")


def test_it_may_not_lie_below_one_of_another_user(tmp_path, monkeypatch):
    above = tmp_path / "theirs"
    (above / "own").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(above, 12345, -1)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(UntrustedError, match="belongs to another user"):
        make_private_folder(above / "own" / "private")
    assert list((above / "own").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of root")
def test_root_may_own_what_lies_above_a_user_s_folder(tmp_path, monkeypatch):
    place = tmp_path / "home" / "private"
    place.mkdir(parents=True, mode=0o700)
    os.chown(place, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    make_private_folder(place)


def test_a_container_of_ones_own_users_shows_root_as_nobody(monkeypatch):
    texts = {"/proc/self/uid_map": "  1000  1000  1\n", "/proc/sys/kernel/overflowuid": "65534\n"}
    monkeypatch.setattr(Path, "read_text", lambda path, _: texts[str(path)])
    assert user_folders._trusted_owners() == {0, os.geteuid(), 65534}
    texts["/proc/self/uid_map"] = "         0          0 4294967295\n"
    assert user_folders._trusted_owners() == {0, os.geteuid()}


def test_a_relative_folder_lies_in_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_private_folder(Path("clone/private"))
    assert stat.S_IMODE((tmp_path / "clone" / "private").stat().st_mode) == 0o700
    monkeypatch.chdir(tmp_path / "clone" / "private")
    make_private_folder(Path())


def test_folders_above_it_are_nobody_elses_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "a" / "b" / "private")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")]
    assert modes == [0o755, 0o755]
    make_private_folder(tmp_path / "a" / "b" / "private")


def test_a_file_or_link_in_its_place_is_told(tmp_path):
    (tmp_path / "file").write_text("text")
    for place in (tmp_path / "file", tmp_path / "file" / "private"):
        with pytest.raises(OutputError, match=f"{place} cannot be written .*choose another folder"):
            make_private_folder(place)
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UntrustedError, match="is a link"):
        make_private_folder(tmp_path / "link")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises((OutputError, UntrustedError), match="circle"):
        make_private_folder(tmp_path / "circle" / "private")
