"""Images of a dataset found in a folder: by the name of a folder, or by patterns of their paths."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unifmir.errors import ImageError
from unifmir.images.bioio import READERS
from unifmir.images.file_names import IMAGE_SUFFIXES
from unifmir.images.zarr import is_zarr

SUFFIXES = (*IMAGE_SUFFIXES, ".npz", *READERS)
"""Ends of the names of images and of training files."""
MAX_PLACES = 1_000_000
"""Files that a folder may hold: the largest public set has some ten thousand."""
MAX_WILDCARDS = 8
"""Wildcards of a pattern: each multiplies the ways in which a name may match."""
_WILDCARD = re.compile(r"\*|\{([a-z][a-z0-9_]{0,30})\}")

Texts = Mapping[str, str]
"""Texts that the wildcards of a pattern matched, by their names."""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """Paths below a folder, as a pattern, or the name of a folder that stands for all in it.

    `*` and `{name}` match any text without a slash. The n-th `*` has the name `n`.
    """

    text: str
    _names: tuple[str, ...]
    _expression: "re.Pattern[str]"

    @property
    def is_folder(self) -> bool:
        """Whether it has no wildcards: all images below the folder of that name."""
        return not self._names

    def texts(self, place: str) -> dict[str, str] | None:
        """Texts that its wildcards matched in a path below the folder; None: it does not match."""
        found = self._expression.fullmatch(place)
        if found is None:
            return None
        if self.is_folder:
            stem = _stem(found[1])
            return None if stem is None else {"1": stem}
        return {name: found[index + 1] for index, name in enumerate(self._names)}

    def filled(self, texts: Texts) -> str:
        """The path with these texts in place of the wildcards, for messages."""
        if self.is_folder:
            return f"{self.text}/{texts.get('1', '*')}.*"
        names = iter(self._names)
        return _WILDCARD.sub(lambda _: texts.get(next(names), "*"), self.text)


def path_pattern(text: str) -> PathPattern:
    """Read a pattern.

    Raises
    ------
    ImageError
        It is empty, leads out of the folder, or has more than `MAX_WILDCARDS` wildcards.
    """
    text = text.strip().rstrip("/")
    if not text or text.startswith("/") or ".." in text.split("/"):
        raise ImageError(
            f"the pattern {text!r} does not lie below the folder: expected the name of a folder in "
            "it, or a pattern such as 'low/*.tif'"
        )
    text = "/".join(part for part in text.split("/") if part not in ("", "."))
    names: list[str] = []
    expression, at = "", 0
    for found in _WILDCARD.finditer(text):
        name = found[1] or str(1 + sum(one.isdecimal() for one in names))
        again = name in names
        expression += re.escape(text[at : found.start()])
        expression += f"(?P=w_{name})" if again else f"(?P<w_{name}>[^/]+?)"
        at = found.end()
        if not again:
            names.append(name)
    expression += re.escape(text[at:])
    if len(names) > MAX_WILDCARDS:
        raise ImageError(f"the pattern {text!r} has {len(names)} wildcards, expected at most 8")
    if not names:
        expression = "(.+)" if text in ("", ".") else f"{expression}/(.+)"
    return PathPattern(text, tuple(names), re.compile(expression, re.DOTALL))


def image_places(folder: Path) -> list[str]:
    """Paths of all files below a folder, and of OME-Zarr images, which count as one; sorted.

    Hidden ones are left out, and links to folders are not followed.

    Raises
    ------
    ImageError
        It is no folder, cannot be read, or holds more than `MAX_PLACES` files.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; expected the folder that holds the images")

    def unreadable(error: OSError) -> None:
        raise ImageError(f"{error.filename} cannot be read: {error.strerror}") from error

    places: list[str] = []
    for here, folders, files in os.walk(folder, onerror=unreadable):
        inside = Path(here).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images = [name for name in folders if is_zarr(Path(here) / name)]
        folders[:] = [name for name in folders if name not in images]
        names = [*images, *(name for name in files if not name.startswith("."))]
        places += [(inside / name).as_posix() for name in names]
        if len(places) > MAX_PLACES:
            raise ImageError(f"{folder} holds more than {MAX_PLACES} files: name a smaller folder")
    return sorted(places)


def _stem(place: str) -> str | None:
    """A path without the end that tells the kind of image; None where it has no such end."""
    lower = place.lower()
    return next((place[: -len(end)] for end in SUFFIXES if lower.endswith(end)), None)
