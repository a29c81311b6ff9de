"""The README says what the result files say."""

from pathlib import Path

from benchmarks.tables import README, TABLES, rendered


def test_every_table_of_the_readme_is_that_of_its_result_file():
    text = README.read_text("utf-8")
    assert rendered(text) == text


def test_every_result_file_names_its_machine_and_versions():
    import json

    for source, _ in TABLES.values():
        document = json.loads(Path(source).read_text("utf-8"))
        assert document["machine"]["processor"]
        assert document["versions"]["torch"]
        assert document["command"]
