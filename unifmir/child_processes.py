"""Python processes of our own: the environment that they import this package in, and their end."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def child_environment(**changes: str) -> dict[str, str]:
    """Environment of a process that imports this package, which need not be installed.

    Parameters
    ----------
    **changes : str
        Variables that it has besides this process's, or in their place.
    """
    here, given = str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, given] if given else [here]),
        **changes,
    }


def limited_environment(threads: int) -> dict[str, str]:
    """Environment of a process with so many threads whose address space is limited."""
    # Each thread's own arena reserves 64 MiB of addresses, which are what is limited.
    return child_environment(OMP_NUM_THREADS=str(threads), MALLOC_ARENA_MAX="8")


def kill_group(leader: int) -> None:
    """Kill a process that leads a group of its own, with all that it started.

    Parameters
    ----------
    leader : int
        Its number. Where it has ended, what it started is killed alone.
    """
    with suppress(ProcessLookupError):
        if sys.platform == "win32":  # there are no groups
            with suppress(PermissionError):  # it has ended
                os.kill(leader, signal.SIGTERM)
        else:
            os.killpg(leader, signal.SIGKILL)
