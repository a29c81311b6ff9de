"""Processes of our own import this package from anywhere, and end with all that they started."""

import os
import signal
import subprocess
import sys

import psutil

from unifmir.child_processes import child_environment, kill_group, limited_environment

# Starts a process that waits, tells its number, and waits itself.
PARENT = (
    "import subprocess, sys; "
    "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(one.pid, flush=True); one.wait()"
)


def test_this_package_is_imported_from_any_folder_and_before_what_was_given(
    monkeypatch, tmp_path, repo
):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environment = child_environment(MORE="1")
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(repo), str(tmp_path)]
    assert environment["MORE"] == "1"
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import unifmir; print(unifmir.__file__)"],
        env=limited_environment(3),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(repo / "unifmir" / "__init__.py")
    assert limited_environment(3)["OMP_NUM_THREADS"] == "3"


def test_what_a_process_has_started_ends_with_it():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        kill_group(process.pid)
        assert process.wait(60) == -signal.SIGKILL
        assert not psutil.wait_procs([child], 60)[1]
    kill_group(process.pid)  # there is nothing left: no error
