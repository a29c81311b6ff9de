"""Named rows that are imported only when they are used."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Generic, TypeVar

from unifmir.errors import UnifmirError, UnknownNameError

T = TypeVar("T")


def require_known(
    what: str, name: str, known: Iterable[str], error: type[UnifmirError] = UnknownNameError
) -> None:
    """Raise an error with the known names and the nearest, unless the name is one of them."""
    names = list(known)
    if name not in names:
        close = [one for one in names if one.lower() == name.lower()]
        close = close or get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise error(f"unknown {what} {name!r}{hint} known: {', '.join(names)}")


def resolve(target: str) -> Any:
    """The object that `"package.module:attribute"` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Mapping[str, T], Generic[T]):
    """Read-only mapping from a name to an object given as `"package.module:attribute"`.

    Parameters
    ----------
    what : str
        What a row is, for error messages ("format", "reference model").
    rows : iterable of (name, "module:attribute")
        Duplicated names are refused.
    """

    def __init__(self, what: str, rows: list[tuple[str, str]]) -> None:
        self.what = what
        self._targets: dict[str, str] = {}
        for name, target in rows:
            if name in self._targets:
                raise ValueError(f"{what} {name!r} is registered twice")
            self._targets[name] = target

    def __getitem__(self, name: str) -> T:
        self.require(name)
        row: T = resolve(self._targets[name])
        return row

    def require(self, name: str) -> None:
        """UnknownNameError with the known names and the nearest, unless there is such a row.

        Rows with `synonyms` are suggested for those.
        """
        if name not in self._targets:
            for row in self:
                if name.lower() in getattr(self[row], "synonyms", ()):
                    known = ", ".join(self)
                    raise UnknownNameError(
                        f"unknown {self.what} {name!r}; did you mean {row!r}? known: {known}"
                    )
        require_known(self.what, name, self._targets)

    def __contains__(self, name: object) -> bool:
        # Mapping's own version would import the row.
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def target(self, name: str) -> str:
        """The `"module:attribute"` of a row, without importing it."""
        return self._targets[name]

    @contextmanager
    def extended(self, name: str, target: str) -> Iterator[None]:
        """Have one more row inside the block: how tests add a toy of their own."""
        if name in self._targets:
            raise ValueError(f"{self.what} {name!r} is registered twice")
        self._targets[name] = target
        try:
            yield
        finally:
            del self._targets[name]
