"""Results that a page is given: refused by name before a site is made of them."""

import pytest

from unifmir.benchmarks.measure.results import read_results
from unifmir.cli.page_files import readable_tables
from unifmir.errors import BenchmarkError, UnifmirError


def test_each_file_without_results_is_named_once(tmp_path):
    (tmp_path / "a.json").write_text('{"rows": [')
    (tmp_path / "b.json").write_text('{"rows": []}')
    with pytest.raises(UnifmirError) as caught:
        readable_tables([tmp_path])
    first, second = str(caught.value).split("\n  ")
    assert first.startswith("a.json: it is no JSON")
    assert second.startswith("b.json: not results of `unifmir benchmark`")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnifmirError, match="no such file or folder"):
        readable_tables([tmp_path / "none.json"])


def test_a_damaged_result_is_named_by_its_path_alone(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"rows": [')
    with pytest.raises(BenchmarkError) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}: it is no JSON")
