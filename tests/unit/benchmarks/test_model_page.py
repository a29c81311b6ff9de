"""The page of a model: whole without other files, and nothing on it is anybody's program."""

import json
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.model_page import model_page
from unifmir.benchmarks.studies.document_tables import result_of
from unifmir.checkpoint.pruning import prune
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.formats.bioimageio.partners.base import PartnerReport
from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks
from unifmir.export.formats.bioimageio.partners.recorded_checks import write_checks
from unifmir.export.formats.bioimageio.score import ExpectedScore
from unifmir.export.recorded_report import report_path
from unifmir.training.training_record import TrainingRecord, record_path, write_training_record
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import load
from unifmir.zoo.catalogue.schema import ZenodoSource
from unifmir.zoo.publish.submission import Ledger, Submission
from unifmir.zoo.publish.submission import record_path as submission_path

EVIL = '<script src="//evil">alert(1)</script>"\x1b[31m\u202e.pt'


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "onload")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def denoiser():
    return prune(load("unifmir-small-sim"), "denoise")


def test_a_page_names_the_model_its_cost_and_its_evaluations(denoiser):
    denoiser.source = replace(denoiser.source, zoo_id="unifmir-small-sim")
    page = Page(model_page(denoiser, pictures=False))
    assert not page.open
    for word in ("unifmir-small-sim", "BSD-3-Clause", "GFLOPs", "fitted PSNR", "embed_dim"):
        assert word in page.text
    assert page.sources == []


def test_names_of_strangers_are_text(denoiser):
    source = replace(denoiser.source, name=EVIL, zoo_id=None)
    denoiser.source = source
    page = Page(model_page(denoiser, pictures=False))
    assert not page.open
    assert "script" not in page.tags
    assert "<script" in page.text  # as it was called
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_rows_of_the_model_are_shown_with_why_they_are_not_trusted(denoiser):
    results = Results.from_dict(json.loads(result_of("benchmark-quick").read_text("utf-8")))
    bad = tuple(replace(row, problems=("times that cannot be trusted",)) for row in results.rows)
    results = replace(results, rows=bad)
    denoiser.source = replace(denoiser.source, name="unifmir-small-sim", zoo_id=None)
    page = Page(model_page(denoiser, results=results, pictures=False))
    assert "onnxruntime" in page.text
    assert "cannot be trusted" in page.text
    assert "AMD EPYC" in page.text
    assert "care-2d" not in page.text.partition("benchmark --model")[0].partition("Benchmark")[2]


def test_results_of_other_models_and_files_without_a_report_are_refused(denoiser, tmp_path):
    results = Results.from_dict(json.loads(result_of("benchmark-quick").read_text("utf-8")))
    denoiser.source = replace(denoiser.source, name="mine.pt", zoo_id=None)
    with pytest.raises(BenchmarkError, match=r"no row of mine\.pt"):
        model_page(denoiser, results=results, pictures=False)
    file = tmp_path / "mine.onnx"
    file.write_bytes(b"")
    with pytest.raises(ExportError, match="report beside it"):
        model_page(denoiser, artifacts=[file], pictures=False)


def test_what_the_entry_says_of_a_package_and_its_training_is_shown(denoiser):
    entry = find("unifmir-sr-microtubules")
    denoiser.source = replace(denoiser.source, zoo_id=entry.id)
    page = Page(model_page(denoiser, pictures=False))
    stated, training = entry.package, entry.training
    assert stated is not None
    assert training is not None
    assert isinstance(entry.source, ZenodoSource)
    words = (stated.modality, stated.settings, stated.derived_from, stated.cite[0].doi)
    for word in (*words, training.optimizer, training.source, entry.source.doi):
        assert word
        assert word in page.text


def test_the_training_record_beside_a_file_is_shown(denoiser, tmp_path):
    file = tmp_path / "mine.safetensors"
    write_training_record(TrainingRecord(hardware="a desk lamp", steps=321), record_path(file))
    denoiser.source = replace(denoiser.source, zoo_id=None, path=file)
    page = Page(model_page(denoiser, pictures=False))
    assert "a desk lamp" in page.text
    assert "321" in page.text


def test_checks_and_submissions_beside_a_package_are_shown(denoiser, tmp_path):
    package = _recorded(tmp_path / "mine.bioimageio.zip")
    denoiser.source = replace(denoiser.source, zoo_id=None, path=None)
    page = Page(model_page(denoiser, artifacts=[package], pictures=False))
    for word in ("largest difference is 0.25", "not run", "0.9321", "curious-newt", "10.5072/7"):
        assert word in page.text


def test_checks_of_another_package_of_the_name_are_not_shown(denoiser, tmp_path):
    package = _recorded(tmp_path / "mine.bioimageio.zip", checked=b"another")
    page = Page(model_page(denoiser, artifacts=[package], pictures=False))
    assert "of another file of this name" in page.text
    assert "largest difference" not in page.text


def _recorded(package: Path, checked: bytes = b"package") -> Path:
    """A stand-in for a package with what three commands leave beside it."""
    package.write_bytes(b"package")
    name, own = package.name, sha256(b"package").hexdigest()
    told = {
        "artifact": name,
        "sha256": own,
        "passed": True,
        "parent": {"name": "x.safetensors", "sha256": "0" * 64},
        "cases": [],
    }
    report_path(package).write_text(json.dumps(told))
    checks = (
        PartnerReport("deepimagej", "passed", "largest difference is 0.25 of what is allowed"),
        PartnerReport("qupath", "not run", "a Java program"),
    )
    score = ExpectedScore(
        *(0.9321, 1.0, 0.9, 1.0, 0.8, 1.0, 1.0, 0.9, 0.95), ("none",), ("core",), ()
    )
    write_checks(PackageChecks(name, sha256(checked).hexdigest(), (), checks, score), package)
    submission = Submission(
        *("zenodo", "https://zenodo.org", "", name, own, "0" * 32, {}, ()),
        state="uploaded",
        record="curious-newt",
        doi="10.5072/7",
    )
    Ledger(submission_path(package, "zenodo"), submission).note()
    return package


@pytest.mark.slow
def test_pictures_lie_in_the_page(denoiser):
    page = Page(model_page(denoiser))
    (picture,) = page.sources
    assert picture.startswith("data:image/png;base64,iVBOR")
