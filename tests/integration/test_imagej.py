"""The scripts for Fiji and ImageJ, run by ImageJ and Groovy against a server where these are."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.helpers.serve_command import ServeCommand, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("imagej"),
]
JAR = Path("/usr/share/java/ij.jar")
"""ImageJ, where Debian's package `imagej` puts it."""
SCREEN = ("xvfb-run", "-a", "java", "-cp", JAR, "ij.ImageJ", "-batch")
"""ImageJ without Fiji makes its menus whatever it is told: it needs a screen, if a made-up one."""
NEEDS_IMAGEJ = pytest.mark.skipif(
    not JAR.is_file() or None in map(shutil.which, ("curl", "java", "xvfb-run")),
    reason="no ImageJ, curl or made-up screen: apt-get install imagej curl xvfb",
)
NEEDS_GROOVY = pytest.mark.skipif(
    not JAR.is_file() or shutil.which("groovy") is None,
    reason="no ImageJ or Groovy: apt-get install imagej groovy",
)
SHAPE = (2, 2, 24, 32)
"""Time points, channels, rows, columns."""
WRAPPER = """
words = split(getArgument(), "|");
open(words[0]);
rename("cells, raw");
makeRectangle(2, 3, 8, 9);
said = runMacro(words[1], words[2]);
if (said == "[aborted]") exit;
getDimensions(width, height, channels, slices, frames);
getPixelSize(unit, pixel, rows);
getMinAndMax(low, high);
print(getTitle() + "|" + width + "|" + height + "|" + channels + "|" + slices + "|" + frames);
print(unit + "|" + pixel + "|" + Stack.getFrameInterval() + "|" + low + "|" + high);
saveAs("Tiff", words[3]);
selectWindow("cells, raw");
print(selectionType() + "|" + is("changes"));
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeCommand]:
    """A server with one job at once."""
    with serving(tmp_path_factory.mktemp("serve"), "--jobs", "1") as command:
        yield command


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ImageJ hyperstack of time points and channels, with sizes and a display range."""
    path = tmp_path_factory.mktemp("cells") / "cells.tif"
    image = np.random.default_rng(4).poisson(300, SHAPE).astype(np.uint16)
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.25),
        metadata={
            "axes": "TCYX",
            "unit": "um",
            "finterval": 3.0,
            "mode": "composite",
            "Ranges": (100.0, 500.0, 120.0, 480.0),
        },
    )
    return path


@pytest.fixture(scope="module")
def by_command(cells: Path) -> Any:
    """What the command makes of it."""
    command = [sys.executable, "-m", "unifmir", "restore", cells.name, "--task", "sr"]
    subprocess.run([*command, "--json"], cwd=cells.parent, check=True, capture_output=True)
    return tifffile.imread(cells.with_name("cells.sr.tif"))


def java(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Java's."""
    # Debian's groovy looks for a default that need not be there.
    home = Path(os.path.realpath(shutil.which("java") or "")).parents[1]
    return subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "JAVA_HOME": str(home)},
    )


@NEEDS_IMAGEJ
def test_the_macro_restores_the_image_in_front(server, cells, by_command, repo, tmp_path):
    wrapper, result = tmp_path / "wrapper.ijm", tmp_path / "result.tif"
    wrapper.write_text(WRAPPER, "utf-8")
    macro = repo / "docs" / "use" / "UniFMIR_Restore.ijm"
    told = f"task=sr server={server.address}"
    run = java(
        *(*SCREEN, wrapper),
        f"{cells}|{macro}|{told}|{result}",
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.strip().splitlines()
    assert lines[:1] == ["cells, raw (sr)|64|48|2|1|2"], run.stdout + run.stderr
    unit, pixel, interval, low, high = lines[1].split("|")
    assert unit in ("micron", "um", "µm", "\\u00B5m")
    assert [float(pixel), float(interval)] == [0.125, 3.0]
    assert [float(low), float(high)] == [100.0, 500.0]
    assert lines[2] == "0|0"  # the rectangle is there again
    np.testing.assert_allclose(tifffile.imread(result), by_command, rtol=1e-5)


@NEEDS_IMAGEJ
def test_the_macro_says_why_there_is_no_result(server, cells, repo, tmp_path):
    wrapper = tmp_path / "wrapper.ijm"
    wrapper.write_text(WRAPPER, "utf-8")
    macro = repo / "docs" / "use" / "UniFMIR_Restore.ijm"
    run = java(
        *(*SCREEN, wrapper),
        f"{cells}|{macro}|task=isotropic server={server.address}|{tmp_path / 'result.tif'}",
    )
    assert "UniFMIR: " in run.stdout + run.stderr
    assert "single plane" in run.stdout + run.stderr
    assert not (tmp_path / "result.tif").exists()


@NEEDS_GROOVY
def test_the_script_of_fiji_restores_the_image_in_front(server, cells, by_command, repo, tmp_path):
    result = tmp_path / "result.tif"
    run = java(
        *("groovy", "-cp", JAR, repo / "tests" / "helpers" / "run_fiji_script.groovy"),
        *(repo / "docs" / "use" / "UniFMIR_Restore.groovy", cells, result),
        *("task=sr", "model=unifmir-small-sim", f"server={server.address}/", "more=tile: 64"),
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.strip().splitlines()[-1])
    assert found["title"] == "cells, raw (sr)"
    assert found["kept"] == ["cells, raw", True]
    assert found["sizes"] == [64, 48, 2, 1, 2]
    assert [found["pixel"], found["interval"]] == [0.125, 3.0]
    assert found["shown"] == [[100.0, 500.0], [120.0, 480.0]]
    np.testing.assert_allclose(tifffile.imread(result), by_command, rtol=1e-5)


@NEEDS_GROOVY
def test_the_script_of_fiji_says_why_there_is_no_result(server, cells, repo, tmp_path):
    run = java(
        *("groovy", "-cp", JAR, repo / "tests" / "helpers" / "run_fiji_script.groovy"),
        *(repo / "docs" / "use" / "UniFMIR_Restore.groovy", cells, tmp_path / "result.tif"),
        *("task=sr", "model=nobodys-model", f"server={server.address}", "more="),
    )
    assert run.returncode != 0
    assert "nobodys-model" in run.stderr
    assert not (tmp_path / "result.tif").exists()


@NEEDS_GROOVY
def test_escape_cancels_the_job(server, cells, repo, tmp_path):
    run = java(
        *("groovy", "-cp", JAR, repo / "tests" / "helpers" / "run_fiji_script.groovy"),
        *(repo / "docs" / "use" / "UniFMIR_Restore.groovy", cells, tmp_path / "result.tif"),
        *("task=sr", "model=unifmir-small-sim", f"server={server.address}", "more="),
        "escape=yes",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().splitlines()[-1] == "no result"
    deadline = time.monotonic() + 30
    while server.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.children() == []  # the job's process has ended


@NEEDS_GROOVY
def test_the_script_for_qupath_is_groovy(repo, tmp_path):
    # QuPath is not here: that it can be read is what is looked at.
    script = repo / "docs" / "use" / "unifmir_qupath.groovy"
    check = tmp_path / "check.groovy"
    check.write_text(
        "def unit = new org.codehaus.groovy.control.CompilationUnit()\n"
        f"unit.addSource(new File('{script}'))\n"
        "unit.compile(org.codehaus.groovy.control.Phases.CONVERSION)\n"
        "println 'read'\n",
        "utf-8",
    )
    run = java("groovy", check)
    assert run.stdout.strip() == "read", run.stderr
