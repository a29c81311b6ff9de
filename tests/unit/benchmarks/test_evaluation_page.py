"""The page of an evaluation: whole without other files, its boxes where the figures are."""

import math
import re

import numpy as np
import pytest

from tests.unit.benchmarks.test_model_page import EVIL, Page
from unifmir.benchmarks.report.evaluation_page import EvaluationFacts, evaluation_page
from unifmir.images.png import grey_png
from unifmir.metrics import METRICS
from unifmir.metrics.scores import Score

ONE = {"psnr_db": METRICS["psnr_db"]}


def scores(values: list[float]) -> dict[str, Score]:
    return {f"cell {index}": {"psnr_db": value} for index, value in enumerate(values)}


def test_a_page_has_means_comparison_images_and_pictures():
    png = grey_png(np.zeros((4, 4), np.uint8))
    facts = EvaluationFacts(
        "mine",
        {"model": scores([30, 32, 34, 36, 38, 40]), "bicubic": scores([29, 30, 31, 32, 33, 34])},
        ONE,
        pictures={"cell 0": png},
        failed={"cell 9": "damaged"},
    )
    text = evaluation_page(facts)
    page = Page(text)
    assert not page.open
    assert page.sources == [f"data:image/png;base64,{text.split('base64,')[1].split(chr(34))[0]}"]
    for told in ("35.000", "+3.500", "0.031", "model minus bicubic", "cell 5", "damaged"):
        assert told in page.text
    assert "://" not in text
    assert "default-src 'none'" in text


def test_names_of_strangers_are_text():
    facts = EvaluationFacts(EVIL, {EVIL: {EVIL: {"psnr_db": 1.0}}}, ONE, pictures={EVIL: b"x"})
    page = Page(evaluation_page(facts))
    assert not page.open
    assert "script" not in page.tags
    assert "alert(1)" in page.text
    assert "\x1b" not in page.text


def test_a_box_lies_at_the_quartiles_and_what_is_beyond_is_a_point():
    text = evaluation_page(EvaluationFacts("m", {"model": scores([0, 10, 20, 30, 100])}, ONE))
    numbers = [float(one) for one in re.findall(r"[MH]([\d.]+)", text.split('<path d="')[1])]
    left, right, median = numbers[0], numbers[1], numbers[3]
    # 0 to 100 of the axis are 212 to 708 pixels.
    at = [212 + 4.96 * value for value in (10, 30, 20)]
    assert [left, right, median] == pytest.approx(at, abs=0.1)
    assert re.findall(r'cx="([\d.]+)"', text) == ["708.0"]


def test_images_that_are_all_alike_have_a_page():
    page = Page(evaluation_page(EvaluationFacts("m", {"model": scores([3, 3])}, ONE)))
    assert not page.open


def test_images_that_are_exact_have_an_infinite_psnr_and_are_not_drawn():
    text = evaluation_page(EvaluationFacts("m", {"model": scores([30, 40, math.inf])}, ONE))
    drawn = evaluation_page(EvaluationFacts("m", {"model": scores([30, 40])}, ONE))
    assert re.findall(r"<svg.*</svg>", text) == re.findall(r"<svg.*</svg>", drawn)
    assert "Infinite, so not drawn: 1 images." in Page(text).text
    exact = evaluation_page(EvaluationFacts("m", {"model": scores([math.inf])}, ONE))
    assert "Infinite, so not drawn: 1 images." in Page(exact).text
