"""Partners that run a release of bioimageio.core: the zoo's tests, BioEngine, ilastik."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    Outcome,
    Partner,
    PartnerReport,
    ScorePart,
)
from unifmir.export.formats.bioimageio.partners.side_environments import SideEnvironment

PROGRAM = Path(__file__).with_name("core_program.py")
_PYDANTIC = "pydantic<2.14"
"""Releases of bioimageio.spec up to 0.5.12 fail with 2.14."""
_ONNX = ("onnx", "onnxruntime")

_BIAPY_IMPORTS = ("packaging", "pyyaml", "requests", "torchinfo", "yacs")

WITH_BIAPY = SideEnvironment(
    "core-0.9.6",
    ("bioimageio.core==0.9.6", _PYDANTIC, *_ONNX, *_BIAPY_IMPORTS),
    alone=("biapy==3.7.1",),
    torch="here",
)
"""The release that BiaPy 3.7.1 requires, with the little of BiaPy that its check imports: all that
it requires has gigabytes."""

Judge = Callable[[dict[str, Any], CheckedPackage], tuple[Outcome, str]]
"""Function that says what a partner makes of a test's result."""


def passes(found: dict[str, Any], _given: CheckedPackage) -> tuple[Outcome, str]:
    """Every weight format must reproduce the test output, and run at other sizes."""
    if found["status"] == "passed":
        return "passed", f"reproduced by {', '.join(found['reproduced'])}"
    return "failed", f"{found['status']}: {'; '.join(found['failures'][:3])}"


def takes_one_tensor(found: dict[str, Any], given: CheckedPackage) -> tuple[Outcome, str]:
    """One tensor in, one out, and a weight format that reproduces the test output suffices."""
    counts = [len(given.contents.rdf.get(kind) or []) for kind in ("inputs", "outputs")]
    if counts != [1, 1]:
        return "failed", f"{counts[0]} inputs and {counts[1]} outputs, it takes one of each"
    if not found["reproduced"]:
        return "failed", f"no format reproduces the test output: {'; '.join(found['failures'][:3])}"
    return "passed", f"one input, one output; reproduced by {', '.join(found['reproduced'])}"


def tested(
    given: CheckedPackage, *, name: str, environment: SideEnvironment, judge: Judge
) -> PartnerReport:
    """Run the library's test of an environment on a package."""
    found = environment.run(PROGRAM, [given.path, json.dumps(github_users(given))], given)
    versions: dict[str, str] = found.get("versions", {})
    instead = environment.differences(versions) if versions else ()
    if "error" in found:
        return PartnerReport(name, "failed", found["error"], versions, instead)
    return PartnerReport(name, *judge(found, given), versions, instead)


def github_users(given: CheckedPackage) -> list[str]:
    """Users whom a package names: the library asks GitHub for them, and fails offline."""
    rdf = given.contents.rdf
    people = [one for kind in _PEOPLE for one in rdf.get(kind) or [] if isinstance(one, dict)]
    return sorted({str(one["github_user"]) for one in people if one.get("github_user")})


_PEOPLE = ("authors", "packaged_by", "maintainers")


def _partner(
    name: str,
    title: str,
    environment: SideEnvironment,
    *,
    judge: Judge = passes,
    decides: ScorePart = "",
) -> Partner:
    check = partial(tested, name=name, environment=environment, judge=judge)
    return Partner(name, title, check, decides=decides)


CORE_0_9_6 = _partner("core-0.9.6", "bioimageio.core 0.9.6", WITH_BIAPY)
CORE_0_11_0 = _partner(
    "core-0.11.0",
    "bioimageio.core 0.11.0",
    SideEnvironment("core-0.11.0", ("bioimageio.core==0.11.0", _PYDANTIC, *_ONNX), torch="here"),
    decides="core",
)
BIOENGINE = _partner(
    "bioengine",
    "BioEngine, which runs models on the zoo's site",
    SideEnvironment(
        "bioengine",
        ("bioimageio.core==0.10.4", _PYDANTIC),
        wanted=("onnxruntime==1.20.1", "numpy==1.26.4"),
        torch="2.5.1",
    ),
)
ILASTIK = _partner(
    "ilastik",
    "ilastik",
    SideEnvironment("ilastik", ("bioimageio.core==0.10.2", _PYDANTIC, *_ONNX), torch="here"),
    judge=takes_one_tensor,
    decides="ilastik",
)
