"""Who imports whom in shipped code, on the level of modules and of rooms."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tests.helpers.shipped_code import LINKED, Module

LAYERS = ("core", *LINKED)
"""From the bottom up: each may import itself and those before it."""
DOTTED = re.compile(r"unifmir(\.\w+)+(:\w+)?")
When = Literal["loading", "called", "typing", "row"]
"""`loading`: at the top of a module. `called`: inside a function. `typing`: for annotations alone.
`row`: as the text of a lazy row, `"module:attribute"`."""

EVERY: tuple[When, ...] = ("loading", "called", "typing")
"""Every import, whenever it is made, for annotations too. Not the text of lazy rows: a row names
what implements it, which reads the table in its turn, and text is how that is done without a
circle."""


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module imports."""

    name: str
    when: When


@cache
def imports(tree: ast.Module) -> tuple[Import, ...]:
    """Everything that a module imports, also inside functions and as the text of lazy rows."""
    return tuple(_imports(tree, "loading"))


def _imports(node: ast.AST, when: When) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, when) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (Import(f"{node.module}.{alias.name}", when) for alias in node.names)
    elif isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value)):
        yield Import(str(node.value).replace(":", "."), "row")
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        when = "called"
    for child in ast.iter_child_nodes(node):
        typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        yield from _imports(child, "typing" if typed else when)


def layer_of(name: str) -> str | None:
    """The layer a dotted name belongs to; None outside unifmir."""
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    if first != "unifmir":
        return None
    return second if second in LAYERS else "core"


def room_of(module: Module) -> str:
    """The folder of a module; a module that lies beside the rooms is a room of its own."""
    parts = module.name.split(".")
    depth = 3 if parts[1:2] and parts[1] in ("export", "zoo", "benchmarks") else 2
    return ".".join(parts[:depth])


def module_graph(modules: list[Module], kinds: Iterable[When]) -> dict[str, set[str]]:
    """The modules that each module imports in one of these ways."""
    known, wanted = {module.name for module in modules}, set(kinds)
    graph: dict[str, set[str]] = {}
    for module in modules:
        named = {one.name for one in imports(module.tree) if one.when in wanted}
        graph[module.name] = {
            found for name in named if (found := _module(name, known)) not in (None, module.name)
        }
    return graph


def room_graph(modules: list[Module], kinds: Iterable[When]) -> dict[str, set[str]]:
    """The rooms that the modules of each room import in one of these ways."""
    rooms = {module.name: room_of(module) for module in modules}
    graph: dict[str, set[str]] = {room: set() for room in rooms.values()}
    for name, imported in module_graph(modules, kinds).items():
        graph[rooms[name]] |= {rooms[other] for other in imported} - {rooms[name]}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other (Tarjan 1972), each sorted; empty if there is none."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(sorted(members))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def _module(name: str, known: set[str]) -> str | None:
    """The module that a dotted name is, or is an attribute of."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None
