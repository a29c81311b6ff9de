"""The static site in Chromium: the browser restores as Python does, and no server is needed."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
import tifffile
from typer.testing import CliRunner

from tests.helpers import browser as web
from tests.helpers import static_site
from unifmir.cli.main import app
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    import subprocess

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [
    pytest.mark.slow,  # a browser, and networks that are exported
    pytest.mark.xdist_group("site"),  # which is made once
]
TASK = "denoise"
BAR = 1e-3
"""Largest difference from Python, of the range of Python's result."""


@dataclass(frozen=True)
class Site:
    """A site of one task, and where it is served."""

    folder: Path
    address: str
    server: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a site of one task."""
    web.require_page()
    made = tmp_path_factory.mktemp("site") / "zoo"
    static_site.build(made, "--task", TASK)
    return made


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    """A site that is served."""
    with static_site.served(folder) as (address, server):
        yield Site(folder, address, server)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a site of all tasks."""
    web.require_page()
    made = tmp_path_factory.mktemp("whole") / "zoo"
    static_site.build(made)
    with static_site.served(made) as (address, _):
        yield address


@pytest.fixture
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """Profile of a visitor who was never here."""
    found = browser.new_context(viewport={"width": 1280, "height": 800})
    found.set_default_timeout(web.WAIT_MS)
    yield found
    found.close()


@pytest.fixture
def page(context: "BrowserContext", site: Site) -> Iterator["Page"]:
    """The site in a window; its scripts' errors and requests to other places are ours."""
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    elsewhere: list[str] = []
    context.on("request", lambda one: elsewhere.append(one.url))
    found.goto(site.address)
    found.wait_for_selector(".welcome button:enabled")
    yield found
    assert not errors
    assert [url for url in elsewhere if not url.startswith((site.address, "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray[Any, Any]]:
    """A part of the sample with a pixel size, and what Python makes of it."""
    folder = tmp_path_factory.mktemp("images")
    source = str(files("unifmir") / "data" / TASKS[TASK].sample.file)
    image = tifffile.imread(source)[:6, :72, :88]
    path = folder / "pollen.tif"
    said = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
    tifffile.imwrite(path, image, imagej=True, metadata=said, resolution=(8, 8))
    out = folder / "own.tif"
    done = CliRunner().invoke(app, ["restore", str(path), "--task", TASK, "--out", str(out)])
    assert done.exit_code == 0, done.output
    return path, tifffile.imread(out)


def restored(page: "Page", path: Path, into: Path) -> tifffile.TiffFile:
    """Open a file, restore it, and download the result."""
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector(f'.file[title="{path.name}"]')
    page.wait_for_selector(".contrast")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.wait_for_selector(".outcome")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download TIFF").click()
    waiting.value.save_as(into)
    return tifffile.TiffFile(into)


def assert_same(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    """The same picture, to `BAR` of the range."""
    assert found.shape == expected.shape
    worst = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    assert worst <= BAR * float(np.ptp(expected))


@pytest.mark.long
@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_is_restored_as_python_does(browser, whole, task, tmp_path):
    context = browser.new_context()
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    page.goto(whole)
    page.get_by_role("button", name=TASKS[task].title).click()
    page.wait_for_selector(".contrast")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.wait_for_selector(".outcome")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download TIFF").click()
    waiting.value.save_as(tmp_path / "page.tif")
    context.close()
    source = str(files("unifmir") / "data" / TASKS[task].sample.file)
    out = tmp_path / "own.tif"
    factor = TASKS[task].sample.z_factor
    more = ["--z-factor", str(factor)] if factor else []
    words = ["restore", source, "--task", task, "--out", str(out), *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    with tifffile.TiffFile(tmp_path / "page.tif") as shown, tifffile.TiffFile(out) as own:
        assert shown.series[0].axes == own.series[0].axes
        assert_same(shown.asarray(), own.asarray())


def test_an_image_is_restored_as_python_does_with_its_sampling(page, small, tmp_path):
    path, expected = small
    with restored(page, path, tmp_path / "page.tif") as result:
        assert_same(result.asarray(), expected)
        assert result.imagej_metadata is not None
        assert result.imagej_metadata["spacing"] == 0.5
        assert result.imagej_metadata["unit"] == "um"
        assert result.series[0].axes == "ZYX"
        x = result.pages.first.tags["XResolution"].value
        assert x[0] / x[1] == pytest.approx(8)
    assert "megapixels a second by WebAssembly, " in page.locator(".outcome").inner_text()


def test_threads_come_from_the_service_worker_on_a_host_without_headers(page):
    assert page.evaluate("crossOriginIsolated")
    assert "one thread" not in page.locator(".machine").inner_text()


def test_without_the_service_worker_one_thread_computes_the_same(browser, site, small, tmp_path):
    path, expected = small
    context = browser.new_context(service_workers="block")
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    page.goto(site.address)
    page.wait_for_selector(".welcome button:enabled")
    assert "one thread" in page.locator(".machine").text_content()
    with restored(page, path, tmp_path / "page.tif") as result:
        assert_same(result.asarray(), expected)
    assert "by WebAssembly, one thread" in page.locator(".outcome").inner_text()
    context.close()


def test_after_one_visit_it_works_without_its_server(browser, folder, small, tmp_path):
    path, expected = small
    context = browser.new_context()
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    with static_site.served(folder) as (address, _):
        page.goto(address)
        page.wait_for_selector(".welcome button:enabled")
        restored(page, path, tmp_path / "first.tif").close()
    page.reload()
    with restored(page, path, tmp_path / "second.tif") as result:
        assert_same(result.asarray(), expected)
    context.close()


def test_a_cancelled_image_ends_and_the_next_one_is_restored(page, small, tmp_path):
    path, expected = small
    page.get_by_role("button", name=TASKS[TASK].title).click()
    page.wait_for_selector(".contrast")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Restore", exact=True).wait_for()
    assert page.locator(".outcome").count() == 0
    with restored(page, path, tmp_path / "page.tif") as result:
        assert_same(result.asarray(), expected)


def test_a_plane_that_is_damaged_is_told_while_another_is_shown(page, tmp_path):
    path = tmp_path / "damaged.tif"
    image = np.arange(4 * 64 * 64, dtype=np.uint16).reshape(4, 64, 64)
    tifffile.imwrite(path, image, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as file:
        start = file.pages[1].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start : start + 4] = bytes(4)
    path.write_bytes(bytes(data))
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector("[role=alert]")
    assert "Plane 2 of damaged.tif cannot be decoded" in page.locator("[role=alert]").inner_text()


def test_an_address_that_is_none_opens_the_page(page, site):
    page.goto("about:blank")
    page.goto(f"{site.address}#restore/%E0%A4%A")
    page.wait_for_selector(".welcome button:enabled")


def test_a_card_leads_to_its_task_with_the_example_open(page):
    page.get_by_role("link", name="Models").click()
    page.get_by_role("link", name=f"Try it: {TASKS[TASK].title}").click()
    page.wait_for_selector(".contrast")
    assert page.get_by_label(TASKS[TASK].title).is_checked()
    page.get_by_role("link", name="Models").click()
    told = page.locator(".card", has_text="unifmir-denoise-planaria").inner_text()
    assert "not in this site" in told
    assert "unifmir zoo pull unifmir-denoise-planaria" in told


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, site, small, tmp_path, scheme):
    if not web.PACKAGES.is_dir():
        pytest.skip("no axe-core: make web")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(web.WAIT_MS)
    page = context.new_page()
    page.goto(site.address)
    page.wait_for_selector(".welcome button:enabled")
    found = {"start": web.serious_findings(page)}
    restored(page, small[0], tmp_path / "page.tif").close()
    found["result"] = web.serious_findings(page)
    found |= web.serious_findings_at(
        page, site.address, models=".before-after img", benchmarks=".reading"
    )
    context.close()
    assert found == {"start": [], "result": [], "models": [], "benchmarks": []}


def test_the_page_weighs_less_than_1_mb_before_the_engine(browser, site):
    context = browser.new_context()
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda one: sizes.update({one.url: len(one.body())}))
    page.goto(site.address)
    page.wait_for_selector(".welcome button:enabled")
    page.goto(f"{site.address}#models")
    page.wait_for_selector(".before-after img")
    page.wait_for_load_state("networkidle")
    context.close()
    assert any(url.endswith("site.json") for url in sizes)
    assert not any("/engine/" in url or url.endswith((".onnx", ".tif")) for url in sizes)
    assert sum(sizes.values()) < 1_000_000


def test_the_site_tells_what_a_server_tells(folder):
    from unifmir.zoo.serve import server_facts

    told = json.loads((folder / "site.json").read_text("utf-8"))
    assert told["tasks"] == server_facts.tasks()
    assert told["benchmarks"] == server_facts.measured()
    assert {one["id"] for one in told["models"]} == {one["id"] for one in server_facts.models()}
    assert [(one["model"], one["facts"]["task"]) for one in told["networks"]] == [
        ("unifmir-small-sim", TASK)
    ]
    (network,) = told["networks"]
    assert (folder / network["file"]).stat().st_size == network["bytes"]


SMALL = {
    "sr": (1, 1, 16, 16),
    "denoise": (1, 1, 5, 16, 16),
    "isotropic": (2, 1, 8, 8),
    "projection": (1, 1, 50, 16, 16),
    "volume": (1, 1, 88, 88),
}
"""Inputs of the exported networks that take software seconds."""
SOFTWARE = (
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    *("--enable-features=Vulkan", "--use-vulkan=swiftshader"),
)
ON_BOTH = """async ([root, file, shape]) => {
  if (!(await navigator.gpu?.requestAdapter())) return null
  let seed = 1
  const next = () => (seed = (seed * 16807) % 2147483647) / 2147483647
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next)
  const made = {}
  for (const [name, provider] of [['ort.wasm.min.mjs', 'wasm'], ['ort.webgpu.min.mjs', 'webgpu']]) {
    const ort = await import(`${root}engine/${name}`)
    ort.env.wasm.wasmPaths = `${root}engine/`
    ort.env.wasm.numThreads = 1
    const options = { executionProviders: [provider], logSeverityLevel: 3 }
    const session = await ort.InferenceSession.create(root + file, options)
    const { restored } = await session.run({ image: new ort.Tensor('float32', data, shape) })
    made[provider] = Array.from(await restored.getData())
    await session.release()
  }
  return made
}"""


@pytest.mark.long
@pytest.mark.parametrize("task", list(SMALL))
def test_webgpu_in_software_gives_the_same_picture(browser, whole, task):
    told = requests.get(f"{whole}site.json", timeout=30).json()
    (file,) = [one["file"] for one in told["networks"] if one["facts"]["task"] == task]
    other = browser.browser_type.launch(
        executable_path=shutil.which("chromium"), args=[*web.FLAGS, *SOFTWARE]
    )
    page = other.new_page()
    page.goto(whole)
    page.wait_for_selector(".welcome button:enabled")
    made = page.evaluate(ON_BOTH, [whole, file, SMALL[task]])
    other.close()
    if made is None:
        pytest.skip("this Chromium has no WebGPU in software")
    processor, card = (np.array(made[name]) for name in ("wasm", "webgpu"))
    assert np.ptp(processor) > 0.1
    assert np.abs(card - processor).max() <= 1e-4 * np.ptp(processor)
