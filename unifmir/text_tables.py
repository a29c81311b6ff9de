"""Tables as text: aligned columns, Markdown, LaTeX. The one writer for commands and documents."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from unifmir.shown_text import shown_cell

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "†": r"$\dagger$",
    "\u00d7": r"$\times$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    **{special: f"\\{special}" for special in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of text, before it is written in a format."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[bool, ...]
    """Which columns hold words and stand to the left."""
    title: str = ""
    notes: tuple[str, ...] = ()
    """Lines below the table, with the marks that refer to them."""


def aligned(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    words: Sequence[bool] | None = None,
    *,
    gap: int = 2,
) -> str:
    """Rows as aligned plain text under their column names.

    Parameters
    ----------
    columns, rows
        Names and cells.
    words : sequence of bool, optional
        Which columns stand to the left; by default those with a cell that is no number.
    gap : int
        Spaces between two columns.
    """
    if words is None:
        words = [
            not rows or any(not isinstance(row[index], int | float) for row in rows)
            for index in range(len(columns))
        ]
    cells = [list(columns), *([shown_cell(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        (" " * gap)
        .join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, words, strict=True)
        )
        .rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def plain(table: TextTable) -> str:
    """Aligned text under a title."""
    return "\n".join([table.title, aligned(table.columns, table.rows, table.words), *table.notes])


def markdown_rows(
    columns: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[bool] | None = None
) -> str:
    """A Markdown table of cells that are Markdown themselves.

    Parameters
    ----------
    columns, rows
        Names and cells.
    words : sequence of bool, optional
        Which columns stand to the left, the others to the right; by default as the reader likes.
    """
    rule = ["---"] * len(columns) if words is None else [":--" if w else "--:" for w in words]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *rows])


def markdown(table: TextTable) -> str:
    """A Markdown table under a bold title."""
    cells = [[escape_markdown(cell) for cell in line] for line in (table.columns, *table.rows)]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in table.notes)
    rows = markdown_rows(cells[0], cells[1:], table.words)
    parts = [f"**{escape_markdown(table.title)}**", rows, notes]
    return "\n\n".join(part for part in parts if part)


def latex(table: TextTable) -> str:
    """A `table` environment with the rules of the booktabs package."""
    columns = "".join("l" if words else "r" for words in table.words)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(table.columns),
        r"\midrule",
        *map(_latex_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        # Paragraphs: after the end of a line LaTeX would take a mark in brackets for a length.
        *(rf"\par{{\footnotesize {escape_latex(note)}}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell."""
    text = re.sub(r"([\\|*`<>])", r"\\\1", text)
    # Inside a word an underscore is one.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def printable(text: str) -> str:
    """Text on one line: names of files and errors may hold line breaks and escape codes."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _latex_row(cells: Sequence[str]) -> str:
    # Braces: a first cell that begins with a bracket would be read as the line before's space.
    return "{}" * cells[0].startswith(("[", "*")) + " & ".join(map(escape_latex, cells)) + r" \\"


def folded_lines(lines: Iterable[str], width: int) -> list[str]:
    """Lines of words, broken between words; what they begin with stays before each part.

    Parameters
    ----------
    lines : iterable of str
    width : int
        Characters in a line.
    """
    found: list[str] = []
    for line in lines:
        start = line[: len(line) - len(line.lstrip())]
        found += wrap(
            line, width, subsequent_indent=f"{start}  ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return found


def command_lines(command: str, width: int) -> list[str]:
    """Lines of a command as a shell reads them, broken before options; it may begin with spaces.

    An option that is too wide with its value is broken between the two.
    """
    start = " " * (len(command) - len(command.lstrip()) + 4)
    line, *options = command.replace(" --", "\0--").split("\0")
    lines = []
    for option in options:
        wide = len(f"{start}{option} \\") > width
        for part in option.split(" ", 1) if wide else [option]:
            if len(f"{line} {part} \\") > width:
                lines.append(f"{line} \\")
                line = f"{start}{part}"
            else:
                line += f" {part}"
    return [*lines, line]
