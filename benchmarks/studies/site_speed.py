"""How fast a browser restores on the static site, in turn with Python on the same images.

    python -m benchmarks.studies.site_speed [--rounds 5] [TASK...]

makes a site, serves it by Python's own server, opens it in Chromium, and writes
benchmarks/results/site-speed.json. A round restores the sample image of a task on the page, by the
same ONNX file in ONNX Runtime, and by the runtime that `unifmir restore` takes, one after another,
all with as many threads; the figures are medians of the rounds' ratios. Beside them: the largest
difference of the page's file from what Python makes, and of one more restoration, which is traced,
how long the page's own thread is busy at a time: by the clock, and computing, which other programs
of the machine do not change.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from tests.helpers import browser as web
from tests.helpers import static_site
from unifmir.benchmarks.studies.page_main_thread import OBSERVER, computed, figures
from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS, multitask_parts
from unifmir.text_tables import markdown_rows
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.site.building import build_site

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

WINDOW: "ViewportSize" = {"width": 1280, "height": 800}
WAIT_MS = 600_000


def main() -> None:
    """Make a site, measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("tasks", nargs="*", default=list(multitask_parts()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "site"
        build_site(folder, page=web.PAGE.parent, models=[EMBEDDED], tasks=given.tasks)
        with static_site.served(folder) as (address, _), web.chromium() as browser:
            context = browser.new_context(viewport=WINDOW)
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(OBSERVER)
            page = context.new_page()
            page.goto(address)
            rows = [measured(page, folder, task, given.rounds) for task in given.tasks]
    words = " ".join(["python -m benchmarks.studies.site_speed", f"--rounds {given.rounds}"])
    write_result("site-speed.json", {**provenance(words), "rounds": given.rounds, "tasks": rows})


def measured(page: "Page", folder: Path, task: str, rounds: int) -> dict[str, Any]:
    """Rounds of one task, and what came of them."""
    page.reload()
    page.get_by_role("button", name=TASKS[task].title).click()
    page.wait_for_selector(".contrast")
    report, result = on_page(page)
    threads = report["ran"]["threads"]
    (file,) = (folder / "models" / EMBEDDED).glob(f"{task}.*.onnx")
    choices = {
        "onnxruntime": ModelChoice(file, task, threads=threads, device="cpu"),
        "native": ModelChoice(EMBEDDED, task, threads=threads, device="cpu"),
    }
    predictors = {name: predictor_for(choice) for name, choice in choices.items()}
    expected = in_python(predictors["native"], task)[1]
    in_python(predictors["onnxruntime"], task)
    ratios: dict[str, list[float]] = {name: [] for name in predictors}
    for _ in range(rounds):
        report, _ = on_page(page, again=True)
        for name, predictor in predictors.items():
            ratios[name].append(in_python(predictor, task)[0] / report["seconds"])
    busy = traced(page, task)
    return {
        "task": task,
        "shape": list(TASKS[task].sample.shape),
        "threads": threads,
        "runtime": predictors["native"].ran["runtime"],
        **{f"times_as_fast_as_{name}": spread(found) for name, found in ratios.items()},
        "difference_of_range": float(np.abs(result - expected).max() / np.ptp(expected)),
        **{name: busy[name] for name in ("long_tasks", "longest_ms", "longest_computing_ms")},
    }


def traced(page: "Page", task: str) -> dict[str, Any]:
    """How long the page's own thread is busy at a time in a restoration."""
    browser = page.context.browser
    assert browser is not None
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        browser.start_tracing(page=page, path=trace, categories=["toplevel", "blink.user_timing"])
        page.evaluate("(name) => void performance.mark(`part:${name}`)", task)
        on_page(page, again=True)
        page.evaluate("() => void performance.mark('part:end')")
        marks = page.evaluate(
            "performance.getEntriesByType('mark').filter((one) => one.name.startsWith('part:'))"
            ".map((one) => [one.name.slice(5), one.startTime])"
        )
        observed = page.evaluate("longTasks")
        browser.stop_tracing()
        (row,) = figures(marks, observed, computed(json.loads(trace.read_text("utf-8"))))
    return row


def on_page(page: "Page", *, again: bool = False) -> tuple[dict[str, Any], np.ndarray]:
    """Press the button: the report and the picture that can be downloaded then."""
    page.get_by_role("button", name="Restore again" if again else "Restore", exact=True).click()
    page.locator(".progress").wait_for()
    page.locator(".outcome").wait_for()
    found = []
    for name in ("Report", "Download TIFF"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name).click()
        found.append(waiting.value.path())
    return json.loads(found[0].read_text("utf-8")), tifffile.imread(found[1])


def in_python(predictor: Predictor, task: str) -> tuple[float, np.ndarray]:
    """Seconds and result of the sample image."""
    options = Options(z_factor=TASKS[task].sample.z_factor)
    image = sample(task).image
    began = time.perf_counter()
    restored = restore_array(image, predictor, options=options)
    return time.perf_counter() - began, restored


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, least and largest of the rounds."""
    return {
        "median": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "largest": round(max(ratios), 3),
    }


def site_speed_table(document: dict[str, Any]) -> str:
    """The table of docs/zoo-site.md."""
    columns = (
        *("task", "image", "times as fast as ONNX Runtime", "times as fast as `unifmir restore`"),
        *("largest difference, of the range", "page's thread computes at a time, at most, ms"),
    )
    rows = [
        (
            row["task"],
            "x".join(map(str, row["shape"])),
            *(_shown(row[f"times_as_fast_as_{name}"]) for name in ("onnxruntime", "native")),
            f"{row['difference_of_range']:.1e}",
            f"{row['longest_computing_ms']:g}",
        )
        for row in document["tasks"]
    ]
    (threads,) = {row["threads"] for row in document["tasks"]}
    note = (
        f"Medians of {document['rounds']} rounds, least and largest in brackets; {threads} threads "
        f"in all of them, no WebGPU. {origin(document)}"
    )
    return f"{markdown_rows(columns, rows)}\n\n{note}"


def _shown(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['least']:.2f} to {found['largest']:.2f})"


if __name__ == "__main__":
    main()
