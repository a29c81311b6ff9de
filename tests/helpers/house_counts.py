"""Counts that say whether a fact has one home: `python -m tests.helpers.house_counts [ROOT]`.

Everything is read from the syntax trees, so an older tree can be counted too.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.imports import EVERY, circles, module_graph, room_graph
from tests.helpers.shipped_code import REPO, Module, shipped

TASK_NAMES = frozenset({"sr", "denoise", "isotropic", "projection", "volume"})
KINDS = frozenset({"volumetric", "volumetric_output", "enlarge"})
"""Attributes of a network's signature that tell one image interface from another."""
BRANCHES = 3
"""So many branches on the kind of a network are a choice between interfaces."""


def task_comparisons(modules: list[Module]) -> list[str]:
    """Comparisons and cases with a task's literal name, outside unifmir/tasks."""
    return [
        module.at(node, ast.unparse(node))
        for module in modules
        if not module.name.startswith("unifmir.tasks")
        for node in module.nodes
        if (isinstance(node, ast.Compare) and _compares_with_a_task(node))
        or (isinstance(node, ast.MatchValue) and _task_names(node.value))
    ]


def task_tables(modules: list[Module]) -> list[str]:
    """Dictionaries keyed by task, outside unifmir/tasks; JSON files with such keys included."""
    return [
        module.at(node, f"{{{', '.join(sorted(keys))}}}")
        for module in modules
        if not module.name.startswith("unifmir.tasks")
        for node in module.nodes
        if len(keys := _keys(node) & TASK_NAMES) >= 2 or (keys and keys == _keys(node))
    ]


def ladders(modules: list[Module]) -> list[str]:
    """Places that choose an image interface by the kind of network, `interface_of` included."""
    found = []
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef) and (
                sum(map(_tells_the_kind, _tests(node))) >= BRANCHES or _asks_rows(node)
            ):
                found.append(module.at(node, node.name))
            elif isinstance(node, ast.Tuple | ast.List | ast.Set) and (
                sum(_last_name(item).endswith("Interface") for item in node.elts) >= BRANCHES
            ):
                found.append(module.at(node, "list of interfaces"))
    return found


def runners(modules: list[Module]) -> list[str]:
    """Formats that run their files themselves, where a runtime's row does it too."""
    return [
        module.at(member, f"{node.name}.{member.name}")
        for module in modules
        if module.name.startswith("unifmir.export")
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
        and not any("Protocol" in ast.unparse(base) for base in node.bases)
        for member in node.body
        if isinstance(member, ast.FunctionDef) and member.name == "runner"
    ]


def doubled_classes(modules: list[Module]) -> dict[str, list[str]]:
    """Names that several classes have, private ones included, and where those are."""
    return _doubled(
        (node.name, module.at(node))
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
    )


def doubled_modules(modules: list[Module]) -> dict[str, list[str]]:
    """Names that several modules or rooms have, and where those are."""
    return _doubled(
        (module.name.rpartition(".")[2], module.path.as_posix())
        for module in modules
        if module.name != "unifmir"
    )


def _doubled(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for name, place in pairs:
        places[name].append(place)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def _task_names(node: ast.AST) -> set[str]:
    """Names of tasks that an expression is, or that a literal container holds."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return set(TASK_NAMES & {node.value})
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return {name for item in node.elts for name in _task_names(item)}
    return set()


def _compares_with_a_task(node: ast.Compare) -> bool:
    return any(_task_names(side) for side in (node.left, *node.comparators))


def _keys(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Dict):
        return {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {word.arg for word in node.keywords if word.arg}
    return set()


def _tests(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What the branches of a function ask."""
    for node in ast.walk(function):
        if isinstance(node, ast.If | ast.IfExp):
            yield node.test
        elif isinstance(node, ast.match_case):
            yield node.pattern


def _tells_the_kind(test: ast.AST) -> bool:
    """Whether a test asks for a task by name or for the kind of a network."""
    return any(
        (isinstance(node, ast.Compare) and _compares_with_a_task(node))
        or (isinstance(node, ast.MatchValue) and bool(_task_names(node.value)))
        or (isinstance(node, ast.Attribute) and node.attr in KINDS)
        or (isinstance(node, ast.Name | ast.Attribute) and _last_name(node).endswith("Interface"))
        for node in ast.walk(test)
    )


def _asks_rows(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "fits"
        and "INTERFACES" in ast.unparse(node.func)
        for node in ast.walk(function)
    )


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def main() -> None:
    """Print the figures of a tree; `-v` also where."""
    words = [word for word in sys.argv[1:] if word != "-v"]
    modules = shipped(Path(words[0]) if words else REPO)
    counted = {
        "comparisons with a task's name": task_comparisons(modules),
        "tables keyed by task": task_tables(modules),
        "choices of an image interface": ladders(modules),
        "formats with a runner of their own": runners(modules),
        "class names used twice": _lines(doubled_classes(modules)),
        "module names used twice": _lines(doubled_modules(modules)),
        "circles of modules": [", ".join(c) for c in circles(module_graph(modules, EVERY))],
        "circles of rooms": [", ".join(c) for c in circles(room_graph(modules, EVERY))],
    }
    for name, places in counted.items():
        print(f"{len(places):6d}  {name}")
        if "-v" in sys.argv:
            print("".join(f"          {place}\n" for place in places), end="")
    print(f"{len(modules):6d}  modules")
    print(f"{sum(module.lines for module in modules):6d}  lines")


def _lines(doubled: dict[str, list[str]]) -> list[str]:
    return [f"{name}: {re.sub(r':[0-9]+', '', ', '.join(p))}" for name, p in doubled.items()]


if __name__ == "__main__":
    main()
