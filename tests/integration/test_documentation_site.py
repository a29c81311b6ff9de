"""The site of the documentation, as `make docs` builds it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.document_blocks import REPO


@pytest.mark.slow
def test_the_site_is_built_strictly_and_its_tables_are_folded(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="mkdocs is in the extra docs")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is in the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path],
        cwd=REPO,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results" / "sr.html").read_text("utf-8")
    folded = r"<details>\s*<summary>The table</summary>\s*<div class=[^>]*><pre>.*?\bsr, patch"
    assert len(re.findall(folded, page, re.DOTALL)) == 2
    assert page.index("quality.svg") < page.index("<details>")
    api = (tmp_path / "api.html").read_text("utf-8")
    for name in ("restore", "evaluate", "train", "benchmark"):
        assert re.search(rf'id="unifmir\.[\w.]*\.{name}"', api), name
