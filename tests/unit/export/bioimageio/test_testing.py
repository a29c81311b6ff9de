"""What the library's test of a package needs around it, and what it must not leave behind."""

import torch

from unifmir.export.formats.bioimageio.testing import restored_global_state, trusted_github_users


def test_users_are_trusted_only_inside_the_block():
    from bioimageio.spec._internal.constants import KNOWN_GITHUB_USERS

    with trusted_github_users(["Some-Body"]):
        assert "some-body" in KNOWN_GITHUB_USERS
    assert "some-body" not in KNOWN_GITHUB_USERS


def test_the_librarys_switches_do_not_outlive_its_test():
    def switches() -> tuple[bool, bool]:
        return torch.backends.cudnn.deterministic, torch.are_deterministic_algorithms_enabled()

    before = switches()
    with restored_global_state():
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.deterministic = True
    assert before == switches()
