"""Options of a server, and their defaults by the machine."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from unifmir.machine import available_bytes, available_cores, default_threads
from unifmir.user_folders import user_folder

FOLDER_VARIABLE = "UNIFMIR_SERVE"
PASSWORD_VARIABLE = "UNIFMIR_SERVE_PASSWORD"  # noqa: S105 - the name of a variable
CORES_A_JOB = 2
"""A job computes with as many threads; more jobs at once wait for each other's memory."""
JOB_BYTES = 2 * 2**30
"""Memory that a job should have at the least, where there is enough for two: PyTorch alone takes
half a GiB."""
MEMORY_SHARE = 0.8
"""Part of the memory that is free at the start which all jobs together may take."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """A server's options."""

    folder: Path
    """Private folder of jobs and their images."""
    host: str = "127.0.0.1"
    port: int = 8000
    password: str | None = None
    """Password that callers have to send; None: everybody who reaches the port may use it."""
    jobs: int = 1
    """Jobs that run at once."""
    threads: int = 1
    """Threads of a job, on the CPU."""
    job_bytes: int = JOB_BYTES
    """Memory that the process of a job may take."""
    upload_bytes: int = 2 * 10**9
    """Largest file that is taken."""
    keep_seconds: float = 24 * 3600.0
    """Time after which the files of a finished job are deleted."""
    silence_s: float = 20.0
    """Time in which an upload must send something, and the time it has beside `SLOWEST`."""
    jobs_a_session: int = 200
    """Jobs that one session may have, finished ones included."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own, reached from nowhere else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_jobs() -> int:
    """Jobs at once: one for every two cores, and no more than the free memory holds."""
    by_memory = int(available_bytes() * MEMORY_SHARE) // JOB_BYTES
    return max(1, min(available_cores() // CORES_A_JOB, by_memory))


def threads_a_job(jobs: int) -> int:
    """Threads of each of so many jobs; of one alone those of `unifmir restore`."""
    return max(1, default_threads() // jobs)


def job_memory_bytes(jobs: int) -> int:
    """Memory of each of so many jobs."""
    return int(available_bytes() * MEMORY_SHARE) // jobs


def default_folder() -> Path:
    """Folder of a server for which none is named."""
    return user_folder(FOLDER_VARIABLE, "state", "serve")


def told_password() -> str | None:
    """The password that the environment has for the server; None: there is none."""
    return os.environ.get(PASSWORD_VARIABLE) or None
