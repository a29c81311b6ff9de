"""Tables of results for the web page: the figures of the file, in the order of the ranks."""

import json
from pathlib import Path

import pytest

from unifmir.benchmarks.measure.results import read_results
from unifmir.benchmarks.report.page_tables import read_tables

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def measured() -> Path:
    """Results that have times, memory and quality."""
    (found,) = RESULTS.glob("benchmark-sr-*.json")
    return found


def test_a_table_has_the_figures_of_its_rows(measured):
    results = read_results(measured)
    tables = read_tables([measured])
    assert len(tables) == len({(row.subject.task, row.subject.workload) for row in results.rows})
    table = next(one for one in tables if one["task"] == "sr")
    rows = {
        (row.subject.model, row.subject.runtime, row.subject.precision): row
        for row in results.rows
        if row.subject.task == "sr"
    }
    assert len(table["rows"]) == len(rows)
    for shown in table["rows"]:
        row = rows[shown["model"], shown["runtime"], shown["precision"]]
        if row.latency is None:  # refused: bf16 of a network that it would not change
            assert shown["median_ms"] is None
            assert shown["rank"] is None
            assert shown["remark"] == row.error != ""
            continue
        assert row.quality is not None
        assert shown["median_ms"] == row.latency.median_ms
        assert shown["psnr_db"] == row.quality["psnr_db"]
    places = [row["rank"] for row in table["rows"] if row["rank"] is not None]
    assert places == sorted(places)
    assert places[0] == 1
    assert table["plot"] == {"x": "median_ms", "y": "psnr_db"}
    assert set(table["rows"][0]) == set(table["columns"])
    assert table["source"]["file"] == measured.name
    json.dumps(tables, allow_nan=False)


def test_a_folder_is_read_in_order_and_what_is_no_result_says_so(measured, tmp_path):
    (tmp_path / "b.json").write_bytes(measured.read_bytes())
    (tmp_path / "a.json").write_text('{"rows": []}')
    (tmp_path / "c.txt").write_text("no result")
    first, *others = read_tables([tmp_path])
    assert (first["title"], first["rows"]) == ("a.json", [])
    assert first["problem"].startswith("a.json: not results of `unifmir benchmark`")
    assert str(tmp_path) not in first["problem"]
    assert {one["source"]["file"] for one in others} == {"b.json"}


def test_without_quality_there_is_no_plot_and_no_empty_column():
    (path,) = RESULTS.glob("benchmark-growth-*.json")
    for table in read_tables([path]):
        assert table["plot"] is None
        assert "psnr_db" not in table["columns"]
        assert "median_ms" in table["columns"]
