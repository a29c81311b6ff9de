"""Results as tables: what is shown, in which order, with how many digits, in every format."""

import csv
import io
import math
import re
from dataclasses import replace

import pytest

from tests.helpers.benchmark_results import (
    around,
    latency,
    quality_of,
    realistic,
    results,
    row,
    subject,
)
from unifmir.benchmarks.measure.results import (
    ColdStart,
    Energy,
    MemoryUse,
    Peak,
    Ratio,
    Results,
    Row,
)
from unifmir.benchmarks.report.derived_figures import ordered, peak_of, ranks, share_of_roof
from unifmir.benchmarks.report.tables.number_text import (
    fixed,
    significant,
    with_interval,
)
from unifmir.benchmarks.report.tables.result_tables import tables
from unifmir.benchmarks.report.tables.table_formats import rendered
from unifmir.benchmarks.report.tables.terminal_tables import terminal
from unifmir.benchmarks.report.tables.views import VIEWS
from unifmir.errors import UnknownNameError
from unifmir.metrics import METRICS
from unifmir.text_tables import escape_latex, escape_markdown

NAN = math.nan


def timed(model: str, median: float, low: float, high: float, **changes: object) -> Row:
    """A row of that median and interval."""
    measured = latency([median] * 3, interval_ms=(low, high), p90_ms=high, p99_ms=high + 1)
    return row(subject(model), latency=measured, **changes)


def small() -> Results:
    """Four rows: two that are tied, one untrusted, one that failed."""
    base = subject("unifmir_x").key
    return results(
        timed(
            "unifmir_x", 250.4, 247.0, 254.0,
            ratio=Ratio(base, 1.0, (1.0, 1.0), 1.0),
            cold=ColdStart(900.0, 300.0, 412.0),
            memory=MemoryUse(494_400_000, 300_000_000),
            energy=Energy(None, "no counter"),
            quality=quality_of(31.416, 0.8712, 0.0312, slope=0.981),
            same_picture={"max_abs_over_std": 3.14e-6, "psnr_db": 112.3},
        ),
        timed("care", 251.0, 248.2, 253.1, ratio=Ratio(base, 0.998, (0.985, 1.012), 1.0)),
        timed("fast & 100 %", 5.0712, 4.9, 5.2, problems=("31 % of the CPU was taken",)),
        row(subject("big|one"), latency=None, error="out of memory\nat 4 GB"),
    )  # fmt: skip


FOOTER = (
    "Example CPU 3.0 GHz, 8 cores, 32 GiB, Linux; torch 2.13.0, onnxruntime 1.31.1; rounds 12, "
    "threads 4, seed 0, tf32 off; unifmir benchmark --quick at commit abc1234, "
    "2026-01-02T03:04:05+00:00."
)
COST = """\
sr, image, 1x512x512
rank       model         runtime      precision  cold start, s  peak RSS, MiB  energy, J/Mpixel  parameters, M  GFLOPs  GBOPs  % of peak
1=         unifmir_x     onnxruntime  fp32               0.712            471             - [1]           1.00    2.00      -       0.89
1=         care          onnxruntime  fp32                   -              -                 -           1.00    2.00      -       0.89
† [2]      fast & 100 %  onnxruntime  fp32                   -              -                 -           1.00    2.00      -         44
error [3]  big|one       onnxruntime  fp32                   -              -                 -           1.00    2.00      -          -
† not ranked: these times cannot be trusted
[1] no energy: no counter
[2] 31 % of the CPU was taken
[3] out of memory at 4 GB"""  # noqa: E501 - as it is printed
MARKDOWN = r"""
**sr, image, 1x512x512**

| rank | model | runtime | precision | median [95 %], ms | p90, ms | p99, ms | times as fast [95 %] | Mpixel/s | % of peak |
| :-- | :-- | :-- | :-- | --: | --: | --: | --: | --: | --: |
| 1= | unifmir_x | onnxruntime | fp32 | 250 [247, 254] | 254 | 255 | 1 (baseline) | 1.047 | 0.89 |
| 1= | care | onnxruntime | fp32 | 251 [248, 253] | 253 | 254 | 0.998 [0.985, 1.012] | 1.044 | 0.89 |
| † [1] | fast & 100 % | onnxruntime | fp32 | 5.07 [4.90, 5.20] | 5.20 | 6.20 | - | 51.7 | 44 |
| error [2] | big\|one | onnxruntime | fp32 | - | - | - | - | - | - |

- † not ranked: these times cannot be trusted
- [1] 31 % of the CPU was taken
- [2] out of memory at 4 GB
"""  # noqa: E501 - as it is printed
LATEX = r"""
\begin{table}
\centering
\caption{sr, image, 1x512x512}
\begin{tabular}{@{}llllrrrrrrrl@{}}
\toprule
rank & model & runtime & precision & median [95 \%], ms & fitted PSNR, dB & fitted SSIM & fitted NRMSE & slope & max diff / std & unfitted PSNR to fp32, dB & images \\
\midrule
1= & unifmir\_x & onnxruntime & fp32 & 250 [247, 254] & 31.42 & 0.871 & 0.0312 & 0.981 & 3.1e-06 & 112 & 8 of simulated \\
1= & care & onnxruntime & fp32 & 251 [248, 253] & - & - & - & - & - & - & - \\
$\dagger$ [1] & fast \& 100 \% & onnxruntime & fp32 & 5.07 [4.90, 5.20] & - & - & - & - & - & - & - \\
error [2] & big\textbar{}one & onnxruntime & fp32 & - & - & - & - & - & - & - & - \\
\bottomrule
\end{tabular}
\par{\footnotesize $\dagger$ not ranked: these times cannot be trusted}
\par{\footnotesize [1] 31 \% of the CPU was taken}
\par{\footnotesize [2] out of memory at 4 GB}
\end{table}
"""  # noqa: E501 - as it is printed


def cells(result: Results, view: str = "latency") -> list[dict[str, str]]:
    """The first table, a dictionary a row."""
    table = tables(result, view)[0]
    return [dict(zip(table.columns, line, strict=True)) for line in table.rows]


def read_csv(result: Results) -> list[dict[str, str]]:
    """The lines of the CSV table."""
    return list(csv.DictReader(io.StringIO(rendered(result, "csv"))))


def test_plain_text_is_aligned_with_notes_and_footer():
    assert rendered(small(), "text", views=["cost"]) == f"{COST}\n\n{FOOTER}"


def test_what_happened_meanwhile_is_said_once_for_each_kind():
    busy = row(subject("a"), remarks=("others took 7% of it; busiest: x",))
    table = tables(results(busy, row(subject("b"), remarks=("others took 31% of it",))))[0]
    assert table.notes == ("of 2 of 2 rows: others took 7% of it; busiest: x",)
    assert [line[0] for line in table.rows] == ["1=", "1="]


def test_markdown_escapes_the_bars_of_names():
    assert rendered(small(), "markdown", views=["latency"]) == f"{MARKDOWN.strip()}\n\n{FOOTER}"


def test_latex_has_booktabs_rules_and_escaped_text():
    footer = f"\\noindent{{\\footnotesize {escape_latex(FOOTER)}}}"
    assert rendered(small(), "latex", views=["quality"]) == f"{LATEX.strip()}\n\n{footer}"


def test_latex_escapes_every_special_character():
    assert escape_latex(r"a_b & 5 % of $x #1 {y} \z ~ ^ <>|") == (
        r"a\_b \& 5 \% of \$x \#1 \{y\} \textbackslash{}z \textasciitilde{} \textasciicircum{} "
        r"\textless{}\textgreater{}\textbar{}"
    )


def test_markdown_escapes_what_would_be_formatting():
    assert escape_markdown("a_b _c_ *d* `e` <f>|g") == r"a_b \_c\_ \*d\* \`e\` \<f\>\|g"


def test_a_terminal_gets_colours_and_a_pipe_none():
    plain = terminal(small(), views=["latency"], width=160, colour=False)
    coloured = terminal(small(), views=["latency"], width=160, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[33m" in coloured  # the rows that are not ranked
    escapes = re.compile(r"\x1b\[[0-9;]*m")
    stripped = [line.rstrip() for line in escapes.sub("", coloured).splitlines()]
    assert stripped == plain.splitlines()
    assert "250 [247, 254]" in plain
    assert "[1] 31 % of the CPU was taken" in plain


@pytest.mark.parametrize("width", [118, 100, 60])
def test_a_narrow_terminal_folds_cells_and_loses_no_digit(width):
    table = tables(small())[0]
    column = table.columns.index("median [95 %], ms")
    text = terminal(small(), views=["latency"], width=width, colour=False)
    assert max(map(len, text.splitlines())) <= width
    for digits in re.findall(r"[\d.]+", " ".join(line[column] for line in table.rows)):
        assert digits in text
    assert ("250 [247, 254]" in text) == (width == 118)


def test_csv_gives_every_number_back():
    first, *_, failed = read_csv(small())
    given = small().rows[0]
    assert given.latency is not None
    assert given.quality is not None
    assert first["key"] == given.subject.key
    assert float(first["latency.median_ms"]) == given.latency.median_ms
    assert (float(first["latency.low_ms"]), float(first["latency.high_ms"])) == (247.0, 254.0)
    assert int(first["latency.rounds"]) == 3
    assert float(first["quality.psnr_db"]) == given.quality["psnr_db"]
    assert float(first["same_picture.max_abs_over_std"]) == 3.14e-6
    assert float(first["counts.flops"]) == given.counts["flops"]
    assert first["energy.joules_per_megapixel"] == ""
    assert first["energy.source"] == "no counter"
    assert first["ran.tf32"] == "false"
    assert failed["error"] == "out of memory\nat 4 GB"
    assert failed["latency.median_ms"] == failed["rank"] == ""


def test_csv_has_one_line_per_row_and_the_same_columns_for_all():
    result = realistic()
    lines = read_csv(result)
    assert [line["key"] for line in lines] == [row.subject.key for row in result.rows]
    assert all(None not in line and None not in line.values() for line in lines)
    assert rendered(results(), "csv") == ""


def test_a_new_metric_has_columns_without_being_named():
    judged = results(row(quality=quality_of(31.0, mean_error=1.26)))
    with METRICS.extended("mean_error", "tests.toys.metric:MEAN_ERROR"):
        assert cells(judged, "quality")[0]["mean error"] == "1.3"
        assert read_csv(judged)[0]["quality.mean_error"] == "1.26"
    assert "mean error" not in cells(judged, "quality")[0]


def test_numbers_that_are_missing_are_dashes_in_tables():
    measured = latency([1.0], median_ms=NAN, interval_ms=(NAN, NAN), p90_ms=NAN, p99_ms=math.inf)
    quality = quality_of(NAN, NAN)
    odd = row(latency=measured, quality=quality, counts={"flops": None, "bops": NAN})
    judged = row(subject("judged"), quality=quality_of(30.0))

    def of_odd(view: str) -> dict[str, str]:
        shown = cells(results(odd, judged), view)
        return next(line for line in shown if line["model"] != "judged")

    for view in VIEWS:
        for name, cell in of_odd(view).items():
            assert "nan" not in cell, name
            assert "inf" not in cell, name
    assert of_odd("quality")["fitted PSNR, dB"] == "-"
    assert read_csv(results(odd))[0]["quality.psnr_db"] == "nan"


def test_columns_of_a_device_appear_only_when_a_row_has_them():
    assert "device, ms" not in cells(small())[0]
    on_gpu = row(
        subject(device="cuda:0"), latency=around(5.0, rounds=9), memory=MemoryUse(1, 1, 2**30)
    )
    assert on_gpu.latency is not None
    on_gpu = replace(on_gpu, latency=replace(on_gpu.latency, device_ms=4.0, copy_ms=0.5))
    shown = cells(results(row(), on_gpu))
    assert shown[0]["device, ms"] == "4.000"
    assert shown[0]["copies, ms"] == "0.500"
    assert [line["device"] for line in shown] == ["cuda:0", "-"]
    assert cells(results(row(), on_gpu), "cost")[0]["device memory, MiB"] == "1020"


def test_times_of_a_second_and_more_are_in_seconds():
    result = results(timed("a", 2500.0, 2400.0, 2600.0), timed("b", 1200.0, 1190.0, 1210.0))
    assert [line["median [95 %], s"] for line in cells(result)] == [
        "1.200 [1.190, 1.210]",
        "2.50 [2.40, 2.60]",
    ]


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (123.456, (100.0, 147.0), "120 [100, 150]"),
        (123.456, (122.0, 124.9), "123.5 [122.0, 124.9]"),
        (123.456, (119.0, 127.0), "123 [119, 127]"),
        (0.0123456, (0.012, 0.0126), "0.0123 [0.0120, 0.0126]"),
        (1234.5678, (1234.5678, 1234.5678), "1235 [1235, 1235]"),
        (5.0, (NAN, NAN), "5.00"),
        (0.0, (0.0, 0.0), "0 [0, 0]"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_supports(value, interval, shown):
    assert with_interval(value, interval) == shown


def test_numbers_without_an_interval_have_three_digits():
    assert [significant(v) for v in (12345.0, 0.98765, 0.0, -2.5, None, NAN)] == [
        "12300", "0.988", "0", "-2.50", "-", "-",
    ]  # fmt: skip
    assert fixed(-0.001, 1) == "0.0"


def test_rows_whose_intervals_overlap_share_a_rank_and_the_next_counts_them():
    rows = [timed("c", 30, 28, 32), timed("a", 10, 9, 11), timed("b", 10.5, 10, 12)]
    assert list(ranks(rows).values()) == [1, 1, 3]
    assert [line["rank"] for line in cells(results(*rows))] == ["1=", "1=", "3"]


def test_a_chain_of_overlaps_is_not_one_tie():
    rows = [timed("a", 10, 9, 11), timed("b", 11, 10, 13), timed("c", 13, 12, 14)]
    assert list(ranks(rows).values()) == [1, 1, 2]


def test_a_wide_interval_does_not_rank_a_row_before_one_with_a_smaller_median():
    rows = [timed("a", 10, 9, 11), timed("b", 20, 19, 21), timed("c", 25, 8, 90)]
    assert list(ranks(rows).values()) == [1, 2, 2]


def test_ratios_decide_where_the_baseline_is_the_same():
    base = subject("base").key
    rows = [
        timed("a", 10, 8, 13, ratio=Ratio(base, 2.0, (1.9, 2.1), 2.0)),
        timed("b", 11, 8, 13, ratio=Ratio(base, 1.7, (1.6, 1.8), 1.7)),
    ]
    assert list(ranks(rows).values()) == [1, 2]
    other = replace(rows[1], ratio=Ratio("another", 1.7, (1.6, 1.8), 1.7))
    assert list(ranks([rows[0], other]).values()) == [1, 1]


def test_untrusted_rows_come_last_and_errors_after_them():
    assert [row.subject.model for row in ordered(small().rows)] == [
        "unifmir_x", "care", "fast & 100 %", "big|one",
    ]  # fmt: skip
    assert set(ranks(small().rows)) == {row.subject.key for row in small().rows[:2]}


def test_control_characters_of_a_name_never_reach_the_terminal():
    result = results(row(subject("a\x1b[31mb\nc")))
    for form in ("text", "markdown", "latex"):
        assert "\x1b" not in rendered(result, form)
        assert "b c" in rendered(result, form)


def test_storage_in_fp16_is_held_to_the_peak_of_fp32_arithmetic():
    peaks = (Peak("cpu", "fp32", 100.0, 10.0), Peak("cpu", "fp16", 400.0, 10.0))
    held = {
        precision: peak_of(row(subject(precision=precision)), peaks)
        for precision in ("fp32", "fp16", "fp16-compute", "bf16-compute")
    }
    assert held == {
        "fp32": peaks[0], "fp16": peaks[0], "fp16-compute": peaks[1], "bf16-compute": None,
    }  # fmt: skip
    # 2 GFLOP in 100 ms are 20 GFLOP/s; 20 FLOP/byte times 10 GB/s would allow 200, the peak 100.
    assert share_of_roof(row(latency=latency([100.0])), peaks) == pytest.approx(0.2)


def test_an_interrupted_run_is_said_to_be_incomplete():
    assert "INCOMPLETE" in rendered(replace(small(), complete=False), "text")


def test_unknown_views_and_formats_name_what_there_is():
    with pytest.raises(UnknownNameError, match="did you mean 'latency'"):
        tables(small(), "latencies")
    with pytest.raises(UnknownNameError, match="known: text, markdown, latex, csv"):
        rendered(small(), "html")


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_task_can_be_chosen(view):
    chosen = tables(realistic(), view, task="volume")
    assert chosen
    assert all(table.title.startswith("volume, ") for table in chosen)
