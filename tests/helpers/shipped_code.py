"""The files of shipped code: what the wheel holds, neither tests nor `benchmarks/studies`."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LINKED = ("export", "zoo", "benchmarks", "cli")
"""Folders at the top that are imported as `unifmir.NAME`, from the bottom up."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file of shipped code."""

    path: Path
    """As it is named in the repository."""
    name: str
    """As it is imported."""
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    """All of the tree: many rules look at each, and walking takes longer than looking."""
    lines: int

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a folder."""
        return self.path.name == "__init__.py"

    def at(self, node: ast.AST, text: str = "") -> str:
        """Place of a node for people."""
        return f"{self.path.as_posix()}:{getattr(node, 'lineno', 0)} {text}".rstrip()


@cache
def shipped(root: Path = REPO) -> list[Module]:
    """The modules of the wheel; links inside unifmir/ are not followed."""
    found = []
    for folder in ("unifmir", *LINKED):
        if folder in LINKED and not (root / "unifmir" / folder).exists():
            continue
        for path in sorted((root / folder).rglob("*.py")):
            inside = path.relative_to(root)
            if inside.parts[:2] in {("unifmir", name) for name in LINKED}:
                continue
            if "studies" in inside.parts:
                continue
            text = path.read_text("utf-8")
            parts = inside.with_suffix("").parts
            name = ".".join(parts if folder == "unifmir" else ("unifmir", *parts))
            tree = ast.parse(text, str(path))
            lines = len(text.splitlines())
            nodes = tuple(ast.walk(tree))
            found.append(Module(inside, name.removesuffix(".__init__"), tree, nodes, lines))
    return found
