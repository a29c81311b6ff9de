"""The web page in Chromium: images are restored by it, and it can be used in every way."""

import subprocess
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tests.helpers import browser as web
from unifmir.cli.main import app
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [
    pytest.mark.slow,  # a browser, a server, and a process a job
    pytest.mark.xdist_group("page"),  # which is served once
]
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the page."""
    web.require_page()
    with web.served(tmp_path_factory.mktemp("serve") / "jobs") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium."""
    web.require_page()
    with web.chromium() as found:
        yield found


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


def opened(page: "Page", path: Path) -> None:
    """Choose a file, as the button does."""
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector(".contrast")


def restored(page: "Page") -> None:
    """Press the button, and wait for the result."""
    page.get_by_role("button", name="Restore", exact=True).click()
    page.wait_for_selector(".outcome")


def changed(page: "Page", output: "Locator", text: str) -> None:
    """Wait until an output says something else than a text."""
    handle = output.element_handle()
    page.wait_for_function("([one, text]) => one.innerText !== text", arg=[handle, text])


@pytest.mark.parametrize("task", list(TASKS))
def test_what_is_downloaded_is_what_the_command_restores(page, task, tmp_path):
    page.get_by_role("button", name=TASKS[task].title).click()
    page.wait_for_selector(".contrast")
    restored(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download TIFF").click()
    waiting.value.save_as(tmp_path / "page.tif")
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


def test_sixteen_bits_reach_the_screen(page, small):
    opened(page, small)
    page.get_by_label("Black point as a number").fill("30000")
    page.get_by_label("White point as a number").fill("30009")
    page.get_by_label("White point as a number").press("Enter")
    page.wait_for_timeout(300)
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
    for name, part in (("models", ".card"), ("benchmarks", ".reading")):
        page.goto(f"{address}#{name}")
        page.wait_for_selector(part)
        found[name] = web.serious_findings(page)
    context.close()
    assert found == {"start": [], "result": [], "models": [], "benchmarks": []}


def test_the_page_weighs_less_than_250_kb_before_an_image_is_opened(address):
    def fetched(name: str) -> bytes:
        with urllib.request.urlopen(address + name) as answer:
            return bytes(answer.read())

    text = fetched("").decode()
    linked = [part.split('"')[0] for part in text.split('="./')[1:]]
    assert any(name.endswith(".js") for name in linked)
    total = len(text) + sum(len(fetched(name)) for name in linked)
    assert total < 250_000


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
