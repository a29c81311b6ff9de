"""The documents say what the result files say."""

import json
from pathlib import Path

import pytest

from unifmir.benchmarks.studies.document_tables import DOCUMENTS, rendered

SOURCES = sorted({source for tables in DOCUMENTS.values() for source, _ in tables.values()})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_is_that_of_its_result_file(document: Path):
    assert rendered(document) == document.read_text("utf-8")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_result_file_names_its_machine_and_versions(source: Path):
    document = json.loads(source.read_text("utf-8"))
    assert document["machine"]["processor"]
    assert document["versions"]["torch"]
    assert document["command"]
