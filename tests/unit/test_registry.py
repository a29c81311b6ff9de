"""Rows are imported when used, duplicates are refused, and a miss says what there is."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unifmir.errors import UnifmirError, UnknownNameError
from unifmir.registry import Registry

ROWS = [("pi", "math:pi"), ("plist", "plistlib:FMT_XML")]
NAMES = st.lists(st.text("abcdefgh", min_size=1), min_size=1, unique=True)


def test_a_row_is_imported_when_it_is_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "plistlib", raising=False)
    registry: Registry[Any] = Registry("thing", ROWS)
    assert "plist" in registry
    assert list(registry) == ["pi", "plist"]
    assert len(registry) == 2
    assert registry.target("plist") == "plistlib:FMT_XML"
    assert "plistlib" not in sys.modules
    assert registry["plist"].name == "FMT_XML"
    assert "plistlib" in sys.modules


def test_a_duplicated_name_is_refused():
    with pytest.raises(ValueError, match="thing 'pi' is registered twice"):
        Registry("thing", [*ROWS, ("pi", "math:tau")])


def test_a_miss_says_what_is_known_and_the_nearest_name():
    with pytest.raises(UnknownNameError) as caught:
        Registry("thing", ROWS)["plisst"]
    message = str(caught.value)
    assert message.startswith("unknown thing 'plisst'")
    assert "did you mean 'plist'?" in message
    assert "pi, plist" in message
    assert isinstance(caught.value, UnifmirError)
    assert isinstance(caught.value, KeyError)


def test_a_row_that_leads_nowhere_fails_when_used():
    registry: Registry[Any] = Registry("thing", [("gone", "math:no_such_name")])
    with pytest.raises(AttributeError, match="no_such_name"):
        registry["gone"]


@given(NAMES, st.text("abcdefgh", min_size=1))
def test_every_name_is_found_or_answered_with_all_known_ones(names, wanted):
    registry: Registry[Any] = Registry("thing", [(name, "math:pi") for name in names])
    assert list(registry) == names
    if wanted in names:
        assert registry[wanted] == pytest.approx(3.14159, abs=1e-5)
    else:
        with pytest.raises(UnknownNameError) as caught:
            registry[wanted]
        assert ", ".join(names) in str(caught.value)
