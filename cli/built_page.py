"""The place of the built web page."""

from pathlib import Path


def page_folder() -> Path:
    """Folder of the built page, which a checkout has after `make web`."""
    return Path(__file__).resolve().parent / "web" / "dist"
