"""The rules of layout that keep the project easy to change, held by reading the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from unifmir.export.formats import FORMATS

REPO = Path(__file__).resolve().parents[2]
LAYERS = ("core", "export", "zoo", "benchmarks", "cli")
"""From the bottom up: each may import itself and those before it."""
FACADE = (REPO / "unifmir" / "__init__.py", REPO / "unifmir" / "__main__.py")
"""`import unifmir` and `python -m unifmir`: they stand before the layers and name those above."""
MAX_LINES = 400
NETWORK_IMPORTS = ("torch", "math", "collections.abc", "typing", "unifmir.networks")
"""A BioImage.IO package carries the networks' files, where nothing else is installed."""
DOTTED = re.compile(r"unifmir(\.\w+)+(:\w+)?")


def sources(layer: str) -> list[Path]:
    """The Python files of a layer; the links inside unifmir/ are not followed."""
    folder = REPO / ("unifmir" if layer == "core" else layer)
    above = {folder / name for name in LAYERS}
    return sorted(p for p in folder.rglob("*.py") if not above.intersection(p.parents))


def packages_sources() -> list[Path]:
    """The Python files of all layers."""
    return [path for layer in LAYERS for path in sources(layer)]


def own_sources() -> list[Path]:
    """Every Python file of the project."""
    others = (REPO / name for name in ("tests", "benchmarks"))
    return [*packages_sources(), *(p for folder in others for p in sorted(folder.rglob("*.py")))]


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, also inside functions and as strings of lazy rows."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value)):
            yield str(node.value).replace(":", ".")


def layer_of(name: str) -> str | None:
    """The layer a dotted name belongs to; None outside unifmir."""
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    if first != "unifmir":
        return None
    return second if second in LAYERS else "core"


def shown(path: Path) -> str:
    """A path as it is named in the repository."""
    return path.relative_to(REPO).as_posix()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_itself_and_the_layers_below(layer):
    allowed = {None, *LAYERS[: LAYERS.index(layer) + 1]}
    assert sources(layer), f"no sources found for {layer}"
    upward = [
        f"{shown(path)} imports {name}"
        for path in sources(layer)
        if path not in FACADE
        for name in imported_names(path)
        if layer_of(name) not in allowed
    ]
    assert not upward


def test_networks_import_nothing_but_torch_and_each_other():
    folder = REPO / "unifmir" / "networks"
    foreign = [
        f"{shown(path)} imports {name}"
        for path in sorted(folder.glob("*.py"))
        for name in imported_names(path)
        if not name.startswith(tuple(f"{allowed}." for allowed in NETWORK_IMPORTS))
        and name not in NETWORK_IMPORTS
    ]
    assert not foreign


def test_imports_are_absolute():
    relative = [
        f"{shown(path)}:{node.lineno}"
        for path in own_sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not relative


def test_modules_are_short():
    long = {
        shown(path): lines
        for path in own_sources()
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_every_folder_with_modules_is_a_package():
    # setuptools finds packages by their __init__.py; without it a folder is left out of the wheel.
    folders = {path.parent for path in packages_sources()}
    assert not [shown(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_every_exporter_has_a_row():
    rows = {FORMATS.target(name).partition(":")[0] for name in FORMATS}
    without = [
        shown(path)
        for path in sources("export")
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef)
        and node.name.endswith("Exporter")
        and node.name != "Exporter"  # the protocol
        and ".".join(["unifmir", *path.relative_to(REPO).with_suffix("").parts]) not in rows
    ]
    assert not without


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_row_leads_to_an_exporter_of_that_name(name):
    exporter = FORMATS[name]
    assert exporter.name == name
    assert exporter.suffix.startswith(".")
    assert all(callable(getattr(exporter, part)) for part in ("write", "runner", "lineage"))


def test_every_format_has_a_contract_test():
    # A contract test either names its format or runs for every row of FORMATS.
    constants, names = set(), set()
    for path in (REPO / "tests" / "contract").glob("test_*.py"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant):
                constants.add(node.value)
            elif isinstance(node, ast.Name):
                names.add(node.id)
    assert "FORMATS" in names or not set(FORMATS) - constants
