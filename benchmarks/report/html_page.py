"""HTML pages that need no other file and no network.

Names and notes come from strangers: all text is escaped, and a page's own policy lets no program
run and nothing be fetched.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from unifmir.shown_text import shown
from unifmir.version import __version__

_START = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "th,td{border-bottom:1px solid #ddd;padding:.2em .8em .2em 0;text-align:left;"
    "vertical-align:top;overflow-wrap:break-word}img{max-width:100%}"
    "caption{text-align:left;font-weight:bold}"
)


def is_page_of(command: str, path: Path) -> bool:
    """Whether a file is a page that a command of this or another unifmir wrote."""
    start = (_START + _made_by(command)).encode()
    with path.open("rb") as stream:
        return stream.read(len(start)) == start


def _made_by(command: str) -> str:
    return f'<meta name="generator" content="{text(command)}">\n'


def page(title: str, sections: Iterable[str], *, command: str) -> str:
    """A whole document of sections, which are HTML already, by the command that writes it."""
    return (
        f"{_START}{_made_by(command)}"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n" + "\n".join(sections) + f"\n<p>unifmir {__version__}</p>\n"
        "</body>\n</html>\n"
    )


def section(title: str, inner: str) -> str:
    """A part of a page under its own heading; `inner` is HTML already."""
    return f"<h2>{text(title)}</h2>\n{inner}"


def heading(words: str) -> str:
    """A heading inside a section."""
    return f"<h3>{text(words)}</h3>"


def paragraph(words: str) -> str:
    """A paragraph of text."""
    return f"<p>{text(words)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Rows as a table; without columns, the first cell of each row is its head."""
    head = "".join(f"<th>{text(name)}</th>" for name in columns)
    lines = [f"<caption>{text(caption)}</caption>"] if caption else []
    lines += [f"<tr>{head}</tr>"] if columns else []
    for row in rows:
        first, *rest = (text(cell) for cell in row)
        tag = "td" if columns else "th"
        lines.append(
            f"<tr><{tag}>{first}</{tag}>" + "".join(f"<td>{c}</td>" for c in rest) + "</tr>"
        )
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def picture(png: bytes, words: str) -> str:
    """A PNG picture inside the page, with the words for those who do not see it."""
    data = b64encode(png).decode()
    return f'<img alt="{text(words)}" src="data:image/png;base64,{data}">'


def text(words: str) -> str:
    """Text of strangers as HTML: nothing in it is markup, and nothing lays it out otherwise."""
    return escape(shown(words))
