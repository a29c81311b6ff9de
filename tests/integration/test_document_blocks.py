"""Every code block of README and docs runs, from the top of its page to the bottom."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import unifmir
from tests.helpers.document_blocks import REPO, Block, blocks_of, documents
from unifmir.samples import sample
from unifmir.tasks import multitask_parts

RUN = {
    document: blocks
    for document in documents()
    if (blocks := [block for block in blocks_of(document) if block.not_run is None])
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """What the pages speak of: images, a checkpoint, and the commands `unifmir` and `python`."""
    folder: Path = tmp_path_factory.mktemp("inputs")
    page = folder / "page"
    (page / "images").mkdir(parents=True)
    (page / "samples").mkdir()
    for task in multitask_parts():
        tifffile.imwrite(page / "samples" / f"{task}.tif", sample(task).image)
    stack = np.ascontiguousarray(sample("denoise").image[:6, :40, :40])
    tifffile.imwrite(page / "my_cells.tif", sample("sr").image)
    for folder_name, noise in (("truth", 0), ("restored", 5)):
        (page / folder_name).mkdir()
        for name in ("a.tif", "b.tif"):
            values = sample("sr").image + np.float32(noise)
            tifffile.imwrite(page / folder_name / name, values.astype(np.float32))
    for name in ("cells.tif", "my_stack.tif", "images/a.tif", "images/b.tif"):
        tifffile.imwrite(page / name, stack, imagej=True, metadata={"axes": "ZYX"})
    torch.save(unifmir.load("unifmir-small-sim").state_dict(), page / "model_best.pt")
    commands = folder / "bin"
    commands.mkdir()
    for name, started in (("unifmir", f"{sys.executable} -m unifmir"), ("python", sys.executable)):
        (commands / name).write_text(f'#!/bin/sh\nexec {started} "$@"\n')
        (commands / name).chmod(0o755)
    return folder


def run(block: Block, folder: Path, environment: dict[str, str]) -> None:
    text = block.text
    if block.language == "python":
        (folder / "block.py").write_text(text)
        text = "python block.py"
    script = "\n".join(["set -e -o pipefail", *block.given, text])
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    shown = f"{block.document.name}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, shown


FIRST_READ = ("README.md", "docs/serve.md", "docs/install.md", "docs/howto/biologist.md")
"""Pages that people begin with; `make test-all` runs the others. Blocks of docs/training.md take
39 s of a core; its chain, from a folder of pairs to a package, test_training_chains.py has too.
"""


def _marks(document: Path) -> tuple[pytest.MarkDecorator, ...]:
    first = any(document.is_relative_to(REPO / page) for page in FIRST_READ)
    return () if first else (pytest.mark.long,)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # a page exports several models
@pytest.mark.parametrize(
    "document",
    [pytest.param(page, marks=_marks(page), id=str(page.relative_to(REPO))) for page in RUN],
)
def test_every_block_of_a_page_runs(document: Path, inputs: Path, tmp_path: Path):
    folder = tmp_path / "page"
    shutil.copytree(inputs / "page", folder)
    environment = {
        **os.environ,
        "PATH": f"{inputs / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO),
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    for block in RUN[document]:
        run(block, folder, environment)
