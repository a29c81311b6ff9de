"""What `make release` looks at would be found, and what it builds is the same each time."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.packaging import release, wheel_trials

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
        ("a", "Acme LIMITED proprietary", False),
        ("a", "MISC", False),
        ("a", "(MIT AND Zlib)", True),
        ("a", "ISC License (ISCL)", True),
        ("a", "Mozilla Public License 2.0 (MPL 2.0)", True),
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


def test_a_page_that_comes_out_otherwise_is_refused(tmp_path, monkeypatch):
    (tmp_path / release.PAGE / "assets").mkdir(parents=True)
    (tmp_path / release.PAGE / "assets" / "a.js").write_text("one")
    (tmp_path / release.WEB / "node_modules").mkdir()
    built = {"text": "one"}

    def run(*command, cwd):
        assert cwd == tmp_path / release.WEB
        folder = Path(command[command.index("--outDir") + 1], "assets")
        folder.mkdir()
        (folder / "a.js").write_text(built["text"])

    monkeypatch.setattr(release, "run", run)
    release.check_page_again(tmp_path)
    built["text"] = "two"
    with pytest.raises(release.ReleaseError, match=r"not the same bytes: assets/a\.js"):
        release.check_page_again(tmp_path)


LOCK = {
    "": {"license": "BSD-3-Clause"},
    "node_modules/@a/one": {"version": "1.0", "license": "MIT", "integrity": "sha512-AAEC"},
    "node_modules/two": {"version": "2.0"},
    "node_modules/two/node_modules/three": {"version": "3.0", "license": "ISC"},
    "node_modules/tool": {"version": "4.0", "license": "MIT", "dev": True},
}


def test_the_packages_of_the_page_are_in_the_bill_and_among_the_licences(tmp_path):
    (tmp_path / release.WEB).mkdir(parents=True)
    path = tmp_path / release.WEB / "package-lock.json"
    path.write_text(json.dumps({"packages": LOCK}))
    packages = release.page_packages(tmp_path)
    assert [one["Name"] for one in packages] == ["@a/one", "two", "three"]
    assert release.licence_trouble(packages) == ["two: UNKNOWN"]
    bom = json.loads(release.with_page('{"components": [], "dependencies": []}', packages))
    first = bom["components"][0]
    assert (first["purl"], first["version"]) == ("pkg:npm/%40a/one@1.0", "1.0")
    assert first["hashes"] == [{"alg": "SHA-512", "content": "000102"}]
    assert first["licenses"] == [{"expression": "MIT"}]
    assert [one["ref"] for one in bom["dependencies"]] == [one["purl"] for one in bom["components"]]


def test_the_page_of_this_checkout_has_licences_that_fit(repo):
    packages = release.page_packages(repo)
    assert {"onnxruntime-web", "geotiff", "preact"} <= {one["Name"] for one in packages}
    assert release.licence_trouble(packages) == []


def test_a_trial_that_was_skipped_has_not_passed():
    passed = '<testcase name="a"/>'
    skipped = '<testcase name="b"><skipped message="no 3.12"/></testcase>'
    assert wheel_trials.not_passed(f"<testsuite>{passed}</testsuite>") == []
    assert wheel_trials.not_passed(f"<testsuite>{passed}{skipped}</testsuite>") == [
        "b skipped: no 3.12"
    ]
    assert wheel_trials.not_passed("<testsuite/>") == ["no trial was run"]


def test_the_wheel_of_a_release_is_the_one_that_is_tried(tmp_path, monkeypatch):
    trials = tmp_path / wheel_trials.TRIALS
    trials.parent.mkdir(parents=True)
    trials.write_text(
        "import os, pathlib, pytest\n"
        "path = pathlib.Path(os.environ['UNIFMIR_WHEEL'])\n"
        "def test_wheel(): assert (path.name, path.read_bytes()) == ('u.whl', b'wheel')\n"
        "def test_python(): pytest.skip('no Python 3.13')\n"
    )
    files = {"u.tar.gz": b"", "u.whl": b"wheel"}
    (told,) = release.tried(tmp_path, files, [])
    assert told.startswith("test_python skipped:")
    assert "no Python 3.13" in told
    monkeypatch.setattr(wheel_trials, "trouble", lambda *_: pytest.fail("it was tried"))
    assert release.tried(tmp_path, files, ["the page"]) == [
        "not tried, as other things are missing"
    ]


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
