"""How long the web page's own thread is busy at a time, while a large stack is looked at.

    python -m benchmarks.studies.page_main_thread [--page FOLDER --as NAME]

opens a stack of 64 x 1024 x 1024 pixels of 16 bits in Chromium, does with it what the page lets a
user do, and writes benchmarks/results/page-main-thread.json. A task that holds the thread for more
than 50 ms is one that a user may feel; the browser counts them (PerformanceObserver, `longtask`).
Its trace says of each task how long it computed, which other programs of the machine do not change.

FOLDER is another build of the page, NAME what its row is called; rows of other names stay. A result
comes from a stand-in of the model: what is measured is the page.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.helpers import browser as web
from tests.helpers.running_server import running
from unifmir.benchmarks.measure.benchmark_run import commit
from unifmir.benchmarks.studies.main_thread_table import LONG_MS
from unifmir.benchmarks.studies.result_files import RESULTS, provenance, write_result

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULT = "page-main-thread.json"
SHAPE = (64, 1024, 1024)
SETTLE_MS = 700
TIMES = 16
"""Steps of a scrubber or an arrow key in each part."""
WAIT_MS = 240_000
JOB = """
import json, shutil, sys
order = json.loads(sys.stdin.buffer.readline())
shutil.copyfile({result!r}, order["target"])
open(order["report"], "w").write("{{}}")
print(json.dumps({{"event": "done"}}), flush=True)
"""
OBSERVER = """
window.longTasks = []
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) longTasks.push([one.startTime, one.duration])
}).observe({ type: 'longtask', buffered: true })
"""


@dataclass(frozen=True)
class Part:
    """A part of what a user does."""

    name: str
    do: Callable[["Page"], None]


def main() -> None:
    """Measure one build of the page, and write its row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=web.PAGE.parent)
    parser.add_argument("--as", dest="name", default="now")
    parser.add_argument("--commit", default=None, help="of FOLDER, where it is not this one")
    given = parser.parse_args()
    path = RESULTS / RESULT
    pages = json.loads(path.read_text("utf-8"))["pages"] if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder, web.chromium() as browser:
        pages[given.name] = {
            "commit": given.commit or commit(),
            "chromium": browser.version,
            "parts": measured(Path(folder), given.page, browser),
        }
    document = provenance("python -m benchmarks.studies.page_main_thread")
    write_result(RESULT, {**document, "shape": SHAPE, "dtype": "uint16", "pages": pages})


def measured(folder: Path, page: Path, browser: "Browser") -> list[dict[str, Any]]:
    """Figures of each part, for a build of the page."""
    source, result = folder / "stack.tif", folder / "result.tif"
    values = np.random.default_rng(0).integers(300, 600, SHAPE, np.uint16)
    for target, image in ((source, values), (result, (values // 2 + 200).astype(np.uint16))):
        tifffile.imwrite(target, image, imagej=True, metadata={"axes": "ZYX"})
    del values
    trace = folder / "trace.json"
    command = (sys.executable, "-I", "-c", JOB.format(result=str(result)))
    with (
        pytest.MonkeyPatch.context() as patch,
        running(folder / "f", patch, page=page, command=command) as address,
        shown(browser, address) as window,
    ):
        browser.start_tracing(page=window, path=trace, categories=["toplevel", "blink.user_timing"])
        for part in parts(source):
            window.evaluate("(name) => void performance.mark(`part:${name}`)", part.name)
            part.do(window)
            window.wait_for_timeout(SETTLE_MS)
        window.evaluate("() => void performance.mark('part:end')")
        marks = window.evaluate(
            "performance.getEntriesByType('mark').filter((one) => one.name.startsWith('part:'))"
            ".map((one) => [one.name.slice(5), one.startTime])"
        )
        observed = window.evaluate("longTasks")
        browser.stop_tracing()
    return figures(marks, observed, computed(json.loads(trace.read_text("utf-8"))))


@contextmanager
def shown(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page in a window, with its images at the start."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(OBSERVER)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".welcome button:enabled")
    page.wait_for_timeout(SETTLE_MS)
    yield page
    context.close()


def parts(source: Path) -> Iterator[Part]:
    """Parts of what a user does, in turn."""
    yield Part("open", lambda page: web.opened(page, source))
    yield Part("slices", scrubbed)
    yield Part("zoom and move", lambda page: pressed(page, "+", "ArrowLeft", "ArrowUp"))
    yield Part("contrast", contrasted)
    yield Part("line profile", profiled)
    for section in ("xz", "yz"):
        yield Part(f"{section} sections", partial(sectioned, section=section))
    yield Part("result", restored)
    yield Part("slices of both", lambda page: sectioned(page, "xy"))
    yield Part("difference", compared)
    yield Part("difference of xz sections", lambda page: sectioned(page, "xz"))


def scrubbed(page: "Page") -> None:
    """Go through planes, each shown before the next."""
    pressed(page, *"." * TIMES)


def pressed(page: "Page", *keys: str) -> None:
    """Press keys with the picture in focus."""
    page.get_by_role("application").focus()
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(80)


def contrasted(page: "Page") -> None:
    """Move the white point."""
    white = page.get_by_role("slider", name="White point")
    white.focus()
    for _ in range(TIMES):
        white.press("ArrowLeft")


def profiled(page: "Page") -> None:
    """Draw a line, and move its end."""
    page.get_by_role("button", name="Line profile").click()
    end = page.get_by_role("button", name="End of the profile")
    end.focus()
    for _ in range(TIMES):
        page.keyboard.press("Shift+ArrowDown")


def sectioned(page: "Page", section: str) -> None:
    """Look at other sections, and go through some."""
    page.locator(".segments label", has_text=section).click()
    page.wait_for_timeout(SETTLE_MS)
    scrubbed(page)


def restored(page: "Page") -> None:
    """Send the image, and open the result."""
    web.restored(page)
    page.wait_for_selector(".label.after")


def compared(page: "Page") -> None:
    """Look at the difference, and go through it."""
    page.locator(".segments label", has_text="Difference").click()
    page.wait_for_selector(".legend")
    scrubbed(page)


def computed(trace: dict[str, Any]) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """Start of each part, and start and CPU time of each task of the page's own thread; in us."""
    events = trace["traceEvents"]
    marks = [one for one in events if one["name"].startswith("part:")]
    thread = {(one["pid"], one["tid"]) for one in marks}
    if len(thread) != 1:
        raise ValueError(f"the parts are marked on {len(thread)} threads")
    tasks = [
        (float(one["ts"]), float(one["tdur"]))
        for one in events
        if one["name"].endswith("RunTask") and "tdur" in one and (one["pid"], one["tid"]) in thread
    ]
    return {one["name"][5:]: float(one["ts"]) for one in marks}, tasks


def figures(
    marks: list[tuple[str, float]],
    observed: list[tuple[float, float]],
    told: tuple[dict[str, float], list[tuple[float, float]]],
) -> list[dict[str, Any]]:
    """Rows of the parts: tasks over 50 ms, and the longest by the clock and by computing."""
    traced, tasks = told
    rows = []
    for (name, began), (following, ended) in pairwise(marks):
        long = [duration for start, duration in observed if began <= start < ended]
        cpu = [took for start, took in tasks if traced[name] <= start < traced[following]]
        rows.append(
            {
                "part": name,
                "long_tasks": len(long),
                "longest_ms": round(max(long, default=0.0)),
                "tasks_computing_long": sum(took > 1000 * LONG_MS for took in cpu),
                "longest_computing_ms": round(max(cpu) / 1000, 1),
            }
        )
    return rows


if __name__ == "__main__":
    main()
