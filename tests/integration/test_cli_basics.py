"""What every command shares: light help, exit codes, errors as messages, results on stdout."""

import errno
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import unifmir
from tests.helpers.quick_rows import few_quick
from unifmir.benchmarks.report.tables import table_formats
from unifmir.cli import choices, output
from unifmir.cli.commands import Commands
from unifmir.cli.main import app
from unifmir.errors import CheckpointError
from unifmir.interfaces import InputKind
from unifmir.text_tables import aligned

COMMANDS = (
    "restore",
    "inspect",
    "prune",
    "export",
    "verify",
    "report",
    "publish",
    "data",
    "train",
    "evaluate",
    "reproduce",
    "doctor",
    "zoo",
)
HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "scipy", "skimage", "bioimageio", "pooch")
HELPS_THEN_MODULES = """
import sys
from unifmir.cli.main import app
for command in sys.argv[1:]:
    try:
        app([*command.split(), "--help"], prog_name="unifmir")
    except SystemExit as end:
        assert end.code == 0, command
    print(f"{command}:", *sys.modules, file=sys.stderr)
"""


def run(*arguments: str | Path, stdout: int | None = subprocess.PIPE, code: str | None = None):
    """Run the command, or a piece of Python, in a process of its own."""
    start = ["-m", "unifmir"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
        text=True,
        timeout=120,
    )


def failing_app(error: BaseException) -> typer.Typer:
    """An application like unifmir's whose command fails."""
    failing = typer.Typer(cls=Commands)

    @failing.callback()
    def root() -> None:
        """Keep the command a sub-command."""

    @failing.command("fail")
    def fail() -> None:
        raise error

    return failing


def test_help_imports_nothing_heavy():
    commands = ["", *COMMANDS, "zoo list"]
    result = run(*commands, code=HELPS_THEN_MODULES)
    assert result.returncode == 0, result.stderr
    told = dict(line.split(":") for line in result.stderr.splitlines())
    assert list(told) == commands
    for command, loaded in told.items():  # the first that has one of them brought it in
        assert "typer" in loaded.split()
        assert not set(HEAVY) & set(loaded.split()), command


def test_importing_the_package_imports_nothing_heavy():
    result = run(code="import sys, unifmir; print(unifmir.__version__, *sys.modules)")
    version, *loaded = result.stdout.split()
    assert version == unifmir.__version__
    assert not [name for name in (*HEAVY, "typer") if name in loaded]


def test_onnx_runtime_reports_to_nobody_unless_it_is_asked_to(tmp_path):
    # Not in the environment of tests: the library is silent there by itself.
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    kept |= {"HOME": str(tmp_path)}
    where = Path(__file__).resolve().parents[2]

    def left(**given):
        code = "import unifmir, onnxruntime"
        subprocess.run([sys.executable, "-c", code], cwd=where, env=kept | given, check=True)
        return [path.name for path in tmp_path.rglob("deviceid")]

    assert left() == []
    # What is held here is no habit of the library, which has one where the user wants it.
    assert sys.platform != "linux" or left(ORT_DISABLE_TELEMETRY="0") == ["deviceid"]


def test_choices_written_out_are_those_of_the_rooms():
    # Importing the rooms for a name would make --help heavy.
    assert set(get_args(choices.InterfaceChoice)) == set(get_args(InputKind))
    assert set(get_args(choices.TableFormatChoice)) == set(table_formats.FORMATS)


def test_help_flows_to_the_width_of_the_terminal():
    shown = CliRunner().invoke(app, ["benchmark", "--help"], env={"COLUMNS": "80"}).stdout
    lines = [line.strip() for line in shown.splitlines()]
    place = lines.index(
        "below says what to use. An interrupted run of the same plan goes on where it"
    )
    assert lines[place - 1].endswith("stands first, and a sentence")


def test_help_names_every_command():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert not [name for name in COMMANDS if name not in result.stdout]


def test_the_version_is_shown():
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"unifmir {unifmir.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["exprot"], "export"), (["inspect"], "Missing argument"), (["--no-such-option"], "No such")],
)
def test_wrong_usage_exits_with_2_and_says_what_was_wrong(arguments, told):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not result.stdout


def test_a_file_that_looks_like_an_option_is_told_how_to_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-cells.tif").touch()
    result = CliRunner().invoke(app, ["restore", "-cells.tif", "--task", "sr"])
    assert result.exit_code == 2
    assert "No such option: -c To name the file: ./-cells.tif" in result.stderr


@pytest.mark.parametrize("command", few_quick(["inspect", "verify"], ["verify"]))
def test_a_missing_file_is_one_message_and_exit_code_2(command, tmp_path):
    result = run(command, tmp_path / "missing.pt")
    assert result.returncode == 2
    assert "missing.pt" in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (CheckpointError("a.pt: no key 'x'; try --task sr"), 2, "a.pt: no key 'x'; try --task sr"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.pt"), 2, "a.pt: No such file"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "out: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
        (OSError("cannot be read"), 2, "cannot be read"),
    ],
)
def test_known_errors_are_one_message_on_stderr(error, code, told):
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert result.exit_code == code
    assert result.stderr == f"error: {told}\n"
    assert not result.stdout


def test_known_errors_are_messages_for_modules_run_on_their_own_too():
    result = run(
        code="from unifmir.cli import output\nwith output.known_errors():\n    open('missing.onnx')"
    )
    assert result.returncode == 2
    assert result.stderr == f"error: missing.onnx: {os.strerror(errno.ENOENT)}\n"


def test_an_interrupt_exits_with_130_and_without_traceback():
    result = CliRunner().invoke(failing_app(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_an_error_that_is_a_bug_is_not_hidden():
    result = CliRunner().invoke(failing_app(ZeroDivisionError("a bug")), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_failed_check_exits_with_1(capsys):
    with pytest.raises(SystemExit) as caught:
        output.check_failed("differs by 0.3, tolerance 0.01")
    assert caught.value.code == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "check failed: differs by 0.3, tolerance 0.01\n")


def test_json_is_one_strict_document(capsys):
    document = {
        "path": Path("out") / "a.onnx",
        "psnr_db": float("inf"),
        "max_abs": np.float32(0.5),
        "finite": np.bool_(True),
        "shape": (1, 2),
        "name": "µm",
    }
    output.print_result(document, "for people", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "path": str(Path("out") / "a.onnx"),
        "psnr_db": None,
        "max_abs": 0.5,
        "finite": True,
        "shape": [1, 2],
        "name": "µm",
    }


def test_text_is_printed_as_it_is(capsys):
    output.print_result({"a": 1}, "for [people]", as_json=False)
    assert capsys.readouterr().out == "for [people]\n"


def test_a_table_is_aligned():
    rows = [("onnx", 1234), ("torchscript", 5)]
    assert aligned(("format", "bytes"), rows).splitlines() == [
        "format       bytes",
        "onnx          1234",
        "torchscript      5",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_full_disk_behind_stdout_is_a_message():
    code = """
from unifmir.cli import output
from unifmir.cli.commands import Commands
import typer
app = typer.Typer(cls=Commands)
app.callback()(lambda: None)
@app.command("say")
def say():
    output.print_result({}, "a result", as_json=True)
app(["say"])
"""
    with Path("/dev/full").open("w") as full:
        result = run(code=code, stdout=full.fileno())
    assert result.returncode == 2
    assert result.stderr == f"error: {os.strerror(errno.ENOSPC)}\n"


def test_verbose_decides_what_is_logged_and_nothing_stays_behind(capsys):
    logger = logging.getLogger("unifmir.some.module")
    handlers = list(logging.getLogger("unifmir").handlers)
    for verbose, expected in ((0, "W"), (1, "IW"), (2, "DIW")):
        with output.logging_on_stderr(verbose):
            logger.debug("D")
            logger.info("I")
            logger.warning("W")
        lines = capsys.readouterr().err.splitlines()
        assert "".join(line[-1] for line in lines) == expected
    assert logging.getLogger("unifmir").handlers == handlers


@pytest.mark.parametrize(("verbose", "shown"), [(0, False), (1, True)])
def test_warnings_of_other_packages_are_shown_on_request(verbose, shown, capsys):
    with (
        warnings.catch_warnings(),
        output.logging_on_stderr(verbose),
    ):
        warnings.simplefilter("always")
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    assert ("old call" in capsys.readouterr().err) == shown
