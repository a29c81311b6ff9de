"""The library's own test on a finished package, offline and quiet."""

import gc
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unifmir.atomic import temporary_folder
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.formats.bioimageio.tensors import Batch
from unifmir.machine import installed_version

if TYPE_CHECKING:
    from bioimageio.spec import ValidationSummary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TestSummary:
    """Result of `bioimageio test` on a package."""

    __test__ = False  # pytest would take it for a test class

    status: str
    """`passed`, `valid-format` (a test failed) or `failed`."""
    core_version: str
    metadata_completeness: float
    """Share of all keys that are set, by the library's algorithm, which is the zoo's."""
    reproduced: tuple[str, ...]
    """Weight formats that reproduced the test output."""
    failures: tuple[str, ...]
    """Names and messages of what did not pass."""


@contextmanager
def trusted_github_users(users: Iterable[str]) -> Iterator[None]:
    """Keep the library from asking GitHub whether these users exist.

    Offline the question ends in an unhandled connection error. The library keeps the users it
    knows in a set, and only there can one say so.
    """
    from bioimageio.spec._internal.constants import KNOWN_GITHUB_USERS

    added = {user.lower() for user in users if user} - KNOWN_GITHUB_USERS
    KNOWN_GITHUB_USERS.update(added)
    try:
        yield
    finally:
        KNOWN_GITHUB_USERS.difference_update(added)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Silence the library's own log and the warnings of what it calls.

    Its findings are in the summary; on a terminal they would mix with ours. Warnings: it loads
    TorchScript, which torch announces as deprecated on every load.
    """
    from loguru import logger as library_log

    library_log.disable("bioimageio")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library_log.enable("bioimageio")


@contextmanager
def restored_global_state() -> Iterator[None]:
    """Put back what the library's demand for determinism changes for the whole process.

    Seeds, and switches that even appear in files traced later (`_convolution`'s deterministic).
    """
    import random

    import torch

    # NPY002: the library seeds numpy's global generator, so that is the one to put back.
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    switches = cudnn.deterministic, cudnn.benchmark
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = switches
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@contextmanager
def quick_collections() -> Iterator[None]:
    """Hide what exists already from the garbage collector.

    The library collects after every model it unloads: ten times 0.5 s with torch's objects, more
    than half of the whole test of a small model.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def run_test(package: Path, github_users: Iterable[str]) -> TestSummary:
    """Run the library's test on every weight format of a package, as `bioimageio test` does.

    Parameters
    ----------
    package : Path
        The zip.
    github_users : iterable of str
        Those that the user named, taken as existing: the library asks GitHub, and without a network
        fails. Where nobody is named the test is the plain one.

    Raises
    ------
    ExportError
        The library cannot read the package at all.
    """
    summary = _tested(package, github_users)
    return _summary_of(summary)


def reproduce(
    description: Path, github_users: Iterable[str], output: str
) -> tuple[TestSummary, dict[str, Batch]]:
    """Run the library's test as `run_test` does, and keep what each weight format gave.

    Parameters
    ----------
    description : Path
        An rdf.yaml beside the files that it names.
    github_users : iterable of str
        As for `run_test`.
    output : str
        Name of the output tensor.

    Returns
    -------
    TestSummary
    dict
        Weight format -> what it made of the test input, in the shape of the test output; without
        those that failed.

    Raises
    ------
    ExportError
        The library cannot read the description at all, or kept nothing of a format that passed.
    """
    with temporary_folder() as folder:
        summary = _summary_of(_tested(description, github_users, working_dir=folder))
        start = f"actual_output_{output}_"
        found = {
            file.stem.removeprefix(start): np.load(file, allow_pickle=False)
            for file in folder.glob(f"{start}*.npy")
        }
    if unseen := set(summary.reproduced) - set(found):
        raise ExportError(
            f"bioimageio.core {summary.core_version} kept no output of {', '.join(unseen)}; "
            "expected what it compared: install the version that pyproject.toml asks for"
        )
    return summary, {name: found[name] for name in WEIGHT_FORMATS if name in found}


def _tested(
    source: Path, github_users: Iterable[str], working_dir: Path | None = None
) -> "ValidationSummary":
    from bioimageio.core import test_description

    with (
        trusted_github_users(github_users),
        quiet_library(),
        quick_collections(),
        restored_global_state(),
    ):
        # `stop_early` stays off: in core 0.11 it stops after the first format that passes.
        summary = test_description(
            source, expected_type="model", determinism="full", working_dir=working_dir
        )
        # It leaves zip readers open, whose warnings would come up later, in somebody else's code.
        gc.collect()
    return summary


def validated(package: Path, github_users: Iterable[str]) -> TestSummary:
    """Hold a package against the library's rules, hashes and test tensors; nothing is run.

    Raises
    ------
    ExportError
        The library cannot read the package at all.
    """
    from bioimageio.spec import load_description

    with trusted_github_users(github_users), quiet_library():
        summary = load_description(package, perform_io_checks=True).validation_summary
        gc.collect()  # as above
    return _summary_of(summary)


def _summary_of(summary: "ValidationSummary") -> TestSummary:
    failures = []
    reproduced = []
    for detail in summary.details:
        if detail.status == "passed" and "Reproduce" in detail.name and len(detail.loc) > 1:
            reproduced.append(str(detail.loc[1]))
        if detail.status != "passed":
            messages = "; ".join(error.msg for error in detail.errors) or "no message"
            failures.append(f"{detail.name}: {messages}")
    return TestSummary(
        status=summary.status,
        core_version=installed_version("bioimageio.core") or "",
        metadata_completeness=summary.metadata_completeness,
        reproduced=tuple(dict.fromkeys(reproduced)),
        failures=tuple(failures),
    )


def require_valid(summary: TestSummary) -> None:
    """ExportError unless the library takes a package's description and all its files."""
    if summary.status not in ("valid-format", "passed"):
        raise ExportError(_refusal(summary, "'valid-format'"))


def require_passed(summary: TestSummary, formats: Iterable[str]) -> None:
    """ExportError unless the status is `passed` and every format reproduced the test output."""
    missing = sorted(set(formats) - set(summary.reproduced))
    if summary.status == "passed" and not missing:
        return
    raise ExportError(
        _refusal(summary, "'passed'")
        + f"\n  formats that did not reproduce the test output: {', '.join(missing) or 'none'}"
    )


def _refusal(summary: TestSummary, expected: str) -> str:
    said = f"bioimageio.core {summary.core_version} says {summary.status!r} of the package"
    return "\n  ".join([f"{said}, expected {expected}", *summary.failures[:5]])
