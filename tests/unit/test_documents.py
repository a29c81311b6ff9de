"""README and docs: links lead somewhere, and code blocks say what this version understands."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.helpers.document_blocks import REPO, Block, blocks_of, documents, unifmir_commands
from tests.helpers.shipped_code import shipped
from unifmir.cli.main import app
from unifmir.metrics import FILE_METRICS, METRICS

DOCUMENTS = documents()
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """A heading's anchor: lower case, words joined by hyphens, nothing but letters and digits."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "", heading)
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(document: Path) -> set[str]:
    text = FENCE.sub("", document.read_text("utf-8"))
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(document: Path):
    lost = []
    for target in LINK.findall(FENCE.sub("", document.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (heading and heading not in anchors(file)):
            lost.append(target)
    assert not lost


def test_every_page_is_in_the_navigation():
    written = re.findall(
        r": ([\w/-]+\.md)$", (REPO / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
    pages = [str(path.relative_to(REPO / "docs")) for path in (REPO / "docs").rglob("*.md")]
    assert sorted(written) == sorted(pages)


def test_every_picture_is_shown():
    shown = "".join(path.read_text("utf-8") for path in DOCUMENTS)
    for picture in [*(REPO / "docs").rglob("*.png"), *(REPO / "docs").rglob("*.svg")]:
        assert f"{picture.parent.name}/{picture.name}" in shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_every_command_and_option_exists(document: Path):
    lost = [
        problem
        for block in blocks_of(document)
        if block.language == "bash"
        for words in unifmir_commands(block)
        if (problem := not_understood(words))
    ]
    assert not lost


def not_understood(words: list[str]) -> str:
    """What of a command line no command has; empty if all of it is there."""
    import typer

    command = typer.main.get_command(app)
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]  # type: ignore[attr-defined]  # a group's
    if hasattr(command, "commands") and not command.params and rest and rest[0][0] != "-":
        return f"no command {rest[0]!r} in {' '.join(words)}"
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    known |= {"--help", "-h", "--version"}
    unknown = [
        word for word in rest if word.startswith("-") and word.partition("=")[0] not in known
    ]
    return f"{unknown} in {' '.join(words)}" if unknown else ""


def test_an_unknown_command_and_an_unknown_option_are_found():
    assert "'restor'" in not_understood(["unifmir", "zoo", "restor"])
    assert "--tasks" in not_understood(["unifmir", "restore", "cells.tif", "--tasks", "sr"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_every_python_block_compiles_and_its_names_exist(document: Path):
    for block in blocks_of(document):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unifmir"):
                    module = import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names)


RUN_HERE = ("bash", "python")
"""Languages of blocks that the tests can run; `ijm` is ImageJ's, for which they have no program."""
NOT_RUN = 52
"""Blocks in these languages that are not run, each for its reason: this may fall, and not grow."""


def test_every_block_is_run_or_says_why_not():
    blocks = [block for document in DOCUMENTS for block in blocks_of(document)]
    assert {block.language for block in blocks} <= {*RUN_HERE, "ijm"}
    left = [block for block in blocks if block.not_run is not None]
    assert all(block in left for block in blocks if block.language not in RUN_HERE)
    assert not [block for block in left if len(block.not_run or "") < 10]
    assert sum(block.language in RUN_HERE for block in left) <= NOT_RUN


def test_no_code_hides_in_an_indented_block_of_a_page_for_users():
    """Blocks without a fence are found by no test."""
    hidden = [
        f"{page.name}: {line}"
        for page in (REPO / "docs" / "use").glob("*.md")
        for line in FENCE.sub("", page.read_text("utf-8")).splitlines()
        if re.match(r" {4,}\S.*[;)]$", line)
    ]
    assert not hidden


def test_the_reference_of_commands_has_every_command():
    from unifmir.benchmarks.studies.document_commands import command_reference

    text = command_reference()
    for path in ("restore", "export", "zoo add", "benchmark diff"):
        assert f" unifmir {path}\n" in text
    assert "`--percentiles`" in text


def test_blocks_are_found_with_their_reason(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: no network -->\n```bash\nunifmir doctor\n```\n\n```python\n1\n```\n"
    )
    first, second = blocks_of(page)
    assert first == Block(page, 2, "bash", "unifmir doctor\n", "no network")
    assert (second.language, second.not_run) == ("python", None)


def test_the_page_on_evaluating_explains_every_figure_that_is_printed():
    text = (REPO / "docs" / "evaluate.md").read_text("utf-8")
    explained = text.split("| figure |")[1].split("\n\n")[0]
    for metric in (*METRICS.values(), *FILE_METRICS.values()):
        name = (metric.short or metric.title).removeprefix("unfitted ").removeprefix("fitted ")
        assert name in explained


def test_every_environment_variable_of_ours_is_explained():
    told = (REPO / "docs" / "commands.md").read_text("utf-8")
    named = {
        name
        for module in shipped()
        for name in re.findall(r"\"(UNIFMIR_[A-Z_]+)\"", (REPO / module.path).read_text("utf-8"))
    }
    assert "UNIFMIR_HOME" in named
    assert not [name for name in named if f"`{name}`" not in told]
