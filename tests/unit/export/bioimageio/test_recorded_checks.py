"""Results of `unifmir zoo lint` beside a package: read as they were written, or refused."""

import json
from pathlib import Path

import pytest

from unifmir.cli.publish import score_lines
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.partners.base import PartnerReport
from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks
from unifmir.export.formats.bioimageio.partners.recorded_checks import (
    checks_path,
    read_checks,
    write_checks,
)
from unifmir.export.formats.bioimageio.score import ExpectedScore
from unifmir.zoo.publish.publication import PublishedScore

SCORE = ExpectedScore(
    total=0.93,
    metadata_format=1.0,
    metadata_completeness=0.9,
    core=1.0,
    partner=0.82,
    ilastik=1.0,
    biapy=1.0,
    deepimagej=0.45,
    with_deepimagej=0.93,
    reasons=("deepImageJ: 2 pixels differ\nby 1e-3",),
    run=("core", "biapy"),
    expected=("ilastik",),
)
CHECKS = PackageChecks(
    package="p.zip",
    sha256="a" * 64,
    findings=(),
    checks=(
        PartnerReport("biapy", "passed", "takes it", {"biapy": "3.5"}),
        PartnerReport("qupath", "not run", "no QuPath here"),
    ),
    score=SCORE,
)


def test_what_was_written_is_read(tmp_path: Path):
    package = tmp_path / "p.zip"
    assert read_checks(package) is None
    write_checks(CHECKS, package)
    found = read_checks(package)
    assert found is not None
    assert found.sha256 == CHECKS.sha256
    assert [(one.name, one.outcome, one.detail) for one in found.checks] == [
        (one.name, one.outcome, one.detail) for one in CHECKS.checks
    ]
    assert found.score is not None
    whole = SCORE.to_dict()
    assert all(whole[name] == value for name, value in found.score.to_dict().items())


@pytest.mark.parametrize(
    "change",
    [{"sha256": "a"}, {"checks": {}}, {"package": "../p.zip"}, {"score": {"total": 2.0}}],
)
def test_what_is_no_result_is_refused_with_what_to_do(tmp_path: Path, change: dict[str, object]):
    package = tmp_path / "p.zip"
    checks_path(package).write_text(json.dumps(CHECKS.to_dict() | change), encoding="utf-8")
    with pytest.raises(ExportError, match=r"p\.zip\.checks\.json is no result .* again"):
        read_checks(package)


def test_the_dry_run_says_what_was_run_and_what_is_expected(tmp_path: Path):
    package = tmp_path / "p.zip"
    write_checks(CHECKS, package)
    by_rules = PublishedScore(SCORE, is_tested=True)
    ran = "\n".join(score_lines(PublishedScore(SCORE, True, read_checks(package)), "p.zip"))
    for told in (
        "passed   biapy: takes it",
        "not run  qupath: no QuPath here",
        "expected zoo score 0.930",
        "run: core, biapy; expected by their rules: ilastik",
    ):
        assert told in ran
    expected = "\n".join(score_lines(by_rules, "p.zip"))
    assert "`unifmir zoo lint p.zip` asks them" in expected
    old = "\n".join(score_lines(PublishedScore(SCORE, True, has_old_checks=True), "p.zip"))
    assert "its last result is of another file" in old
