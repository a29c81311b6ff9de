"""The folder of a site: built aside, and put in place when all of it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.atomic import working_folder
from unifmir.errors import OutputError
from unifmir.output_place import real_path, written_to
from unifmir.plain_text_values import read_json

FACTS = "site.json"
"""File of a site that tells the page all that a server would; sites are known by it."""
PARTS = frozenset(
    ("assets", "engine", "index.html", "licences.txt", "models", "pictures", "samples")
    + ("service-worker.js", FACTS)
)
"""Names in the folder of a site: what has others is not ours alone, as a repository is not."""


@contextmanager
def published_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """An empty folder beside `out`, which takes its place if the block succeeds.

    Raises
    ------
    OutputError
        There is something at `out` that is no site, or is more than one, and it may not be
        replaced; or it is a file, or a folder that cannot be moved.
    """
    _require_movable(out)
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
            except BaseException:
                if (aside / "before").exists():
                    (aside / "before").rename(out)
                raise


def _require_movable(out: Path) -> None:
    """Refuse what a finished site could not take the place of, before it is made."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is a file or a link; expected a folder, or a name for a new one")
    place = real_path(out)
    if place in (here := real_path(Path()), *here.parents):
        raise OutputError(
            f"{out} is the folder you are in, or one around it, and would be replaced as a whole: "
            "name a folder in it, or go elsewhere first"
        )
    if out.is_mount():
        raise OutputError(f"{out} is a mounted disk, which cannot be moved: name a folder in it")


def _require_replaceable(out: Path, *, overwrite: bool) -> None:
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not found or overwrite:
        return
    if not is_site(out):
        raise OutputError(
            f"{out} exists and is no site of `unifmir zoo site` (it has no {FACTS}): name another "
            "folder, or give --overwrite to delete what is in it"
        )
    if others := sorted(found - PARTS):
        raise OutputError(
            f"{out} holds more than a site, which would be deleted with it: "
            f"{', '.join(others[:5])}. Move that elsewhere or name another folder, or give "
            "--overwrite"
        )


def is_site(folder: Path) -> bool:
    """Whether a folder holds a site that was made here."""
    try:
        facts = read_json(folder / FACTS)
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == 1 and "networks" in facts
