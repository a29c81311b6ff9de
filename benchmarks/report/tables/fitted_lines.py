"""Lines of a table that fit a terminal: its first column is a model, its second a runtime."""

from collections import Counter
from collections.abc import Sequence

from unifmir.text_tables import TextTable, aligned

SHORT_NAMES = {
    "onnxruntime": "ort",
    "torchscript": "ts",
    "aotinductor": "aoti",
    "openvino": "ov",
    "tensorrt": "trt",
    "-compute": "c",
}
"""Names of runtimes and precisions where the full ones do not fit."""
LEAST_NAME = 8
"""Characters that are left of a model's name at least."""


def fitted(table: TextTable, width: int) -> tuple[list[str], bool]:
    """The lines of a table that fit, and whether runtimes are called by their short names.

    Less space between columns comes first, then short names of runtimes, then models' names without
    what kind of file they are, then cut, but told apart: no number loses a digit.
    """
    cells = [table.columns, *table.rows]
    for gap in (2, 1):
        lines = _lines(cells, table.words, gap)
        if max(map(len, lines)) <= width:
            return lines, False
    cells = [(line[0], _shortened(line[1]), *line[2:]) for line in cells]
    lines = _lines(cells, table.words, 1)
    over = max(map(len, lines)) - width
    stems = [line[0].rpartition(".")[0] or line[0] for line in cells]
    if over > 0 and len(set(stems)) == len({line[0] for line in cells}):
        cells = [(stem, *line[1:]) for stem, line in zip(stems, cells, strict=True)]
        lines = _lines(cells, table.words, 1)
        over = max(map(len, lines)) - width
    if over > 0:
        room = max(LEAST_NAME, max(len(line[0]) for line in cells) - over)
        names = _cut([line[0] for line in cells], room)
        cells = [(names[line[0]], *line[1:]) for line in cells]
        lines = _lines(cells, table.words, 1)
    return lines, True


def _lines(cells: Sequence[Sequence[str]], words: Sequence[bool], gap: int) -> list[str]:
    return aligned(cells[0], cells[1:], words, gap=gap).split("\n")


def _shortened(name: str) -> str:
    for long, short in SHORT_NAMES.items():
        name = name.replace(long, short)
    return name


def _cut(names: Sequence[str], room: int) -> dict[str, str]:
    """Names of so many characters at most, those of equal starts without their middle.

    Two names stay two: where not even both ends tell them apart there is more room for all.
    """
    found = {name: _without_end(name, room) for name in names}
    shared = Counter(found.values())
    for name in found:
        if shared[found[name]] > 1:
            found[name] = _without_middle(name, room)
    return found if len(set(found.values())) == len(found) else _cut(names, room + 1)


def _without_end(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _without_middle(name: str, room: int) -> str:
    end = room // 2
    return name if len(name) <= room else f"{name[: room - 1 - end]}…{name[-end:]}"
