"""Plots: what they say, that nothing overlaps, and the files they are written to."""

import math
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from tests.helpers.benchmark_results import around, quality_of, realistic, results, row, subject
from tests.helpers.quick_rows import few_quick
from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.plots import drawing
from unifmir.benchmarks.report.plots.cost_bars import HATCH
from unifmir.benchmarks.report.plots.drawing import DPI, PLOTS, draw, figures
from unifmir.benchmarks.report.plots.growth import growth
from unifmir.benchmarks.report.plots.pareto import pareto
from unifmir.errors import MissingExtraError, UnknownNameError

pytestmark = pytest.mark.xdist_group("plots")
"""What `drawn` keeps is drawn in one process."""


@cache
def two_tasks() -> Results:
    """Two tasks of the realistic results: one with an error."""
    whole = realistic()
    return replace(
        whole, rows=tuple(row for row in whole.rows if row.subject.task in ("sr", "volume"))
    )


@cache
def drawn() -> dict[str, Figure]:
    """All figures of two tasks."""
    made, skipped = figures(two_tasks())
    assert not skipped
    return made


def words(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def rated(model: str, ms: float, psnr_db: float, **changes: object) -> Row:
    """A row with a latency and a quality."""
    quality = quality_of(psnr_db)
    return row(subject(model), latency=around(ms), quality=quality, **changes)


def test_every_plot_is_drawn_when_the_data_is_there():
    assert set(drawn()) == {"quality-image", "cost-image", "growth", "roofline-cpu-image"}


@pytest.mark.parametrize(
    "stem",
    few_quick(
        ["quality-image", "cost-image", "growth", "roofline-cpu-image"],
        ["quality-image", "roofline-cpu-image"],
    ),
)
def test_a_plot_names_machine_tasks_models_and_what_cannot_be_trusted(stem):
    told = words(drawn()[stem])
    for name in ("Example CPU 3.0 GHz", "threads 4", "sr", "volume", "unifmir-sr-f-actin", "care"):
        assert name in told
    assert "times that cannot be trusted" in told
    assert "another process took 31 % of the CPU" in " ".join(told.split())


@pytest.mark.parametrize(
    ("stem", "units"),
    [
        ("quality-image", ("latency, ms", "fitted PSNR, dB")),
        ("cost-image", ("latency, ms", "parameters, M", "arithmetic, GFLOP")),
        ("growth", ("pixels", "latency, ms")),
        ("roofline-cpu-image", ("arithmetic intensity, FLOP/byte", "GFLOP/s")),
    ],
)
def test_axes_have_units_and_times_are_logarithmic(stem, units):
    axes = drawn()[stem].axes
    labels = {label for one in axes for label in (one.get_xlabel(), one.get_ylabel())}
    assert set(units) <= labels
    assert all(one.get_xscale() == "log" for one in axes)


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """The labels of points and where they are."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))
        for axes in figure.axes
        for text in axes.texts
        if isinstance(text, Annotation)
    ]


@pytest.mark.parametrize("stem", ["quality-image", "cost-image", "roofline-cpu-image"])
def test_no_label_lies_on_another_or_leaves_the_figure(stem):
    figure = drawn()[stem]
    found = boxes(figure)
    assert found
    for (one, first), (other, second) in combinations(found, 2):
        assert not first.overlaps(second), (one, other)
    for name, box in found:
        assert figure.bbox.x0 <= box.x0, name
        assert box.x1 <= figure.bbox.x1, name


def test_the_strips_for_title_legend_and_notes_do_not_meet():
    for figure in drawn().values():
        renderer = FigureCanvasAgg(figure).get_renderer()
        strips = [text.get_window_extent(renderer) for text in figure.texts]
        strips += [legend.get_window_extent(renderer) for legend in figure.legends]
        inner = [box for axes in figure.axes if (box := axes.get_tightbbox(renderer))]
        assert len(inner) == len(figure.axes)
        assert not any(one.overlaps(other) for one, other in combinations(strips, 2))
        assert not any(strip.overlaps(axes) for strip in strips for axes in inner)


def test_the_pareto_front_leaves_out_what_is_slower_and_no_better():
    front = pareto([
        rated("fast", 10, 28), rated("slow", 100, 31), rated("waste", 200, 30),
        rated("same", 11, 28), rated("doubtful", 5, 40, problems=("busy",)),
    ])  # fmt: skip
    assert [row.subject.model for row in front] == ["fast", "slow"]


def test_members_of_the_front_are_named_and_untrusted_points_are_hollow():
    result = results(
        rated("fast", 10, 28), rated("slow", 100, 31), rated("doubtful", 5, 40, problems=("busy",))
    )
    figure = figures(result, plots=["quality"])[0]["quality-image"]
    named = [text.get_text() for text in figure.axes[0].texts]
    assert named == ["fast\nonnxruntime fp32", "slow\nonnxruntime fp32"]
    lines = figure.axes[0].lines
    faces = [line.get_markerfacecolor() for line in lines if line.get_marker() != "None"]
    assert faces.count("white") == 1


def test_each_untrusted_row_has_its_own_figure_below_the_plot():
    rows = [
        rated(name, 5, 40, problems=("x",), word="differs", same_picture={"psnr_db": psnr_db})
        for name, psnr_db in (("one", 44.6), ("other", 57.2))
    ]
    told = words(
        figures(results(rated("fast", 10, 28), *rows), plots=["quality"])[0]["quality-image"]
    )
    assert "one onnxruntime fp32 45 dB" in told
    assert "other onnxruntime fp32 57 dB" in told


def test_bars_of_untrusted_rows_are_hatched_and_errors_are_said():
    figure = drawn()["cost-image"]
    latencies = [axes for axes in figure.axes if axes.get_title(loc="left") in ("sr", "volume")]
    hatched = [sum(bar.get_hatch() == HATCH for bar in axes.patches) for axes in latencies]
    assert hatched == [1, 1]
    assert [len(axes.patches) for axes in latencies] == [6, 5]
    assert "error" in words(figure)


def sweep(
    exponent: float, *, sizes: tuple[int, ...] = (32, 64, 128, 256), **changes: object
) -> list[Row]:
    """Rows of a sweep that grows by that exponent."""
    return [
        row(
            subject(workload=f"sweep-{number}", input_shape=(1, side, side)),
            latency=around(1e-3 * (side * side) ** exponent, noise=0.001),
            **changes,
        )
        for number, side in enumerate(sizes)
    ]


def test_growth_finds_the_exponent_from_trusted_rows_only():
    law = growth([*sweep(1.5), *sweep(0.2, problems=("busy",))])
    assert law is not None
    assert law.exponent == pytest.approx(1.5, abs=0.001)
    assert growth(sweep(1.5, sizes=(32, 64))) is None


def test_growth_tells_the_exponent_in_the_legend():
    figure = figures(results(*sweep(1.5)), plots=["growth"])[0]["growth"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "m, onnxruntime fp32: 1.500 [1.500, 1.500]"
    ]


def test_the_roofline_labels_points_with_their_share_of_the_roof():
    # 2 GFLOP in 100 ms are 20 GFLOP/s; 20 FLOP/byte times 24 GB/s allow 480: 4.2 %.
    figure = figures(results(row(latency=around(100.0))), plots=["roofline"])[0][
        "roofline-cpu-image"
    ]
    assert "4.2 %" in words(figure)
    assert "fp32 900 GFLOP/s, 24 GB/s" in words(figure)


def test_the_roofline_labels_only_the_ends_of_each_model():
    ways = ("eager", "onnxruntime", "openvino")
    rows = [
        row(subject(runtime=way), latency=around(ms))
        for way, ms in zip(ways, (100.0, 70.0, 50.0), strict=True)
    ]
    told = words(figures(results(*rows), plots=["roofline"])[0]["roofline-cpu-image"])
    assert "4.2 %" in told
    assert "8.3 %" in told
    assert "6.0 %" not in told


def test_plots_without_data_are_skipped_with_the_reason(tmp_path):
    made = draw(results(row(latency=None, error="no")), tmp_path)
    assert made.paths == ()
    assert made.skipped == {
        "quality": "no row has both a latency and a PSNR",
        "cost": "no row has a latency, but for sweeps",
        "growth": "no model was timed on a sweep of sizes",
        "roofline": "no row has a latency, counted arithmetic, counted traffic and a measured peak",
    }
    assert "peak was not measured" in figures(results(row(), peaks=()))[1]["roofline"]


@pytest.mark.slow
def test_files_have_the_size_of_the_figure_and_are_the_same_each_time(tmp_path):
    result = results(rated("a$b$", 10, 28), rated("_c", 20, 29))
    wanted = figures(result, plots=["quality"])[0]["quality-image"]
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        made = draw(result, folder, plots=["quality"])
        assert [path.name for path in made.paths] == ["quality-image.png", "quality-image.svg"]
        contents.append([path.read_bytes() for path in made.paths])
    assert contents[0] == contents[1]
    png, svg = contents[0]
    assert png.startswith(b"\x89PNG\r\n")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    inches = wanted.get_size_inches()
    assert (width, height) == tuple(math.floor(side * DPI) for side in inches)
    assert b"a$b$" in svg
    assert b"~_c" in svg


@pytest.mark.slow
def test_values_that_are_no_numbers_do_not_stop_a_plot(tmp_path: Path):
    odd = rated(
        "odd", 10, math.nan, counts={"flops": 0, "traffic_bytes": None, "parameters": math.nan}
    )
    assert odd.latency is not None
    odd = replace(odd, latency=replace(odd.latency, interval_ms=(math.nan, math.nan)))
    made = draw(results(odd, rated("fine", 20, 30)), tmp_path, suffixes=(".png",))
    assert [path.name for path in made.paths] == [
        "quality-image.png", "cost-image.png", "roofline-cpu-image.png",
    ]  # fmt: skip


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "unifmir\[benchmark\]"'):
        draw(results(row()), tmp_path)


def test_unknown_plots_name_what_there_is(tmp_path):
    with pytest.raises(UnknownNameError, match="known: quality, cost, growth, roofline"):
        draw(results(row()), tmp_path, plots=["pie"])
    assert list(PLOTS) == ["quality", "cost", "growth", "roofline"]


def test_pyplot_keeps_no_figure():
    import matplotlib._pylab_helpers as helpers

    assert drawn()
    assert not helpers.Gcf.figs
