"""The rules of layout that keep the project easy to change, held by reading the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import house_counts as counts
from tests.helpers.imports import (
    EVERY,
    LAYERS,
    circles,
    imports,
    layer_of,
    module_graph,
    room_graph,
)
from tests.helpers.shipped_code import Module, shipped
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES

pytestmark = pytest.mark.xdist_group("source")  # which is parsed once

REPO = Path(__file__).resolve().parents[2]
FACADE = ("unifmir", "unifmir.__main__")
"""`import unifmir` and `python -m unifmir`: they stand before the layers and name those above."""
MAX_LINES = 400
NETWORK_IMPORTS = ("torch", "math", "collections.abc", "typing", "unifmir.networks")
"""A BioImage.IO package carries the networks' files, where nothing else is installed."""
SHARED_NAMES = {
    "base": "types of the rows of a room",
    **dict.fromkeys(
        ("aotinductor", "openvino", "tensorrt", "torchscript"),
        "a format, and the runtime of the library that both are named after",
    ),
    "bioimageio": "a format, and the place that it is published at",
    "native": "the kernels, and the runtime that runs them",
    **dict.fromkeys(
        ("doctor", "export", "publish", "report", "restore", "serve", "zoo"),
        "a command named like its room",
    ),
    **dict.fromkeys(("projection", "volume"), "a task, and the first network that it has alone"),
}
"""Names that two modules have, and why."""

READERS = {
    "unifmir.plain_text_values": "the one place where JSON and YAML of files become values",
    "unifmir.zip_archive": "the one place where archives are opened",
    "unifmir.benchmarks.measure.worker": "lines of the process that started it",
    "unifmir.benchmarks.measure.worker_process": "answers of the process that it started",
    "unifmir.training.scene_workers": "answers of the processes that it started",
    "unifmir.training.scene_process": "lines of the process that started it",
    "unifmir.export.isolation": "answers of the process that it started",
    "unifmir.export.isolated_process": "lines of the process that started it",
    "unifmir.export.formats.bioimageio.partners.side_environments": (
        "answers of the process that it started"
    ),
    "unifmir.export.formats.bioimageio.partners.core_program": "what started it gives it",
    "unifmir.export.formats.bioimageio.partners.biapy_program": "what started it gives it",
    "unifmir.images.zarr_metadata": "Zarr's own, in which NaN is a value, bounded there",
    "unifmir.export.runtimes.tensorrt.certificate": "the library's own list of an engine's layers",
}
"""Modules that may read JSON, YAML or archives by the libraries themselves, and why."""
OPENERS = (
    *("json.load", "json.loads", "json.JSONDecoder", "yaml.load", "YAML", "tomllib.load"),
    *("zipfile.ZipFile", "zipfile.is_zipfile", "ZipFile", "tarfile.open", "shutil.unpack_archive"),
    *("pickle.load", "marshal.loads", "eval", "exec", "from_json"),
)
"""Calls that make values, files or programs of what stands in a file."""


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """Shipped code."""
    return shipped()


@pytest.fixture(scope="module")
def layered(modules: list[Module]) -> list[Module]:
    """Shipped code without what stands before the layers."""
    return [module for module in modules if module.name not in FACADE]


@pytest.fixture(scope="module")
def own_sources(modules: list[Module]) -> list[Path]:
    """Every Python file of the project; the links inside unifmir/ are not followed."""
    studies = (path for path in sorted((REPO / "benchmarks" / "studies").rglob("*.py")))
    tests = (path for path in sorted((REPO / "tests").rglob("*.py")))
    return [*(REPO / module.path for module in modules), *studies, *tests]


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def shown(path: Path) -> str:
    """A path as it is named in the repository."""
    return path.relative_to(REPO).as_posix()


def imported(modules: list[Module]) -> Iterator[tuple[Module, str]]:
    """Modules with each name that they import, the text of lazy rows included."""
    yield from ((module, one.name) for module in modules for one in imports(module.tree))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_itself_and_the_layers_below(layer, layered):
    allowed = {None, *LAYERS[: LAYERS.index(layer) + 1]}
    members = [module for module in layered if layer_of(module.name) == layer]
    assert members, f"no sources found for {layer}"
    upward = [
        f"{module.path} imports {name}"
        for module, name in imported(members)
        if layer_of(name) not in allowed
    ]
    assert not upward


def test_studies_are_imported_by_nothing_shipped(modules):
    assert not [
        f"{module.path} imports {name}"
        for module, name in imported(modules)
        if name.startswith(("unifmir.benchmarks.studies", "benchmarks"))
    ]


def test_no_circle_of_modules(layered):
    assert not circles(module_graph(layered, EVERY))


def test_no_circle_of_rooms(layered):
    assert not circles(room_graph(layered, EVERY))


def test_runtimes_know_nothing_of_the_formats_that_use_them(layered):
    runtimes = [module for module in layered if module.name.startswith("unifmir.export.runtimes")]
    assert runtimes
    assert not [
        f"{module.path} imports {name}"
        for module, name in imported(runtimes)
        if name.startswith("unifmir.export.formats")
    ]


def test_no_two_classes_of_one_name(modules):
    assert not counts.doubled_classes(modules)


def test_no_two_modules_of_one_name_without_a_reason(modules):
    assert set(counts.doubled_modules(modules)) == set(SHARED_NAMES)


def test_what_depends_on_a_task_is_read_from_its_row(modules):
    assert not counts.task_tables(modules)
    assert not counts.task_comparisons(modules)


def test_one_place_chooses_the_image_interface(modules):
    places = {place.split()[-1] for place in counts.ladders(modules)}
    assert places == {"interface_of"}


def test_formats_are_run_by_runtimes_alone(modules):
    assert not counts.runners(modules)


def test_networks_import_nothing_but_torch_and_each_other(modules):
    networks = [module for module in modules if module.name.startswith("unifmir.networks")]
    foreign = [
        f"{module.path} imports {name}"
        for module, name in imported(networks)
        if not name.startswith(tuple(f"{allowed}." for allowed in NETWORK_IMPORTS))
        and name not in NETWORK_IMPORTS
    ]
    assert networks
    assert not foreign


def test_one_place_reads_the_text_and_the_archives_of_strangers(modules):
    calls = [
        (module, node, ast.unparse(node.func))
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.Call)
    ]
    found = [(module, node, call) for module, node, call in calls if call in OPENERS]
    assert not [m.at(node, call) for m, node, call in found if m.name not in READERS]
    assert {module.name for module, *_ in found} == set(READERS)


def test_imports_are_absolute(own_sources):
    relative = [
        f"{shown(path)}: {found[0].strip()}"
        for path in own_sources
        if (found := re.findall(r"^\s*from\s+\..*", path.read_text("utf-8"), re.MULTILINE))
    ]
    assert not relative


def test_modules_are_short(own_sources):
    long = {
        shown(path): lines
        for path in own_sources
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_every_folder_with_modules_is_a_package(modules):
    # setuptools finds packages by their __init__.py; without it a folder is left out of the wheel.
    packages = {module.path.parent for module in modules if module.is_package}
    assert not [shown(REPO / m.path) for m in modules if m.path.parent not in packages]


def test_every_exporter_has_a_row(modules):
    rows = {FORMATS.target(name).partition(":")[0] for name in FORMATS}
    without = [
        module.at(node, node.name)
        for module in modules
        if module.name.startswith("unifmir.export")
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
        and node.name.endswith("Exporter")
        and node.name != "Exporter"  # the protocol
        and module.name not in rows
    ]
    assert not without


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_row_leads_to_an_exporter_of_that_name(name):
    exporter = FORMATS[name]
    assert exporter.name == name
    assert exporter.suffix.startswith(".")
    assert exporter.runtime in RUNTIMES
    assert all(callable(getattr(exporter, part)) for part in ("write", "lineage"))


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


DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_files_that_there_are(document):
    named = re.findall(r"`([\w./-]+/[\w-]+\.\w+)`", (REPO / document).read_text("utf-8"))
    assert named
    assert not [name for name in named if not (REPO / name).exists()]


def test_each_way_through_the_house_is_at_most_eight_files():
    text = (REPO / "ARCHITECTURE.md").read_text("utf-8")
    section = text.split("## Three ways through the house")[1].split("\n## ")[0]
    ways = [way for way in section.split("\nFrom ") if way.strip()]
    files = [re.findall(r"^\d+\. `([^`]+\.py)`", way, re.MULTILINE) for way in ways]
    assert len(files) == 3
    assert all(1 < len(way) <= 8 for way in files)
