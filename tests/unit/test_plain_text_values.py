"""The one reader of JSON and YAML: what is beyond its bounds is refused with its place."""

import json
import os
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unifmir import plain_text_values
from unifmir.errors import CheckpointError
from unifmir.plain_text_values import MAX_DEPTH, parse_json, parse_yaml, read_json

REFUSED = {
    b'{"a": {"b": NaN}}': r"its a\.b is nan",
    b'{"a": [1, -Infinity]}': r"its a\.1 is -inf",
    b'{"a": 1e999}': "its a is inf",
    b'{"a": 1, "a": 2}': "names 'a' twice",
    b'{"a": {"b": 18446744073709551616}}': r"its a\.b is a number beyond 64 bits",
    b'{"a": ' + b"9" * 5_000 + b"}": "a number of 5000 digits",
    b'{"a": "\\u001b[2J"}': "its a is a text with the control character",
    b'{"a": "\\ud800"}': "its a is a text with the control character",
    b'{"a\\u0007": 1}': "an entry of the name 'a",
    b'{"a\\u202eb": 1}': "an entry of the name 'a",
    b'{"a": "\xff"}': "no JSON",
    b"\xef\xbb\xbf{}": "no JSON",
    b"{'a': 1}": "no JSON",
    b"": "no JSON",
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1): "nested more than 64 deep",
    b"[" * 100_000: "nested more than 64 deep",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=[str(t[:20]) for t in REFUSED])
def test_json_beyond_the_bounds_is_refused_with_its_place(text, reason):
    with pytest.raises(CheckpointError, match=reason):
        parse_json(text)


def test_what_lies_within_the_bounds_is_read():
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    text = '{"a": [18446744073709551615, -1.5, "\\n\\té\\u2028", true, null]}'
    assert parse_json(text) == {"a": [2**64 - 1, -1.5, "\n\té\u2028", True, None]}


def test_too_much_is_refused(monkeypatch):
    with pytest.raises(CheckpointError, match="more than the 10 bytes"):
        parse_json("[" + " " * 20 + "]", limit=10)
    monkeypatch.setattr(plain_text_values, "MAX_VALUES", 4)
    assert parse_json("[1, 2]") == [1, 2]
    with pytest.raises(CheckpointError, match="more than 4 values"):
        parse_json("[1, 2, [3]]")
    monkeypatch.setattr(plain_text_values, "MAX_TEXT", 3)
    with pytest.raises(CheckpointError, match="a text of 4 characters"):
        parse_json('"four"')


BOMB = b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 30))
MERGES = BOMB.replace(b"[", b"{<<: [").replace(b"]", b"]}")
REFUSED_YAML = {
    b"a: .nan": "its a is nan",
    b"a: 1\na: 2": "not YAML",
    b"a: !!python/object/apply:os.system [ls]": "not YAML",
    b"a: !!binary aaaa": "its a is a bytes",
    b"a: !!set {b, c}": "its a is a set",
    b"1: a": "an entry of the name '1'",
    b"[1]: a": "an entry of the name",
    b"[" * 100_000: "nested more than 64 deep",
    b'{"a": ' * 20_000: "nested more than 64 deep",
    b"a: &a [*a]": "nested more than 64 deep",
    b"a0: &a0 [x]\n" + BOMB: "more than 100000 values",
    b"a0: &a0 {x: 1}\n" + MERGES: "merges mappings",
    b"%YAML 1.1\n---\na: 1:2:3": "a directive",
    b"a: " + b"9" * 5_000: "not YAML",
    b"a: " + b"9" * 30: "its a is a number beyond 64 bits",
    b'a: "\\e[2J"': "its a is a text with the control character",
    b"\xff": "not YAML",
    b"a: b\n---\na: c": "not YAML",
}


@pytest.mark.parametrize(
    ("text", "reason"), REFUSED_YAML.items(), ids=[str(t[:20]) for t in REFUSED_YAML]
)
def test_yaml_beyond_the_bounds_is_refused_with_its_place(text, reason):
    with pytest.raises(CheckpointError, match=reason):
        parse_yaml(text)


def test_yaml_within_the_bounds_is_read():
    text = b"%YAML 1.2\n---\na: &x [1, 0.5, yes]\nb: *x\nc: 2026-11-22T00:00:00\n"
    expected = {"a": [1, 0.5, "yes"], "b": [1, 0.5, "yes"], "c": datetime(2026, 11, 22)}  # noqa: DTZ001 - as YAML says it
    assert parse_yaml(text) == expected


def test_only_plain_files_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}', "utf-8")
    assert read_json(path) == {"a": 1}
    path.write_text("{", "utf-8")
    with pytest.raises(CheckpointError, match=r"a\.json: it is no JSON"):
        read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="no plain file"):
        read_json(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text("abc\n é")
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abc.", min_size=1), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(plain)
def test_what_json_writes_is_what_is_read(values):
    assert parse_json(json.dumps(values)) == values


@pytest.mark.slow
@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text('{}[]",:0123456789.eE-+ntfalsuri\\ \n&*!<%|>#\x00\x1b\ud800', max_size=120).map(
            lambda text: text.encode("utf-8", "surrogatepass")
        ),
        st.tuples(plain, st.integers(0, 400), st.binary(min_size=1, max_size=4)).map(
            lambda case: mutated(json.dumps(case[0]).encode(), *case[1:])
        ),
    )
)
def test_any_bytes_are_values_or_an_error_of_ours(content):
    for read in (parse_json, parse_yaml):
        try:
            values = read(content)
        except CheckpointError:
            continue
        json.dumps(values, default=str, allow_nan=False).encode()


def mutated(content: bytes, place: int, put: bytes) -> bytes:
    """A text in which some bytes are others."""
    place %= len(content) + 1
    return content[:place] + put + content[place + len(put) :]
