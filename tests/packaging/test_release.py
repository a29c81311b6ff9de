"""What `make release` looks at would be found, and what it builds is the same each time."""

import gzip
import io
import tarfile

import pytest

from tests.packaging import release

CHANGELOG = "# Changelog\n\n## 1.2.0 (2026-11-29)\n\n- New.\n\n## 1.1.0 (2026-10-01)\n\n- Old.\n"


def test_the_section_of_a_version_ends_at_the_next():
    assert release.section(CHANGELOG, "1.2.0") == "- New.\n"
    assert release.section(CHANGELOG, "1.1.0") == "- Old.\n"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (CHANGELOG.replace("1.2.0", "1.3.0"), "no such heading"),
        (CHANGELOG.replace("2026-11-29", "unreleased"), r"\(unreleased\)"),
        (CHANGELOG.replace("- New.", ""), "nothing is listed"),
    ],
)
def test_a_changelog_without_the_release_is_refused(changed, told):
    with pytest.raises(release.ReleaseError, match=told):
        release.section(changed, "1.2.0")


def test_another_version_to_cite_is_refused(tmp_path):
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.1.0\n")
    release.check_version(tmp_path, "1.1.0")
    with pytest.raises(release.ReleaseError, match=r"expected version 1\.2\.0, found 1\.1\.0"):
        release.check_version(tmp_path, "1.2.0")


@pytest.mark.parametrize(
    ("name", "licence", "fits"),
    [
        ("a", "MIT", True),
        ("a", "BSD License", True),
        ("a", "Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("a", "MPL-2.0 AND MIT", True),
        ("a", "GPL-3.0-only", False),
        ("a", "MIT AND GPL-3.0-only", False),
        ("a", "UNKNOWN", False),
        ("a", "Other/Proprietary License", False),
        ("tensorrt_rtx", "Other/Proprietary License", True),
    ],
)
def test_a_licence_is_one_that_fits(name, licence, fits):
    found = release.licence_trouble([{"Name": name, "License": licence}])
    assert found == ([] if fits else [f"{name}: {licence}"])


def test_what_was_not_audited_has_not_passed():
    good = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "skip_reason": "not found"}
    assert release.audit_trouble({"dependencies": [good]}) == []
    assert release.audit_trouble({"dependencies": [good, bad, skipped]}) == [
        "b 2: CVE-1, fixed in 3",
        "the database did not answer for 1 of 3 packages",
    ]


def test_a_release_without_the_page_is_refused(tmp_path):
    with pytest.raises(release.ReleaseError, match="make web"):
        release.check_page(tmp_path)
    (tmp_path / release.PAGE).mkdir(parents=True)
    (tmp_path / release.PAGE / "index.html").touch()
    release.check_page(tmp_path)


def archive_of(names, **facts):
    """A source archive of some files, with their times and owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            for fact, value in facts.items():
                setattr(member, fact, value)
            tar.addfile(member, io.BytesIO(name.encode()))
    return packed.getvalue()


def test_archives_of_other_times_users_and_orders_become_the_same():
    one = archive_of(["a", "b"], mtime=5, uname="x", mode=0o600)
    other = archive_of(["b", "a"], mtime=9, uid=12, mode=0o664)
    assert one != other
    same = release.same_each_time(one, 77)
    assert release.same_each_time(other, 77) == same
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(same))) as tar:
        assert [(member.name, member.mtime) for member in tar] == [("a", 77), ("b", 77)]
        kept = tar.extractfile("b")
        assert kept is not None
        assert kept.read() == b"b"


@pytest.mark.slow  # two builds
def test_a_commit_built_twice_is_the_same_bytes(repo):
    names = sorted(release.built_twice(repo))
    assert [name.rpartition(".")[2] for name in names] == ["whl", "gz"]
