"""The web page in Chromium: images are restored by it, and it can be used in every way."""

import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tests.helpers import browser as web
from tests.helpers.browser import downloaded, opened, restored
from tests.helpers.browser_images import damaged_lzw
from tests.helpers.serve_command import serving
from unifmir.benchmarks.measure.results import read_results
from unifmir.benchmarks.report.page_tables import read_tables
from unifmir.cli.main import app
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Response

pytestmark = [
    pytest.mark.slow,  # a browser, a server, and a process a job
    pytest.mark.xdist_group("page"),  # which is served once
]
(RESULTS,) = (web.REPO / "benchmarks" / "results").glob("benchmark-sr-*.json")
"""Measured results that the page shows."""
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the page."""
    web.require_page()
    folder = tmp_path_factory.mktemp("serve") / "jobs"
    with serving(folder, "--jobs", "1", "--results", str(RESULTS)) as command:
        yield f"{command.address}/"


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page in a window of its own, a session of its own; errors of its scripts are ours."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(web.WAIT_MS)
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(address)
    yield found
    context.close()
    assert not errors


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack of 16 bit, small enough for seconds, whose name tells nothing."""
    path = tmp_path_factory.mktemp("images") / "cells.tif"
    ramp = np.add.outer(np.arange(4) * 8, np.add.outer(np.arange(24), np.arange(32)))
    image = (30_000 + ramp % 10).astype(np.uint16)
    said = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
    tifffile.imwrite(path, image, imagej=True, metadata=said, resolution=(10, 10))
    return path


def changed(page: "Page", output: "Locator", text: str) -> None:
    """Wait until an output says something else than a text."""
    handle = output.element_handle()
    page.wait_for_function("([one, text]) => one.innerText !== text", arg=[handle, text])


@pytest.mark.parametrize("task", list(TASKS))
def test_what_is_downloaded_is_what_the_command_restores(page, task, tmp_path):
    page.get_by_role("button", name=TASKS[task].title).click()
    page.wait_for_selector(".contrast")
    restored(page)
    downloaded(page, tmp_path / "page.tif")
    source = str(files("unifmir") / "data" / TASKS[task].sample.file)
    more = ["--z-factor", "1"] if task == "isotropic" else []
    words = ["restore", source, "--task", task, "--out", str(tmp_path / "own.tif"), *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    shown, own = (tifffile.TiffFile(tmp_path / name) for name in ("page.tif", "own.tif"))
    with shown, own:
        assert shown.imagej_metadata is not None
        assert shown.series[0].axes == own.series[0].axes
        np.testing.assert_allclose(
            shown.asarray(), own.asarray(), rtol=0, atol=1e-4 * float(np.ptp(own.asarray()))
        )


def test_a_cancelled_image_is_no_longer_computed(page, small):
    opened(page, small)
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Restore", exact=True).wait_for()
    assert page.locator(".outcome").count() == 0
    page.wait_for_function(
        "async () => (await (await fetch('api/jobs')).json()).every(j => j.state == 'cancelled')"
    )


def test_a_file_that_is_no_image_is_refused_with_what_to_do(page, tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("no image", "utf-8")
    page.locator("input[type=file]").set_input_files(path)
    told = page.get_by_role("alert").inner_text()
    assert "notes.tif is not a TIFF file" in told
    assert "Save it as TIFF" in told


@pytest.mark.parametrize("damage", ["other_codes", "zeros"])
def test_damaged_lzw_data_are_called_damaged(page, tmp_path, damage):
    damaged_lzw(tmp_path)
    page.locator("input[type=file]").set_input_files(tmp_path / f"lzw_{damage}.tif")
    told = page.get_by_role("alert").inner_text()
    assert f"lzw_{damage}.tif is damaged: its plane 1 cannot be decoded" in told
    assert "Copy the file again" in told


def test_the_step_along_z_is_the_files_or_is_asked_for(page, small, tmp_path):
    opened(page, small)
    page.locator("input[value=isotropic]").check()
    asked = page.get_by_label("z step : pixel")
    note = page.locator("#z-factor-note")
    assert note.inner_text().startswith("The file says 5:")
    assert asked.get_attribute("placeholder") == "5"
    silent = tmp_path / "silent.tif"
    plain = {"axes": "ZYX"}
    values = np.ones((4, 24, 32), np.uint16)
    tifffile.imwrite(silent, values, photometric="minisblack", metadata=plain)
    opened(page, silent)
    page.wait_for_function("() => document.querySelector('dd.file').title === 'silent.tif'")
    assert note.inner_text().startswith("The file does not say")
    page.get_by_role("button", name="Restore", exact=True).click()
    assert asked.evaluate("one => one.validity.valueMissing")
    assert page.locator(".progress").count() == 0
    asked.fill("2")
    assert asked.evaluate("one => one.form.checkValidity()")


def test_sixteen_bits_reach_the_screen(page, small):
    opened(page, small)
    page.get_by_label("Black point as a number").fill("30000")
    page.get_by_label("White point as a number").fill("30009")
    page.get_by_label("White point as a number").press("Enter")
    end = time.monotonic() + 30
    while len(web.greys(page)) < 10 and time.monotonic() < end:
        page.wait_for_timeout(200)  # it is drawn by a worker
    # Ten numbers that have one grey in 8 bits of the whole range; the ground beside them is black.
    assert len(web.greys(page)) >= 10


def test_everything_can_be_done_by_the_keyboard(page, small):
    page.wait_for_selector(".welcome button:enabled")
    example = page.get_by_role("button", name=TASKS["denoise"].title)
    for _ in range(40):
        if example.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".contrast")
    picture = page.get_by_role("application")
    for _ in range(60):
        if picture.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    zoom = page.get_by_label("Zoom", exact=True).locator("output")
    before = zoom.inner_text()
    page.keyboard.press("+")
    changed(page, zoom, before)
    slices = page.locator(".scrubber", has_text="Slice").locator("output")
    place = slices.inner_text()
    page.keyboard.press(".")
    changed(page, slices, place)
    page.keyboard.press("1")
    page.wait_for_function("one => one.innerText === '100 %'", arg=zoom.element_handle())


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, address, small):
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    page.goto(address)
    opened(page, small)
    for part in (".canvas", ".contrast", ".scrubbers"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address, small, scheme):
    if not web.PACKAGES.is_dir():
        pytest.skip("no axe-core: make web")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".welcome button:enabled")
    found = {"start": web.serious_findings(page)}
    opened(page, small)
    restored(page)
    page.get_by_role("button", name="Line profile").click()
    page.wait_for_selector(".profile")
    found["result"] = web.serious_findings(page)
    found |= web.serious_findings_at(page, address, models=".card", benchmarks=".reading")
    context.close()
    assert found == {"start": [], "result": [], "models": [], "benchmarks": []}


def test_measured_results_are_tables_and_plots_of_the_file(page, address):
    page.goto(f"{address}#benchmarks")
    (table,) = (one for one in read_tables([RESULTS]) if one["task"] == "sr")
    found = page.locator("article.result", has=page.get_by_text(table["title"], exact=True))
    found.wait_for()
    assert found.locator("tbody tr").count() == len(table["rows"])
    cells = found.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells[:3] == [str(table["rows"][0][name]) for name in ("rank", "model", "runtime")]
    # A point a row that was timed, by the row's number, the faster the further left.
    times = [row["median_ms"] for row in table["rows"] if row["median_ms"] is not None]
    assert len(times) == sum(row.latency is not None for row in read_results(RESULTS).rows)
    points = found.locator("svg.plot circle")
    assert points.count() == len(times)
    places = [float(point.get_attribute("cx") or "nan") for point in points.all()]
    assert sorted(range(len(times)), key=places.__getitem__) == sorted(
        range(len(times)), key=times.__getitem__
    )
    # What the models' entries tell comes after what was measured here.
    assert page.locator("article.result").last.locator("svg.plot").count() == 0


def test_the_page_weighs_less_than_250_kb_before_an_image_is_opened(browser, address):
    context = browser.new_context()
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    fetched: dict[str, int] = {}

    def count(response: "Response") -> None:
        if response.url.startswith(address) and "/api/" not in response.url:
            fetched[response.url] = int(response.headers["content-length"])

    # Also what its worker consists of, which shows the examples.
    context.on("response", count)
    page.goto(address)
    page.wait_for_selector(".welcome button:enabled")
    page.wait_for_load_state("networkidle")
    context.close()
    assert {url.rpartition(".")[2] for url in fetched} >= {"js", "css"}
    assert any("image_worker" in url for url in fetched)
    assert sum(fetched.values()) < 250_000


def test_its_own_tests_pass(tmp_path):
    web.require_page()
    if not web.PACKAGES.is_dir():
        pytest.skip("no packages of the page: make web")
    done: Any = subprocess.run(
        ["npm", "--prefix", str(web.PACKAGES.parent), "test"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
