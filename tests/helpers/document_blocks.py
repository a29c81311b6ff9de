"""Code blocks of README and docs.

A block that cannot run in the tests has a comment before it that says why:
`<!-- not run: REASON -->`. What must be there first stands in comments as well:
`<!-- given: SHELL COMMAND -->`.
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"(?P<given>(?:^[ ]*<!-- given: [^\n]* -->\n+)*)"
    r"(?:^[ ]*<!-- not run: (?P<reason>[^\n]*) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    document: Path
    line: int
    language: str
    text: str
    not_run: str | None
    """Reason why the tests do not run it; None: they do."""
    given: tuple[str, ...] = ()
    """Shell commands that come before it."""


def documents() -> list[Path]:
    """README and every page of docs."""
    return [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]


def blocks_of(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text("utf-8")
    return [
        Block(
            document,
            text.count("\n", 0, found.start("indent")) + 1,
            found["language"],
            textwrap.dedent(found["text"]),
            found["reason"],
            tuple(re.findall(r"<!-- given: (.*) -->", found["given"])),
        )
        for found in _BLOCK.finditer(text)
    ]


def unifmir_commands(block: Block) -> Iterator[list[str]]:
    """The words of each `unifmir` command of a bash block, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "unifmir":
            yield words
