"""Text of others as it is shown: nothing that a terminal obeys, nothing that opens doors."""

import json
import time

import pytest

from unifmir.errors import ImageError, OutputError, UnknownNameError
from unifmir.shown_text import shown, shown_cell, shown_json

FAMILIAR = "µm, naïve Bläschen 細胞.tif [red] 50 % ✓\nsecond line"


def test_familiar_text_is_shown_as_it_is():
    assert shown(FAMILIAR) == FAMILIAR
    assert shown_json(json.dumps(FAMILIAR, ensure_ascii=False)) == json.dumps(
        FAMILIAR, ensure_ascii=False
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2Ja.tif", r"\x1b[2Ja.tif"),
        ("\x9b2Ja.tif", r"\x9b2Ja.tif"),
        ("a\rb\x08\x07\x00\x7f", r"a\rb\x08\x07\x00\x7f"),
        ("a\tb", r"a\tb"),
        ("gpj\u202e.tif", r"gpj\u202e.tif"),
        ("a\u200b\ufeff\u2066", r"a\u200b\ufeff\u2066"),
        ("\udcff.tif", r"\udcff.tif"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, expected):
    assert shown(text) == expected
    document = json.dumps({text: text}, ensure_ascii=False)
    assert json.loads(shown_json(document)) == {text: text}
    assert all(letter.isprintable() for letter in shown_json(document))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pa55@host/a.pt", "https://host/a.pt"),
        ("https://hf_tok@host:8443/a.pt is", "https://host:8443/a.pt is"),
        ("https:/me:pa55@host/a.zarr", "https:/host/a.zarr"),
        ("HTTP://a:b@c@host", "HTTP://host"),
        ("https://h/a?token=abc&x=1", "https://h/a?token=***&x=1"),
        ("https://h/a?x=1&access_token=abc#y", "https://h/a?x=1&access_token=***#y"),
        (
            "https://h/a?X-Amz-Signature=abc&X-Amz-Date=1",
            "https://h/a?X-Amz-Signature=***&X-Amz-Date=1",
        ),
        ("https://h/a?token=a:b: not there", "https://h/a?token=***: not there"),
        ("https://h/a?api_key=abc", "https://h/a?api_key=***"),
        ("'Authorization': 'Bearer abc'", "'Authorization': 'Bearer ***'"),
        ("https://host/people@work?x=1", "https://host/people@work?x=1"),
        ("write to a@b.org", "write to a@b.org"),
        ("--runtime=eager tokens=4", "--runtime=eager tokens=4"),
    ],
)
def test_what_opens_doors_is_left_out(text, expected):
    assert shown(text) == expected
    assert json.loads(shown_json(json.dumps([text]))) == [expected]


@pytest.mark.parametrize("part", ["?", "?token", "https:/", "a=", "authorization: "])
def test_long_text_takes_no_time(part):
    text = part * 20_000 + "=@"
    start = time.process_time()
    shown(text)
    assert time.process_time() - start < 1


def test_a_cell_of_a_table_is_one_line():
    assert shown_cell("a\nb\x1b") == "a\\nb\\x1b"


@pytest.mark.parametrize("kind", [ImageError, UnknownNameError, OutputError])
def test_every_error_of_ours_shows_itself_so(kind):
    error = kind("\x1b[31mred.tif at https://me:pa55@host/x: expected\nan image")
    assert str(error) == "\\x1b[31mred.tif at https://host/x: expected\nan image"
