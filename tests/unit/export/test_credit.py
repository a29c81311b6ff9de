"""People as text: what is read of them, and what is refused."""

import pytest

from unifmir.errors import ExportError
from unifmir.export.credit import Person, checked_licence, parse_maintainer, parse_person

ADA = "Ada Author <0000-0002-1825-0097> <ada@example.org> <@ada-hub> An institute, a town"


def test_a_person_with_everything_is_read():
    assert parse_person(ADA) == Person(
        "Ada Author", "An institute, a town", "0000-0002-1825-0097", "ada-hub", "ada@example.org"
    )


def test_a_name_alone_is_a_person():
    assert parse_person(" Ada Author ") == Person("Ada Author")


@pytest.mark.parametrize(
    ("text", "person"),
    [
        ("Ada <> An institute, a town", Person("Ada", "An institute, a town")),
        ("Author, Ada <>", Person("Author, Ada")),
    ],
)
def test_empty_brackets_end_a_name(text: str, person: Person):
    assert parse_person(text) == person


def test_a_comma_without_brackets_is_asked_about():
    with pytest.raises(ExportError, match=r"'NAME <> AFFILIATION', or 'NAME, FIRST NAME <>'"):
        parse_person("Ada, An institute")


def test_a_maintainer_begins_with_the_github_user():
    read = parse_maintainer("ada-hub <ada@example.org>")
    assert read == Person("", github_user="ada-hub", email="ada@example.org")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<ada@example.org>",
        "A/B",
        "Ada <nobody>",
        "Ada <ada@localhost>",
        "Ada <0000-0002-1825-0098>",
        "Ada <ada@example.org> <",
        "Ada > x",
        "Ada <@a--b>",
        "A" * 301,
    ],
)
def test_what_is_no_person_is_refused(text: str):
    with pytest.raises(ExportError):
        parse_person(text)


def test_a_maintainers_name_is_a_github_user():
    with pytest.raises(ExportError, match="GitHub user"):
        parse_maintainer("Ada Author <ada@example.org>")


@pytest.mark.parametrize("text", ["CC-BY-4.0", "BSD-3-Clause", "GPL-3.0"])
def test_a_licence_is_an_spdx_identifier(text: str):
    assert checked_licence(text) == text


@pytest.mark.parametrize("text", ["", "CC BY 4.0", "cc-by-4.0", "mine", "LICENSE.txt"])
def test_what_is_no_licence_is_refused(text: str):
    with pytest.raises(ExportError, match="SPDX identifier such as CC-BY-4"):
        checked_licence(text)
