"""The page of a model: whole without other files, and nothing on it is anybody's program."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.model_page import model_page
from unifmir.benchmarks.studies.document_tables import result_of
from unifmir.checkpoint.pruning import prune
from unifmir.errors import BenchmarkError, ExportError
from unifmir.zoo.catalogue.load import load

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


@pytest.mark.slow
def test_pictures_lie_in_the_page(denoiser):
    page = Page(model_page(denoiser))
    (picture,) = page.sources
    assert picture.startswith("data:image/png;base64,iVBOR")
