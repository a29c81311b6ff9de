"""Picture the static site and the page of `unifmir serve` for the documents.

    python -m benchmarks.studies.site_pictures [FOLDER]

makes a site of the embedded model and starts a server, opens both in Chromium, writes
docs/pictures/site-*.png and page-*.png. With a folder, the site's pages in dark colours and on a
phone are written there, to be looked at.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.helpers import browser as web
from tests.helpers import static_site
from tests.helpers.serve_command import serving
from unifmir.atomic import writing
from unifmir.benchmarks.studies.document_pictures import PICTURES
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.site.building import build_site

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

WINDOW: "ViewportSize" = {"width": 1280, "height": 860}
PHONE: "ViewportSize" = {"width": 390, "height": 844}
SERVED_WINDOW: "ViewportSize" = {"width": 1280, "height": 800}
SHOWN_TASK = "denoise"
SERVED_TASKS = {"light": "denoise", "dark": "sr"}
"""Tasks that the server's page shows, by its colours."""
COLOURS = 256
"""Number of colours of a picture: greys of the image and a few more."""


def main() -> None:
    """Make a site and write its pictures."""
    others = Path(sys.argv[1]) if sys.argv[1:] else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "site"
        build_site(folder, page=web.PAGE.parent, models=[EMBEDDED])
        with static_site.served(folder) as (address, _), web.chromium() as browser:
            pictured(browser.new_context(viewport=WINDOW), address, PICTURES)
            if others is not None:
                dark = browser.new_context(viewport=WINDOW, color_scheme="dark")
                pictured(dark, address, others, "-dark")
                phone = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
                pictured(phone, address, others, "-phone")
        with serving(Path(name) / "jobs") as command, web.chromium() as browser:
            for colours in SERVED_TASKS:
                served(browser, f"{command.address}/", colours)


def pictured(context: Any, address: str, into: Path, kind: str = "") -> None:
    """The two pages in one kind of window."""
    page = restored(context, address, SHOWN_TASK)
    kept(page, into / f"site-restored{kind}.png")
    page.goto(f"{address}#models")
    page.wait_for_selector(".before-after img")
    page.locator(".before-after img").evaluate_all(
        "(all) => Promise.all(all.map((one) => ((one.loading = 'eager'), one.decode())))"
    )
    kept(page, into / f"site-models{kind}.png")
    context.close()


def served(browser: Any, address: str, colours: str) -> None:
    """The server's page in light or dark colours."""
    context = browser.new_context(viewport=SERVED_WINDOW, color_scheme=colours)
    kept(restored(context, address, SERVED_TASKS[colours]), PICTURES / f"page-{colours}.png")
    context.close()


def restored(context: Any, address: str, task: str) -> "Page":
    """A page on which the example of a task was restored."""
    page: Page = context.new_page()
    page.set_default_timeout(web.WAIT_MS)
    page.goto(address)
    page.get_by_role("button", name=TASKS[task].title).click()
    page.wait_for_selector(".contrast")
    web.restored(page)
    page.wait_for_timeout(500)
    return page


def kept(page: "Page", path: Path) -> None:
    """A window as a PNG of few colours."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as aside:
        shown.quantize(COLOURS, dither=Image.Dither.NONE).save(aside, "PNG", optimize=True)


if __name__ == "__main__":
    main()
