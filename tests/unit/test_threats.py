"""The page on strangers' files: every promise names a test that is there."""

import re

import pytest


@pytest.fixture(scope="module")
def rows(repo) -> list[tuple[str, str, str]]:
    """Rows of every table of promises; others are figures."""
    text = (repo / "docs" / "threats.md").read_text("utf-8")
    tables = re.findall(r"^\|.*\| held by \|\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    lines = "".join(tables).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(sent, promised, held) for sent, promised, held in cells]


def test_every_row_names_a_test_that_tests_something(repo, rows):
    assert len(rows) >= 12
    for sent, promised, held in rows:
        assert promised
        paths = re.findall(r"`(tests/[\w/]+\.py)`", held)
        assert paths, sent
        for path in paths:
            written = (repo / path).read_text("utf-8")
            # A kind of hostile input is given by tests/hostile/test_hostile.py.
            assert "def test_" in written or "KIND = HostileKind(" in written, sent


def test_no_program_format_is_forgotten(rows):
    from unifmir.export.formats import FORMATS

    programs = [name for name in FORMATS if FORMATS[name].holds_program]
    told = " ".join(sent for sent, *_ in rows).lower()
    assert programs
    assert all(name in told for name in programs)
