"""Picture the static site for the documents: a model's card, and an image restored in the browser.

    python -m benchmarks.studies.site_pictures [FOLDER]

makes a site of the embedded model, opens it in Chromium, writes docs/pictures/site-*.png. With a
folder, the same pages in dark colours and on a phone are written there, to be looked at.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.helpers import browser as web
from tests.helpers import static_site
from unifmir.atomic import writing
from unifmir.benchmarks.studies.document_pictures import PICTURES
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.site.building import build_site

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

WINDOW: "ViewportSize" = {"width": 1280, "height": 860}
PHONE: "ViewportSize" = {"width": 390, "height": 844}
SHOWN_TASK = "denoise"
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


def pictured(context: Any, address: str, into: Path, kind: str = "") -> None:
    """The two pages in one kind of window."""
    page: Page = context.new_page()
    page.set_default_timeout(web.WAIT_MS)
    page.goto(address)
    page.get_by_role("button", name=TASKS[SHOWN_TASK].title).click()
    page.wait_for_selector(".contrast")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.wait_for_selector(".outcome")
    page.wait_for_timeout(500)
    kept(page, into / f"site-restored{kind}.png")
    page.goto(f"{address}#models")
    page.wait_for_selector(".before-after img")
    page.locator(".before-after img").evaluate_all(
        "(all) => Promise.all(all.map((one) => ((one.loading = 'eager'), one.decode())))"
    )
    kept(page, into / f"site-models{kind}.png")
    context.close()


def kept(page: "Page", path: Path) -> None:
    """A window as a PNG of few colours."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as aside:
        shown.quantize(COLOURS, dither=Image.Dither.NONE).save(aside, "PNG", optimize=True)


if __name__ == "__main__":
    main()
