"""Where `unifmir report` writes, and what it leaves alone."""

from pathlib import Path

import pytest

from unifmir.benchmarks.report.html_page import page
from unifmir.benchmarks.report.model_page import COMMAND
from unifmir.cli.report import checked_output
from unifmir.errors import OutputError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_name_the_page_is_called_like_the_model_and_lies_in_this_folder():
    assert checked_output("unifmir-small-sim", None) == Path("unifmir-small-sim.html")
    Path("models").mkdir()
    Path("models/mine.v2.pt").touch()
    assert checked_output("models/mine.v2.pt", None) == Path("mine.v2.html")


def test_a_name_of_no_page_is_refused():
    with pytest.raises(OutputError, match=r"ending in \.html"):
        checked_output("unifmir-small-sim", Path("model.pdf"))


@pytest.mark.parametrize("out", [None, Path("unifmir-small-sim.html")])
def test_files_of_others_are_left_alone(out):
    Path("unifmir-small-sim.html").write_text(page("scores", [], command="unifmir evaluate"))
    with pytest.raises(OutputError, match="is no page of `unifmir report`"):
        checked_output("unifmir-small-sim", out)


def test_an_earlier_page_of_a_model_is_replaced():
    Path("unifmir-small-sim.html").write_text(page("a model", [], command=COMMAND))
    assert checked_output("unifmir-small-sim", None) == Path("unifmir-small-sim.html")
