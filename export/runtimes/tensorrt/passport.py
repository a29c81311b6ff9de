"""The record beside every engine: what it is, where it runs, and how it is built again.

An engine is native code that fits one library, and one GPU or a list of them. Without a passport
that says so, and that fits the file and the machine, none is loaded.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, Literal, Self

from unifmir.atomic import write_text
from unifmir.errors import ExportError
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.tensorrt.certificate import TypeCount
from unifmir.export.runtimes.tensorrt.host import Host
from unifmir.export.runtimes.tensorrt.library import FULL, RTX, RTX_DEFAULT, Library
from unifmir.export.runtimes.tensorrt.profiles import Profile
from unifmir.json_values import JsonValues, Sha256, read_values
from unifmir.plain_text_values import read_json

SUFFIX = ".passport.json"
MAX_PASSPORT_BYTES = 2_000_000
GRAPH_SUFFIX = ".onnx"
"""Suffix, after the engine's whole name, of the graph it was built from."""


@dataclass(frozen=True, slots=True)
class Verification(JsonValues):
    """Proof that an engine was the same picture as fp32 PyTorch, TF32 off, on a named machine."""

    host: Host
    tolerance: str
    cases: int
    max_abs_over_std: float
    """Largest difference, in standard deviations of the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport(JsonValues):
    """Everything that decides whether an engine may be loaded."""

    schema: Literal[1] = 1
    engine_sha256: Sha256
    onnx_sha256: Sha256
    parent: Mapping[str, str]
    """`name` and `sha256` of the fp32 weights."""
    lineage: Mapping[str, str]
    """`Lineage.to_strings()`."""
    library: Mapping[str, str]
    """`name`, `version`."""
    built_on: Host
    targets: tuple[str, ...]
    """Compute capabilities it was built for on any machine; empty: for the GPU of `built_on`."""
    profile: Profile
    options: Mapping[str, Any]
    network_types: Mapping[str, int]
    """Type -> how many convolutions and products of the graph, as the parser read it."""
    rebuild: str
    """Command for the folder of the engine and its parent."""
    engine_types: Mapping[str, int] | None = None
    """Types of the engine's layers, from its inspector; None until it was loaded."""
    verification: Verification | None = None
    """Proof of the last run; None: it was never run."""

    def verified_on(self, here: Host) -> bool:
        """Whether it was verified on this very card, with this driver."""
        return self.verification is not None and self.verification.host == here

    def verified(self, verification: Verification, types: TypeCount) -> Self:
        """The passport after a verification that passed."""
        return replace(self, verification=verification, engine_types=types.to_dict())


def passport_path(engine: Path) -> Path:
    """Path of an engine's passport."""
    return engine.with_name(engine.name + SUFFIX)


def write_passport(passport: Passport, engine: Path) -> None:
    """Put a passport beside an engine."""
    write_text(passport_path(engine), json.dumps(passport.to_dict(), indent=1) + "\n")


def read_passport(engine: Path) -> Passport:
    """The passport beside an engine.

    Raises
    ------
    ExportError
        There is none, or it is not one of ours.
    """
    path = passport_path(engine)
    if not path.is_file():
        raise ExportError(
            f"{engine.name}: no passport ({path.name}) beside it. An engine is native code and is "
            "not loaded on trust; build it here with `unifmir export --format tensorrt`"
        )
    try:
        passport = read_values(Passport, read_json(path, limit=MAX_PASSPORT_BYTES))
        if problem := _contradiction(
            passport, Lineage.from_strings(dict(passport.lineage), path.name)
        ):
            raise ValueError(problem)
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"{path.name}: not a passport of this unifmir ({error}); "
            "build the engine again with `unifmir export --format tensorrt`"
        ) from error
    return passport


def _contradiction(passport: Passport, lineage: Lineage) -> str:
    """Sentence on what no passport that was written here says; empty where there is none."""
    if set(passport.library) != {"name", "version"} or passport.library["name"] not in (FULL, RTX):
        return f"its library is not {FULL} or {RTX} and a version"
    axes, shapes = len(lineage.input_axes), passport.profile.shapes
    if any(len(shape) != axes or min(shape) < 1 for shape in shapes):
        return f"its profile is not of three shapes of {axes} axes"
    if dict(passport.parent) != lineage.parent:
        return "its parent is not that of its lineage"
    return ""


def check_passport(
    passport: Passport, engine: Path, sha256: str, library: Library, here: Host
) -> None:
    """Refuse an engine that is not the one of its passport, or not for this machine.

    Parameters
    ----------
    passport : Passport
    engine : Path
        For the message.
    sha256 : str
        Of the bytes that are to be loaded.
    library : Library
    here : Host

    Raises
    ------
    ExportError
        Names what was expected, what was found, and the command that builds it here.
    """
    problems = [
        f"{what}: expected {expected}, found {found}"
        for what, expected, found in _mismatches(passport, sha256, library, here)
    ]
    if problems:
        raise ExportError(
            f"{engine.name} is not loaded:\n  "
            + "\n  ".join(problems)
            + f"\nbuild it again: {rebuild_command(passport, engine.parent)}"
        )


def rebuild_command(passport: Passport, folder: Path) -> str:
    """The command that builds the engine again, wherever one is."""
    return f"cd {quote(str(folder))} && {passport.rebuild}"


def _mismatches(
    passport: Passport, sha256: str, library: Library, here: Host
) -> Iterator[tuple[str, str, str]]:
    """Facts that do not fit: what, expected, found."""
    built = passport.built_on
    if sha256 != passport.engine_sha256:
        yield "sha256 of the engine", passport.engine_sha256, sha256
    wanted = f"{passport.library['name']} {passport.library['version']}"
    if wanted != (have := f"{library.name} {library.version}"):
        yield "library", wanted, have
    if not _fits(passport, here):
        capability = built.compute_capability
        expected = " or ".join(passport.targets) or str(capability)
        yield "compute capability", expected, f"{here.compute_capability} ({here.gpu})"
    if passport.library["name"] == RTX:
        # Its engines are portable between systems and compiled for the GPU where they run.
        return
    if built.system != here.system:
        yield "operating system", built.system, here.system
    for what in ("cuda", "driver"):
        expected, found = (_major(getattr(one, what)) for one in (built, here))
        if expected and found and expected != found:
            yield f"{what} version", f"{expected}.x", str(getattr(here, what))


def _fits(passport: Passport, here: Host) -> bool:
    capability = here.compute_capability
    if not passport.targets:
        return capability == passport.built_on.compute_capability
    if capability in passport.targets:
        return True
    # Of the default targets NVIDIA says "and later".
    newest = tuple(map(int, RTX_DEFAULT[-1].split(".")))
    numbers = tuple(map(int, (capability or "0.0").split(".")))
    return passport.targets == RTX_DEFAULT and numbers > newest


def _major(version: str | None) -> str:
    return (version or "").partition(".")[0]
