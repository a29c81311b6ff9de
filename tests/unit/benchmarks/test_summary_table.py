"""One table a task: each row once, at most 80 characters, the caller's first, and what to use."""

from dataclasses import replace
from typing import Any

import pytest

from tests.helpers.benchmark_results import (
    TASKS,
    latency,
    quality_of,
    results,
    row,
    subject,
)
from unifmir.benchmarks.measure.results import MemoryUse, Ratio, Results, Row
from unifmir.benchmarks.report.tables.fitted_lines import fitted
from unifmir.benchmarks.report.tables.summary_table import (
    own_models,
    summary_tables,
    summary_text,
)
from unifmir.benchmarks.report.tables.table_formats import rendered
from unifmir.benchmarks.report.tables.terminal_tables import terminal
from unifmir.reference import REFERENCES
from unifmir.text_tables import TextTable

MINE = "my-model.safetensors"
PLAN = {"models": [MINE, "care-2d", "dfcan"], "target": 0.08}


def timed(model: str, ms: float, times: float, *, task: str = "sr", **changes: Any) -> Row:
    """A row of three starts, known to 1 %, against eager's row of the caller's model."""
    how = {"runtime": changes.pop("runtime", "onnxruntime"), "workload": "patch"}
    how["precision"] = changes.pop("precision", "fp32")
    about = subject(model, task, input_shape=(1, 1, 128, 128), **how)
    base = subject(
        changes.pop("base", MINE),
        task,
        input_shape=(1, 1, 128, 128),
        runtime="eager",
        workload="patch",
    )
    values = {
        "latency": latency([ms] * 6, interval_ms=(0.99 * ms, 1.01 * ms), starts=(2, 2, 2)),
        "ratio": Ratio(base.key, times, (0.99 * times, 1.01 * times), times),
        "memory": MemoryUse(471 * 2**20, 1),
        "counts": {"parameters": 1_564_973, "flops": 5.67e10, "bops": 2.9e13, "file_bytes": 6.7e6},
        **changes,
    }
    return row(about, **values)


def run(**changes: Any) -> Results:
    """A run of the caller's model in two runtimes beside two reference models."""
    rows = (
        timed(MINE, 100.0, 1.0, runtime="eager", quality=quality_of(31.42)),
        timed(
            MINE, 47.6, 2.1, quality=quality_of(31.42),
            same_picture={"psnr_db": 98.2, "passed": True, "identical": False},
        ),
        timed("care-2d", 4.4, 22.7),
        timed("dfcan", 470.0, 0.213),
    )  # fmt: skip
    return replace(results(*rows, settings={"plan": PLAN, "threads": 1}), **changes)


def test_a_table_holds_each_row_once_with_the_callers_first():
    text = summary_text(run())
    lines = text.splitlines()
    assert lines[0] == "== sr, patch 1x1x128x128: ratios ±8% after 3 starts"
    assert " ".join(lines[1].split()) == "model runtime ms x MP/s MiB Mpar GFLOP GBOP MB dB"
    assert " ".join(lines[2].split()) == (
        "*my-model ort fp32 47.6±0.5 2.10 0.34 471 1.56 56.7 29000 6.70 31.4"
    )
    assert lines[3].split()[:5] == ["*my-model", "eager", "fp32", "100±1", "base"]
    assert [line.split()[0] for line in lines[4:6]] == ["care-2d", "dfcan"]
    assert lines[6] == "use onnxruntime in fp32: 2.1 times eager, same picture at 98 dB"
    assert "ort: onnxruntime" in " ".join(text.split())


def test_five_tasks_take_less_than_sixty_lines_of_eighty_characters():
    rows = [
        timed(model, ms, ms / 10, task=task, runtime=runtime, quality=quality_of(31.4))
        for task in TASKS
        for model, runtime, ms in (
            (MINE, "eager", 10.0),
            (MINE, "onnxruntime", 1234.5),
            ("gvtnets-projection", "onnxruntime", 0.1234),
            ("care-projection", "onnxruntime", 56789.0),
        )
    ]
    text = summary_text(results(*rows, settings={"plan": PLAN}))
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("*") == 2 * len(TASKS) + 1  # and once to say what it means


QUICK = {
    "sr": ("care-2d", "dfcan", "enlcn"),
    "denoise": ("care", "care-2d", "gvtnets", "unet"),
    "isotropic": ("care", "care-2d"),
    "projection": ("care-projection", "gvtnets-projection"),
    "volume": ("vcd-net",),
}
"""Reference models of `--quick` without a model."""


def test_a_quick_run_of_every_default_row_with_words_fits_a_screen():
    """Shapes as they are, and as many untrusted rows as one in five."""
    fresh = {"fresh": True, "counts": {"parameters": 19_016_599, "flops": 7.8e10, "bops": 4e13}}
    wide = {"word": "wide", "problems": ("x",)}
    near = {"word": "near", "remarks": ("x",), "same_picture": {"psnr_db": 118.7}}
    same = {"same_picture": {"psnr_db": 93.0}, "quality": quality_of(31.4)}
    name, rows = "unifmir-small-sim", []
    for task, others in QUICK.items():
        eager = timed(name, 1000.0, 1.0, task=task, runtime="eager", base=name, **same)
        own = [
            timed(name, 999.0, 1.0, task=task, base=name, **same, **wide),
            timed(name, 357.0, 2.8, task=task, runtime="native", base=name, **same),
            timed(
                name, 264.0, 3.5, task=task, runtime="native-bf16", precision="bf16-compute",
                base=name, **same, counts={"parameters": 76_700, "flops": 2.88e10},
            ),
        ]  # fmt: skip
        rows += [eager, *own]
        words: dict[str, dict[str, Any]] = {"unet": near, "dfcan": wide}
        rows += [
            timed(one, 1050.0, 0.95, task=task, base=name, **fresh, **words.get(one, {}))
            for one in others
        ]
    for at, one in enumerate(rows):
        if one.subject.task == "denoise" and one.subject.model in ("care-2d", "unet"):
            flat = replace(one.subject, input_shape=(8, 1, 160, 128))
            rows[at] = replace(one, subject=flat)
    plan = {"models": [name, *REFERENCES], "target": 0.008}
    text = summary_text(results(*rows, settings={"plan": plan, "threads": 1}))
    lines = text.splitlines()
    ran = ("eager", "native", "native-bf16", "ort", "onnxruntime")
    found = [line for line in lines if line[0] in "* " and line.split()[1:2][0] in ran]
    assert len(found) == 5 * 4 + 12
    assert len(lines) < 60
    assert max(map(len, lines)) <= 80
    assert sum(line.split()[-1] == "wide" for line in lines if line) == 6
    assert text.count("use native-bf16: 3.5 times eager, same picture at 93 dB") == 5
    told = " ".join(text.split())
    assert "fresh: untrained; `unifmir zoo show care-2d` says how to train it." in told
    assert "mixed: some in fp32, uncounted" in told


def test_two_long_names_of_the_same_start_stay_two():
    names = ("unifmir-denoise-planaria", "unifmir-denoise-tribolium")
    rows = [
        timed(
            one,
            264.0 + 1e3 * at,
            3.5,
            task="denoise",
            runtime=runtime,
            word="differs",
            same_picture={"psnr_db": 54.0},
        )
        for at, one in enumerate(names)
        for runtime in ("eager", "native-bf16")
    ]
    text = summary_text(results(*rows, settings={"plan": {"models": list(names)}}))
    lines = text.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("*")]
    assert len(shown) == 4
    assert len(set(shown)) == 2
    assert {name[-4:] for name in shown} == {"aria", "lium"}
    assert all("…" in name for name in shown)
    # Below the table they are whole, and not broken at a hyphen.
    assert all(any(name in line for line in lines) for name in names)
    assert max(map(len, lines)) <= 80


def test_names_that_both_ends_leave_alike_have_more_room():
    names = [f"*unifmir-denoise-{middle}-of-the-year" for middle in ("planaria", "tribolium")]
    table = TextTable(
        columns=("model", "runtime"), rows=tuple((one, "eager") for one in names), words=(True,) * 2
    )
    lines, _ = fitted(table, 20)
    assert lines[1] != lines[2]


def test_no_number_loses_a_digit_for_want_of_space():
    long = timed("a-model-with-a-name-that-no-table-has-room-for", 47.6, 2.1, word="differs")
    (_, _, line, *_) = summary_text(results(long)).splitlines()
    assert len(line) <= 80
    assert line.split()[1:3] == ["ort", "fp32"]
    assert "47.6±0.5" in line
    assert "29000" in line


def test_fresh_weights_have_a_word_for_their_quality_and_the_footer_says_how_to_train_them():
    rows = tuple(replace(one, fresh=one.subject.model == "care-2d") for one in run().rows)
    text = summary_text(run(rows=rows))
    (line,) = (line for line in text.splitlines() if line.startswith(" care-2d"))
    assert line.split()[-1] == "fresh"
    told = " ".join(text.split())
    assert "fresh: untrained; `unifmir zoo show care-2d` says how to train it." in told
    assert "fresh" not in summary_text(run())


def test_where_every_row_failed_no_heading_is_explained():
    rows = tuple(replace(one, latency=None, ratio=None, error="gone") for one in run().rows)
    last = summary_text(run(rows=rows)).rpartition("\n== ")[2]
    assert " ".join(last.split()).startswith("* yours. Example CPU 3.0 GHz, threads 1")


def test_columns_without_any_cell_are_left_out():
    (table,) = summary_tables(run())
    assert table.columns[-1] == "dB"
    bare = run(rows=tuple(replace(one, quality=None, memory=None) for one in run().rows))
    (table,) = summary_tables(bare)
    assert "dB" not in table.columns
    assert "MiB" not in table.columns
    # Nor are they explained.
    assert "MiB: peak memory; Mpar:" in " ".join(summary_text(run()).split())
    assert "dB: fitted PSNR" in " ".join(summary_text(run()).split())
    told = " ".join(summary_text(bare).split())
    assert "MiB" not in told
    assert "fitted PSNR" not in told
    assert "Mpar: million parameters" in told


def test_what_was_left_out_is_said_where_nobody_named_the_runtimes():
    left_out = ["native is not here (`unifmir doctor`)"]
    for named, told in (([], False), (["onnxruntime"], True)):
        plan = {**PLAN, "reference_runtimes": named}
        text = summary_text(run(settings={"plan": plan, "left_out": left_out}))
        assert (
            "Left out: native is not here (`unifmir doctor`)." in " ".join(text.split())
        ) is told


def test_bit_operations_that_are_not_known_have_a_word():
    counts = {"parameters": 76_700, "flops": 2.88e10, "file_bytes": 340_000}
    rows = (*run().rows, timed(MINE, 26.4, 3.5, runtime="native-bf16", counts=counts))
    (table,) = summary_tables(run(rows=rows))
    shown = {row[1]: row[table.columns.index("GBOP")] for row in table.rows}
    assert shown["native-bf16 fp32"] == "mixed"
    assert shown["eager fp32"] == "29000"
    assert "mixed" not in summary_text(run())


@pytest.mark.parametrize(
    ("changes", "word", "note"),
    [
        (
            {"word": "differs", "problems": ("x",), "same_picture": {"psnr_db": 54.4}},
            "differs",
            "differs: my-model.safetensors onnxruntime fp32 54 dB: not the picture of fp32 eager",
        ),
        (
            {"word": "near", "remarks": ("x",), "same_picture": {"psnr_db": 112.0}},
            "near",
            "near: my-model.safetensors onnxruntime fp32 112 dB: misses fp32's bar by a hair",
        ),
        (
            {"word": "wide", "problems": ("x",)},
            "wide",
            "wide: my-model.safetensors onnxruntime fp32 ±1%: too wide for such a ratio",
        ),
        (
            {"word": "moved", "problems": ("CUDA did not load",)},
            "moved",
            "moved: my-model.safetensors onnxruntime fp32: CUDA did not load",
        ),
        ({"latency": None, "error": "no memory"}, "failed", "failed: my-model.safetensors"),
        ({"problems": ("busy",)}, "doubt", "doubt: my-model.safetensors onnxruntime fp32: busy"),
    ],
)
def test_what_is_wrong_has_a_word_and_its_figure_below(changes, word, note):
    rows = run().rows
    text = summary_text(run(rows=(rows[0], replace(rows[1], **changes), *rows[2:])))
    lines = text.splitlines()
    # The caller's rows stay first, whatever is wrong with them.
    assert {line.split()[0] for line in lines[2:4]} == {"*my-model"}
    assert [line for line in lines[2:4] if line.endswith(word)]
    assert note in " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 80


def advice(*rows: Row) -> str:
    """The sentence below the table."""
    (table,) = summary_tables(run(rows=rows))
    return table.notes[-1]


def test_what_is_another_picture_is_not_what_to_use():
    eager, fast, *others = run().rows
    liar = replace(fast, word="differs", problems=("another picture",))
    assert advice(eager, liar, *others) == (
        "use eager in fp32: nothing else that is trusted was faster"
    )
    both = replace(eager, word="moved", problems=("elsewhere",))
    assert advice(both, liar).startswith("no way to run my-model.safetensors came out trusted")


def test_what_is_faster_for_sure_is_what_to_use_however_wide():
    eager, fast, *_ = run().rows
    assert fast.ratio is not None
    wide = replace(fast, word="wide", problems=("its interval is too wide",))
    sure = replace(wide, ratio=replace(fast.ratio, ratio=2.8, interval=(2.24, 3.5)))
    assert advice(eager, sure) == (
        "use onnxruntime in fp32: at least 2.2 times eager, same picture at 98 dB"
    )
    unsure = replace(wide, ratio=replace(fast.ratio, ratio=1.3, interval=(0.9, 1.9)))
    assert advice(eager, unsure).startswith("use eager in fp32: nothing else")
    liar = replace(sure, problems=(*wide.problems, "another picture"))
    assert advice(eager, liar).startswith("use eager in fp32: nothing else")


def test_a_runtime_that_waits_is_not_what_to_use():
    eager, fast, *_ = run().rows
    assert advice(eager, replace(fast, word="waits", remarks=("sleeps",))).startswith("use eager")


def test_a_run_without_a_row_says_so():
    assert summary_text(run(rows=())) == "no row was measured"
    interrupted = "no row was measured: the run was interrupted; the same command goes on"
    assert summary_text(run(rows=(), complete=False)) == interrupted


def test_what_is_faster_by_little_is_not_told_as_once():
    rows = [one for one in run().rows if one.subject.runtime == "eager"]
    little = timed(MINE, 96.0, 1.04, same_picture={"identical": True})
    (table,) = summary_tables(run(rows=(*rows, little)))
    assert table.notes[-1].startswith("use onnxruntime in fp32: 1.04 times eager, the same")


def test_what_is_no_faster_for_sure_is_not_called_faster():
    eager, fast, *_ = run().rows
    equal = replace(fast, ratio=replace(fast.ratio, ratio=1.01, interval=(0.97, 1.05)))  # type: ignore[type-var]  # it has one
    assert advice(eager, equal) == (
        "use onnxruntime in fp32: no faster than eager for sure (1.01 ±4%), same picture at 98 dB"
    )


def test_the_title_says_whether_the_target_or_the_time_ended_it():
    for target, told in ((0.005, "0.5%"), (0.0001, "0.01%")):
        (table,) = summary_tables(run(settings={"plan": {**PLAN, "target": target}}))
        assert table.title == (f"sr, patch 1x1x128x128: time spent at ±1%, wanted ±{told}")
    for target, told in ((0.08, "8%"), (5.0, "500%")):
        (table,) = summary_tables(run(settings={"plan": {**PLAN, "target": target}}))
        assert table.title == f"sr, patch 1x1x128x128: ratios ±{told} after 3 starts"


@pytest.mark.parametrize(
    ("plan", "more"),
    [
        ({"models": [MINE]}, "--runtime adds others"),
        ({"artifacts": [MINE]}, "--model with its checkpoint adds others"),
    ],
)
def test_the_only_row_of_a_model_says_what_adds_others(plan, more):
    alone = timed(MINE, 100.0, 1.0, runtime="eager")
    (table,) = summary_tables(run(rows=(alone,), settings={"plan": plan}))
    assert table.notes == (f"eager in fp32 is all that was measured of {MINE}; {more}",)


def test_where_only_the_baseline_was_measured_no_ratio_is_said_to_be_known():
    alone = timed(MINE, 100.0, 1.0, runtime="eager")
    failed = replace(timed(MINE, 47.6, 2.1), latency=None, ratio=None, error="no runtime")
    (table,) = summary_tables(run(rows=(alone, failed)))
    assert table.title == "sr, patch 1x1x128x128"


def test_models_that_are_no_references_are_the_callers():
    assert own_models(run()) == (MINE,)
    only_references = run(settings={"plan": {"models": ["care-2d", "dfcan"]}})
    assert own_models(only_references) == ("care-2d",)
    assert own_models(run(settings={})) == (MINE,)


def test_every_format_has_it_and_a_terminal_shows_whose_it_is():
    assert "| *my-model" in rendered(run(), "markdown") or "| \\*my-model" in rendered(
        run(), "markdown"
    )
    assert r"\toprule" in rendered(run(), "latex")
    coloured = terminal(run(), width=80, colour=True)
    assert "\x1b[32m*my-model" in coloured
    assert terminal(run(), width=20, colour=False) == summary_text(run())
