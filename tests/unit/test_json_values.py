"""Tests of what dataclasses are written as in JSON."""

import json
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

import numpy as np

from unifmir.json_values import JsonOutput, json_form


@dataclass(frozen=True, slots=True)
class Inner:
    size: tuple[int, ...]
    ratio: float


@dataclass(frozen=True, slots=True)
class Chosen(JsonOutput):
    written = ("total", "name")
    name: str
    hidden: int

    @property
    def total(self) -> int:
        return self.hidden + 1


@dataclass(frozen=True, slots=True)
class Whole(JsonOutput):
    computed = ("doubled",)
    chosen: Chosen
    inner: tuple[Inner, ...]

    @property
    def doubled(self) -> int:
        return 2 * len(self.inner)


def test_fields_and_then_computed_properties_are_written_in_order():
    whole = Whole(Chosen("a", 3), (Inner((1, 2), inf), Inner((), 0.5)))
    expected = {
        "chosen": {"total": 4, "name": "a"},
        "inner": [{"size": [1, 2], "ratio": None}, {"size": [], "ratio": 0.5}],
        "doubled": 4,
    }
    # As text, because the order of the keys counts.
    assert json.dumps(whole.to_dict()) == json.dumps(expected)


def test_what_json_lacks_becomes_what_it_has():
    values = {"path": Path("a/b"), 1: (nan, -inf), "count": np.int64(3), "share": np.float32(0.5)}
    assert json_form(values) == {"path": "a/b", "1": [None, None], "count": 3, "share": 0.5}
