"""The folder of a site: built aside, and put in place when all of it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.atomic import working_folder
from unifmir.errors import OutputError
from unifmir.output_place import written_to
from unifmir.plain_text_values import read_json

FACTS = "site.json"
"""File of a site that tells the page all that a server would; sites are known by it."""


@contextmanager
def published_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """An empty folder beside `out`, which takes its place if the block succeeds.

    Raises
    ------
    OutputError
        There is something at `out` that is no site, and it may not be replaced; or it is a file.
    """
    _require_replaceable(out, overwrite=overwrite)
    parent = out.absolute().parent
    with working_folder(parent) as aside:
        built = aside / "site"
        built.mkdir(mode=0o755)
        yield built
        with written_to(out):
            if out.exists():
                out.rename(aside / "before")
            try:
                built.rename(out)
            except OSError:
                if (aside / "before").exists():
                    (aside / "before").rename(out)
                raise


def _require_replaceable(out: Path, *, overwrite: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is a file or a link; expected a folder, or a name for a new one")
    if not out.is_dir() or not any(out.iterdir()) or overwrite or is_site(out):
        return
    raise OutputError(
        f"{out} exists and is no site of `unifmir zoo site` (it has no {FACTS}): name another "
        "folder, or give --overwrite to delete what is in it"
    )


def is_site(folder: Path) -> bool:
    """Whether a folder holds a site that was made here."""
    try:
        facts = read_json(folder / FACTS)
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == 1 and "networks" in facts
