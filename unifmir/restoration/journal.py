"""Journal of finished tiles, with which an interrupted run goes on where it stopped.

A text file: one line that says for what work it holds, as JSON after the signature of this user,
then one line a finished tile (its index, and how many of its pixels were clipped where some were),
appended and synchronised after the tile's pixels are. A kill can only cut the last line short.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unifmir.atomic import write_text
from unifmir.errors import CheckpointError, ImageError
from unifmir.images.base import Sink
from unifmir.json_values import JsonValues, read_values
from unifmir.output_place import written_to
from unifmir.plain_text_values import parse_json
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RecordedPlan, RestorationPlan
from unifmir.trusted_files import is_signed, signature_of

VERSION = 2
_MAX_HEADER = 2**26
"""Bytes. Scalings of a long time series fit; a file without a line end is not read whole."""
_MAX_LINE = 40
"""Characters of a finished tile's line."""


@dataclass(frozen=True, slots=True)
class _JournalHeader(JsonValues):
    """First line of a journal: the work whose tiles it counts."""

    version: int
    source: str
    model: str
    options: str
    digest: str
    plan: RecordedPlan


class Journal:
    """Finished tiles of one output. Give it to `restore`; lies beside the output.

    Parameters
    ----------
    path : Path
        Created when the work begins; deleted once the output is published.
    source : str
        Identifies the source's content: name, size and modification time of its file.
    model : str
        Identifies what computes: SHA-256 of the weights or artifact, precision, runtime.
    """

    def __init__(self, path: Path, *, source: str, model: str) -> None:
        self.path = path
        self.ignored: str | None = None
        """Why an older journal at this path was not used; None if it was, or there was none."""
        self._identity: dict[str, Any] = {
            "version": VERSION,
            # A file's name that is no UTF-8 is none in JSON.
            "source": source.encode("utf-8", "backslashreplace").decode(),
            "model": model,
        }
        self._options = ""
        self._finished: dict[int, int] = {}

    def recorded(self, options: Options) -> RecordedPlan | None:
        """`RestorationPlan.recorded` of the interrupted run; None where its work was another."""
        header, _ = self._read()
        self._options = options.identity()
        wanted = {**self._identity, "options": self._options}
        if header is None:
            return None
        changed = [name for name, value in wanted.items() if getattr(header, name) != value]
        if changed:
            self.ignored = f"{self.path.name} is of another {' and '.join(changed)}"
            return None
        return header.plan

    def begin(self, plan: RestorationPlan, sink: Sink) -> frozenset[int]:
        """Finished tiles of this very work, if its output is still there; begun anew otherwise."""
        header, finished = self._read()
        mine = {**self._identity, "digest": plan.digest()}
        if header is not None:
            changed = [name for name, value in mine.items() if getattr(header, name) != value]
            if changed:
                what = ["plan" if name == "digest" else name for name in changed]
                # `recorded` may have said more exactly what is another.
                self.ignored = (
                    self.ignored or f"{self.path.name} is of another {' and '.join(what)}"
                )
            elif not sink.resumed:
                self.ignored = f"the unfinished output that {self.path.name} speaks of is gone"
            else:
                self._finished = {
                    index: clipped for index, clipped in finished.items() if index < len(plan.tiles)
                }
                self._rewrite(header)
                return self.finished()
        self._finished = {}
        self._rewrite(_JournalHeader(**mine, options=self._options, plan=plan.recorded()))
        return self.finished()

    def finished(self) -> frozenset[int]:
        """Indices of finished tiles, since `begin`."""
        return frozenset(self._finished)

    @property
    def clipped(self) -> int:
        """Pixels of the finished tiles that were clipped, since `begin`."""
        return sum(self._finished.values())

    def record(self, tiles: Mapping[int, int]) -> None:
        """Append finished tiles; on disk when this returns. Call `sink.flush()` before.

        Parameters
        ----------
        tiles : mapping of int to int
            Index of a tile -> how many of its pixels were clipped.
        """
        if not tiles:
            return
        with written_to(self.path), self.path.open("ab") as file:
            file.write("".join(f"{_line(*tile)}\n" for tile in tiles.items()).encode())
            file.flush()
            os.fsync(file.fileno())
        self._finished.update(tiles)

    def delete(self) -> None:
        """The output is published: nothing is left to resume."""
        self.path.unlink(missing_ok=True)

    def _rewrite(self, header: _JournalHeader) -> None:
        """Write the journal anew, without a last line that was cut short."""
        text = json.dumps(header.to_dict())
        lines = [
            f"{signature_of(text)} {text}",
            *(_line(*tile) for tile in sorted(self._finished.items())),
        ]
        write_text(self.path, "\n".join(lines) + "\n")

    def _read(self) -> tuple[_JournalHeader | None, dict[int, int]]:
        """The first line and the finished tiles; (None, {}) where there is no journal."""
        if self.path.exists() and not self.path.is_file():
            raise ImageError(f"{self.path} is no file, where a journal is kept: move it away")
        try:
            with self.path.open("rb") as file:
                first = file.readline(_MAX_HEADER)
                rest = file.read()
        except FileNotFoundError:
            return None, {}
        # What it says decides the picture, so that no other's is taken up.
        signature, _, text = first.decode("ascii", errors="replace").strip().partition(" ")
        if not is_signed(text, signature):
            self.ignored = f"{self.path.name} is damaged, or was not written here by this user"
            return None, {}
        try:
            header = read_values(_JournalHeader, parse_json(text, limit=_MAX_HEADER))
        except CheckpointError as error:
            self.ignored = f"{self.path.name} is of another unifmir ({error})"
            return None, {}
        complete, _, _ = rest.rpartition(b"\n")
        finished = {}
        for line in complete.split(b"\n"):
            numbers = line.split(b" ")
            # From the first line on that is no number the disk has lost what was written.
            digits = len(line) <= _MAX_LINE and all(number.isdigit() for number in numbers)
            if len(numbers) > 2 or not digits:
                break
            finished[int(numbers[0])] = sum(map(int, numbers[1:]))
        return header, finished


def _line(index: int, clipped: int) -> str:
    return f"{index} {clipped}" if clipped else str(index)
