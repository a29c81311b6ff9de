"""A browser that opens the page of a server, and what is done on it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "cli" / "web" / "dist" / "index.html"
PACKAGES = REPO / "cli" / "web" / "node_modules"
# No sandbox: tests run as root in containers. WebGL without a GPU.
FLAGS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    "--enable-unsafe-swiftshader",
)
WAIT_MS = 120_000
"""For a job: on a busy machine the import of torch alone takes many seconds."""


def require_page() -> None:
    """Skip where the page was not built, or there is no browser."""
    pytest.importorskip("playwright", reason="no playwright: pip install unifmir[browser]")
    if not PAGE.is_file():
        pytest.skip("the web page is not built: make web")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on PATH")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The system's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        yield browser
        browser.close()


def serious_findings(page: "Page") -> list[str]:
    """What axe-core finds on a page that is serious or critical."""
    page.evaluate((PACKAGES / "axe-core" / "axe.min.js").read_text("utf-8") + ";0")
    found: Any = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def serious_findings_at(page: "Page", address: str, **parts: str) -> dict[str, list[str]]:
    """Serious findings on each page of an address, by its name; its value is what it must show."""
    found = {}
    for name, part in parts.items():
        page.goto(f"{address}#{name}")
        page.wait_for_selector(part)
        found[name] = serious_findings(page)
    return found


def greys(page: "Page") -> set[int]:
    """Greys of the picture on the screen, from the canvas that WebGL draws on."""
    found: Any = page.evaluate(
        """() => {
          const drawn = document.querySelector('.canvas canvas')
          const copy = document.createElement('canvas')
          copy.width = drawn.width
          copy.height = drawn.height
          const context = copy.getContext('2d')
          context.drawImage(drawn, 0, 0)
          const pixels = context.getImageData(0, 0, copy.width, copy.height).data
          return [...new Set(pixels.filter((_, at) => at % 4 === 0))]
        }"""
    )
    return set(found)


def opened(page: "Page", path: Path) -> None:
    """Choose a file, as the button does."""
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector(".contrast")


def asked(page: "Page") -> None:
    """Press the button that restores."""
    page.get_by_role("button", name="Restore", exact=True).click()


def restored(page: "Page") -> None:
    """Press the button, and wait for the result."""
    asked(page)
    page.wait_for_selector(".outcome")


def downloaded(page: "Page", path: Path) -> bytes:
    """The result as the page saves it."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download TIFF").click()
    waiting.value.save_as(path)
    return path.read_bytes()
