"""Every table of PSNR, SSIM or NRMSE says whether a figure is fitted to the truth."""

from pathlib import Path

import pytest

from tests.helpers.benchmark_results import latency, quality_of, results, row, subject
from tests.helpers.fit_words import figures_of_unknown_fit, markdown_headings
from unifmir.benchmarks.report.plots.drawing import figures
from unifmir.benchmarks.report.results_comparison import compare
from unifmir.benchmarks.report.tables.comparison_table import comparison_text
from unifmir.benchmarks.report.tables.table_formats import FORMATS, rendered
from unifmir.benchmarks.report.tables.terminal_tables import terminal
from unifmir.benchmarks.report.tables.views import VIEWS
from unifmir.export.formats.bioimageio.readme import report_table
from unifmir.metrics import METRICS
from unifmir.metrics.base import fitted
from unifmir.zoo.catalogue.index import entries

REPO = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]


def judged(psnr_db: float = 31.0):
    """Results of one row that was judged and compared with fp32."""
    figures_of = dict.fromkeys(METRICS, 0.5) | {"psnr_db": psnr_db}
    picture = {"max_abs_over_std": 1e-5, "psnr_db": 90.0}
    return results(
        row(
            subject(),
            latency=latency([5.0, 5.1]),
            quality=quality_of(**figures_of),
            same_picture=picture,
        )
    )


@pytest.mark.parametrize(
    ("text", "unsaid"),
    [
        ("fitted PSNR, dB | unfitted SSIM", 0),
        ("PSNR, dB | fitted SSIM", 1),
        ("to fp32, PSNR\nNRMSE unfitted", 2),
    ],
)
def test_a_figure_without_the_word_is_noticed(text, unsaid):
    assert len(figures_of_unknown_fit(text)) == unsaid


def test_every_metric_after_the_fit_stands_beside_the_same_before_it():
    for metric in METRICS.values():
        assert figures_of_unknown_fit(metric.heading) == []
        assert metric.heading.startswith("fitted ") == metric.fitted
    before = [metric for metric in METRICS.values() if metric.title.startswith("unfitted ")]
    assert [fitted(metric) for metric in before] == [m for m in METRICS.values() if m.fitted]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("form", FORMATS)
def test_tables_of_results_say_it(form, view):
    text = rendered(judged(), form, views=[view])
    assert figures_of_unknown_fit(text) == []
    if view == "quality" and form != "csv":
        assert "fitted PSNR, dB" in text
        assert "unfitted PSNR, dB" in text


def test_a_terminal_says_it():
    assert figures_of_unknown_fit(terminal(judged(), width=200, colour=False)) == []


def test_results_without_the_figure_before_the_fit_have_no_column_for_it():
    old = {"psnr_db": 31.0, "ssim": 0.9, "nrmse": 0.1, "slope": 0.9}
    text = rendered(results(row(quality=quality_of(**old))), "text", views=["quality"])
    assert "fitted PSNR, dB" in text
    assert "unfitted" not in text


def test_plots_say_it():
    made, _ = figures(judged(), plots=["quality"])
    labels = [axes.get_ylabel() for figure in made.values() for axes in figure.axes]
    assert "fitted PSNR, dB" in labels
    assert figures_of_unknown_fit(" ".join(labels)) == []


def test_a_comparison_of_results_says_it():
    assert "fitted_psnr_db" in comparison_text(compare(judged(), judged(25.0)))


def test_the_readme_of_a_package_says_it():
    cases = [{"max_abs_over_std": 1e-5, "psnr_db": 90.0}]
    table = report_table([{"format": "onnx", "precision": "fp32", "cases": cases, "passed": True}])
    assert "unfitted PSNR" in table
    assert figures_of_unknown_fit(table) == []


@pytest.mark.parametrize("name", entries())
def test_figures_of_the_zoo_say_it_or_that_their_source_does_not(name):
    for measured in entries()[name].measured:
        told = not figures_of_unknown_fit(measured.metric)
        assert told or "whether fitted is not said there" in measured.source


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_of_the_documents_say_it(document):
    headings = markdown_headings(document.read_text("utf-8"))
    assert figures_of_unknown_fit("\n".join(headings)) == []
