"""How commands end: by signals, beside another process, and where a machine lacks something."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from _pytest.mark.structures import ParameterSet
from typer.testing import CliRunner

from tests.compat.packages import network
from tests.helpers.waiting_process import ended_with_test
from unifmir.benchmarks.studies import kills
from unifmir.benchmarks.studies.small_commands import READY
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.file_locks import held
from unifmir.zoo.catalogue import directories

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and permissions are POSIX")


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint and images, which is the current one."""
    save(network("sr"), tmp_path / "model.safetensors")
    values = np.random.default_rng(0).integers(100, 4000, (150, 110)).astype(np.uint16)
    for name in ("cells.tif", "more.tif"):
        tifffile.imwrite(tmp_path / name, values, imagej=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path


ADD = (
    *("zoo", "add", "--id", "mine", "--file", "model.safetensors", "--title", "Mine"),
    *("--dataset", "simulated", "--author", "Nobody"),
)
RESTORE = ("restore", "cells.tif", "--model", "model.safetensors", "--device", "cpu")
EXPORT = ("export", "--checkpoint", "model.safetensors", "--format", "onnx", "--out", "out")
TRAIN = (
    *("train", "finetune", "--init", "model.safetensors", "--task", "sr"),
    *("--out", "out.safetensors"),
)
PRUNE = ("prune", "model.safetensors", "--task", "sr", "--out", "out.safetensors")
MEASURE = ("benchmark", "--model", "model.safetensors", "--out", "out.json")
slow = pytest.mark.slow  # another command than the quick one, by the same lock


@pytest.mark.parametrize(
    ("output", "command"),
    [
        ("home/entries/mine.json", ADD),
        pytest.param("out/unifmir-sr", EXPORT, marks=slow),
        pytest.param("cells.sr.tif", RESTORE, marks=slow),
        pytest.param("out.ome.zarr", (*RESTORE, "--out", "out.ome.zarr"), marks=slow),
        pytest.param("cells.sr.tif", (*RESTORE, "--workers", "1"), marks=slow),
        pytest.param("out.safetensors", TRAIN, marks=slow),
        pytest.param("out.json", MEASURE, marks=slow),
        pytest.param("out.safetensors", PRUNE, marks=slow),
    ],
)
def test_the_second_process_on_an_output_is_told_who_is_at_it(inputs, output, command):
    with held(inputs / output):
        before = sorted(inputs.rglob("*"))
        refused = CliRunner().invoke(app, list(command))
        assert refused.exit_code == 2, refused.output
        assert f"is being written by process {os.getpid()} on " in refused.stderr
        assert Path(output).name in refused.stderr
        assert sorted(inputs.rglob("*")) == before


def test_what_a_killed_process_held_is_taken_over(inputs):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom unifmir.file_locks import hold\n"
        "hold(Path(sys.argv[1]))\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    entry = inputs / "home" / "entries" / "mine.json"
    killed = subprocess.run([sys.executable, "-c", script, entry], env=environment())
    assert killed.returncode == -signal.SIGKILL
    assert len(list(entry.parent.iterdir())) == 1
    added = CliRunner().invoke(app, list(ADD))
    assert added.exit_code == 0, added.stderr
    assert [path.name for path in entry.parent.iterdir()] == ["mine.json"]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command that runs in another folder."""
    here = str(Path(kills.__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1", **changes}


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started(inputs: Path) -> Iterator[Start]:
    """Function that starts a small command, with temporary files of its own."""
    (inputs / "tmp").mkdir()
    running = ExitStack()

    def start(*command: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.studies.small_commands", *command],
            # PyTorch's own cache is among the temporary files where it is not named.
            env=environment(
                TMPDIR=str(inputs / "tmp"), TORCHINDUCTOR_CACHE_DIR=str(inputs / "inductor")
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.enter_context(ended_with_test(process))
        assert process.stderr is not None
        assert f"{READY}\n" in process.stderr
        return process

    with running:
        yield start


WITH_WORKERS = {
    "restore": ("restore", "cells.tif", "more.tif", "--model", "model.safetensors", "--out", "out")
    + ("--workers", "2", "--device", "cpu", "--tile", "32"),
    "benchmark": ("benchmark", "--model", "model.safetensors", "--runtime", "eager", "--out")
    + ("out.json", "--workload", "image", "--seconds", "60", "--rounds", "2", "--threads", "1"),
    "train": (*TRAIN, "--steps", "100000", "--device", "cpu", "--workers", "1"),
    "train in processes": (*TRAIN, "--steps", "100000", "--device", "cpu", "--processes", "2"),
}
LOADED_BYTES = {"train": 40e6}
"""Memory of a process that has loaded NumPy alone; others load PyTorch."""


SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
"""Signal -> exit code."""


def _ends() -> Iterator[ParameterSet]:
    """Each command with the signal that it cannot answer, and one command with each."""
    for name, (sent, code) in product(WITH_WORKERS, SIGNALS.items()):
        long = sent != signal.SIGKILL and name != "benchmark"
        yield pytest.param(name, sent, code, marks=pytest.mark.long if long else ())


@pytest.mark.slow  # a command with processes of its own
@pytest.mark.parametrize(("name", "sent", "code"), list(_ends()))
def test_workers_end_with_the_command_that_started_them(inputs, started, name, sent, code):
    process = started(*WITH_WORKERS[name])
    least = LOADED_BYTES.get(name, 150e6)
    # Not before the work begins: Dask says itself what it thinks of an end while it starts.
    workers = wait_for(lambda: begun(inputs) and busy_children(process.pid, least), 120)
    process.send_signal(sent)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == code, told
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    if sent != signal.SIGKILL:
        assert {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}[sent] in told
        assert "Traceback" not in told
        assert not [path for path in (inputs / "tmp").iterdir() if path.name != ".ses"]


def begun(folder: Path) -> bool:
    """Whether a command has begun its output."""
    named = (folder / name for name in ("out.json", "out.safetensors.state.pt"))
    return any(folder.glob("out/.unifmir-partial-*")) or any(path.exists() for path in named)


def busy_children(pid: int, least: float) -> list[psutil.Process]:
    """Processes that a command started and that have loaded something."""
    found = psutil.Process(pid).children(recursive=True)
    return found if any(one.memory_info().rss > least for one in found) else []


def wait_for(
    look: Callable[[], list[psutil.Process] | bool], seconds: float
) -> list[psutil.Process]:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not isinstance(found, bool)
    return found


KILLED_ELSEWHERE = ("benchmark", "data prepare", "restore to OME-Zarr")
"""Of `kills.COMMANDS`, those whose ends other slow tests have: test_benchmark_run.py interrupts one
between rows, test_preparation.py one between pairs, test_cluster.py kills what writes OME-Zarr."""


@pytest.mark.slow  # a command runs twice beside the time that it is killed
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(one, marks=pytest.mark.long if one.name in KILLED_ELSEWHERE else ())
        for one in kills.COMMANDS
    ],
    ids=lambda one: one.name.replace(" ", "-"),
)
def test_a_killed_command_leaves_nothing_half_and_the_next_run_ends_as_if_undisturbed(command):
    (kill,) = kills.kills(command, 1, seed=5)
    assert kill.held, kill


NO_TEMPORARY_FOLDER = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/nonexistent/tmp"]
"""
NO_HOME = """
import platformdirs
for kind in ("data", "cache", "state"):
    setattr(platformdirs, f"user_{kind}_dir", lambda *_, **__: "~/.local/unifmir")
"""
NO_COMPILER = """
import sys
sys.modules["ziglang"] = None
"""
RUN = "from unifmir.cli.main import run; run()"


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that nobody may write to."""
    folder = Path("read-only").absolute()
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)


def unprivileged() -> list[str]:
    """Start of a command that permissions hold for, also where root runs the tests."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not there to change that")
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]


LACKS: dict[str, tuple[str, dict[str, str]]] = {
    "home that can be written to": ("", {"HOME": "read-only"}),
    "home that is there": ("", {"HOME": "read-only/nowhere"}),
    "known home": (NO_HOME, {"HOME": ""}),
    "temporary folder": (NO_TEMPORARY_FOLDER, {}),
    "temporary folder of its name": ("", {"TMPDIR": "read-only"}),
    "compiler": (NO_COMPILER, {"PATH": "/nonexistent"}),
    "cache that can be written to": ("", {"UNIFMIR_NATIVE_CACHE": "read-only"}),
    "anything": (NO_TEMPORARY_FOLDER + NO_COMPILER, {"HOME": "read-only", "PATH": "/nonexistent"}),
}


TOGETHER = ("cache that can be written to", "anything")
"""Of `LACKS`, those that hold most of the others; a place for temporary files and a compiler are
among the things that `anything` lacks."""


@pytest.mark.slow  # two commands in processes of their own
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "lack",
    [pytest.param(lack, marks=() if lack in TOGETHER else pytest.mark.long) for lack in LACKS],
)
def test_export_and_restore_work_without(lack, inputs, read_only):
    prelude, changes = LACKS[lack]
    places = {name: value.replace("read-only", str(read_only)) for name, value in changes.items()}
    own = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "UNIFMIR_TRUSTED", "UNIFMIR_HOME")
    wanted = environment(**(dict.fromkeys(own, "") | places))
    lacking = {name: value for name, value in wanted.items() if value}
    start = [*unprivileged(), sys.executable, "-c", prelude + RUN]
    start[0] = shutil.which(start[0]) or start[0]
    files = ("--format", "onnx", "--format", "torchscript")
    for command in ((*EXPORT, *files), ("restore", "cells.tif", "--task", "sr", "--out", "out")):
        done = subprocess.run([*start, *command], env=lacking, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if "torchscript" in command and places.get("HOME") is not None:
            assert "UNIFMIR_TRUSTED" in done.stderr
            assert "came from elsewhere" in done.stderr
    assert sorted(path.name for path in (inputs / "out").iterdir()) == [
        "cells.sr.tif",
        "unifmir-sr.onnx",
        "unifmir-sr.onnx.report.json",
        "unifmir-sr.safetensors",
        "unifmir-sr.torchscript.pt",
        "unifmir-sr.torchscript.pt.report.json",
    ]
    assert not (inputs / "~").exists()


@pytest.mark.slow  # a process whose permissions hold
def test_adding_to_a_zoo_that_cannot_be_written_to_says_how_to_name_another(inputs, read_only):
    start = [*unprivileged(), sys.executable, "-m", "unifmir"]
    done = subprocess.run(
        [*start, *ADD],
        env=environment(UNIFMIR_HOME=str(read_only / "home")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "UNIFMIR_HOME" in done.stderr
    assert "Traceback" not in done.stderr
