"""Opening a model in a runtime, as restoring and benchmarking do it."""

from pathlib import Path
from typing import TYPE_CHECKING

from unifmir.devices import device_named
from unifmir.export.isolation import open_file
from unifmir.export.runtimes.base import Runtime, Session

if TYPE_CHECKING:
    from torch import nn


def open_session(
    runtime: Runtime,
    source: "nn.Module | Path",
    *,
    device: str,
    threads: int,
    own_process: bool = False,
) -> Session:
    """Open a model; an engine that was not verified on this GPU is verified first.

    Parameters
    ----------
    runtime : Runtime
    source : module or Path
        As `Runtime.open` takes it.
    device : str
        A name in full.
    threads : int
        On the CPU.
    own_process : bool
        As `open_file` takes it.

    Raises
    ------
    BenchmarkError, ExportError, MissingExtraError
        As `Runtime.open`; also where the verification fails.
    """
    if not isinstance(source, Path):
        return runtime.open(source, device=device, threads=threads)
    on_cpu = device_named(device).is_cpu
    if runtime.carries_proof and not on_cpu and runtime.needs_verification(source):
        # Only here: a process that only runs a file pays for nothing else.
        from unifmir.export.verification import require_verified

        require_verified(source)
    return open_file(runtime, source, device=device, threads=threads, own_process=own_process)
