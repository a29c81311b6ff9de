"""The runtime that a model is opened in: the one that was asked for, or the first that fits."""

import logging
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from unifmir.devices import device_named
from unifmir.errors import BenchmarkError, ExportError, MissingExtraError
from unifmir.export.device_proof import DeviceProof
from unifmir.export.opening import open_session
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import Runtime, Session
from unifmir.machine import default_threads
from unifmir.native.compilers import NoCompilerError, warn_without_compiler
from unifmir.precision.element_types import Precision
from unifmir.zoo.restore.model_choice import ModelChoice

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


def threads_of(choice: ModelChoice) -> int:
    """Threads that a choice computes with on the CPU."""
    return choice.threads or default_threads()


def candidates(
    device: str, precision: Precision, *, file_format: str | None = None
) -> Iterator[str]:
    """Names of the runtimes that could run a module, or files of a format, the preferred first."""
    rank = attrgetter("cpu_rank" if device_named(device).is_cpu else "gpu_rank")
    rows = sorted(_rows(), key=rank)
    own = [row for row in rows if row.format == file_format]
    others = [row for row in rows if file_format in row.also_reads]
    for row in (*own, *others):
        if precision in row.precisions(device) and not row.only_on_request:
            yield row.name


def _rows() -> Iterator[Runtime]:
    for name in RUNTIMES:
        try:
            yield RUNTIMES[name]
        except ImportError:  # of the library that the row is about
            continue


def open_model(
    choice: ModelChoice,
    source_of: "Callable[[Runtime], nn.Module | Path]",
    device: str,
    precision: Precision,
    *,
    file_format: str | None = None,
    proof: DeviceProof | None = None,
) -> tuple[Runtime, Session]:
    """Open a model in the runtime that was asked for, or in the first that is usable.

    Parameters
    ----------
    source_of : callable
        What a runtime is given: a module, or a file.
    device : str
        A name in full.
    precision : Precision
        Of the model or the file.
    file_format : str, optional
        Of the file.
    proof : DeviceProof, optional
        Pictures that a device other than the CPU must give; None: nothing will be restored.
    """
    threads, there = threads_of(choice), device_named(device)

    def opened_in(row: Runtime) -> Session:
        def opened() -> Session:
            return open_session(row, source_of(row), device=device, threads=threads)

        return opened() if proof is None else proof.opened(row, there, opened)

    if choice.runtime is not None:
        row = RUNTIMES[choice.runtime]
        row.require()
        able = row.precisions(device)
        if precision not in able:
            raise BenchmarkError(
                f"{choice.runtime} does not run {precision} on {device}, but "
                f"{', '.join(map(str, able)) or 'nothing'}"
            )
        return row, opened_in(row)
    refused: list[str] = []
    for name in candidates(device, precision, file_format=file_format):
        try:
            row = RUNTIMES[name]
            row.require()
            return row, opened_in(row)
        except (MissingExtraError, ExportError) as error:
            if isinstance(error, NoCompilerError):
                warn_without_compiler()
            logger.info("%s is passed over: %s", name, error)
            refused.append(f"{name}: {error}")
    what = f"{file_format} files" if file_format else "this network"
    reasons = "; ".join(refused) or _none_fits(device)
    raise ExportError(f"nothing here runs {what} in {precision} on {device}: {reasons}")


def _none_fits(device: str) -> str:
    """Formats that a device runs; its needs are no answer where it is there."""
    able = dict.fromkeys(
        f"{one} files" if one else "checkpoints"
        for row in _rows()
        if row.precisions(device)
        for one in (row.format, *row.also_reads)
    )
    return f"no runtime does. It runs {', '.join(able)}; or run with --device cpu"
