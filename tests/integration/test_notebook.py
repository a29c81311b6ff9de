"""The notebook runs from top to bottom, and holds no outputs."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.document_blocks import REPO

NOTEBOOK = REPO / "docs" / "notebook.ipynb"


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_holds_code_and_no_outputs():
    cells = code_cells()
    assert len(cells) >= 4
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    for cell in cells:
        compile("".join(cell["source"]), "cell", "exec")


@pytest.mark.slow
def test_every_cell_runs_in_order(tmp_path):
    script = "\n".join("".join(cell["source"]) for cell in code_cells())
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exported" / "unifmir-sr.onnx").is_file()
