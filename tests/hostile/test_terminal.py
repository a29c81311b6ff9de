"""What a real terminal is sent when a name holds escape sequences, markup or line breaks."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.hostile.name_inputs import ODD_NAMES, QUICK, template


def sent_to_terminal(*command: object) -> tuple[int, bytes]:
    """Exit code, and what a terminal gets of a command."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(list(map(str, command)), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    sent = b""
    try:
        while piece := os.read(ours, 65536):
            sent += piece
    except OSError:
        pass  # how Linux says that the other side is closed
    os.close(ours)
    return process.wait(), sent


@pytest.mark.slow  # starts the command
@pytest.mark.parametrize("what", ["escape sequence", "markup of rich", "line break"])
def test_a_name_is_shown_and_not_obeyed(what, tmp_path):
    image = tmp_path / ODD_NAMES[what]
    shutil.copyfile(template() / "a.tif", image)
    command = (sys.executable, "-m", "unifmir", "restore", "--out", tmp_path / "out", *QUICK)
    code, sent = sent_to_terminal(*command, "--model", template() / "m.safetensors", "--", image)
    assert code == 0, sent
    # rich's own sequences are colours, cursor movements and clearing of a line.
    assert b"\x1b]" not in sent
    assert b"\x1b[2J" not in sent
    assert b"\nerror:" not in sent
