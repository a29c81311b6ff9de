"""Run in an environment with another bioimageio.core: `python core_program.py ZIP USERS`.

USERS is a JSON list of GitHub users that are taken as existing. Prints one line of JSON. Imports
nothing of unifmir.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

LIBRARIES = (
    *("bioimageio.core", "bioimageio.spec", "torch"),
    *("onnxruntime", "numpy", "pydantic"),
)


def versions() -> dict[str, str]:
    """Versions of what runs here."""
    found = {"python": python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def know(users: list[str]) -> None:
    """Keep the library from asking GitHub for these users, where it lists those it knows."""
    try:
        from bioimageio.spec._internal.constants import KNOWN_GITHUB_USERS
    except ImportError:
        return
    KNOWN_GITHUB_USERS.update(user.lower() for user in users)


def main(path: str, users: list[str]) -> dict[str, Any]:
    """The library's test, in JSON values."""
    try:
        from bioimageio.core import test_description
    except ImportError as error:
        return {"missing": str(error)}
    know(users)
    # Releases that stop early stop after the first format that passes.
    summary = test_description(path, expected_type="model", determinism="full", stop_early=False)
    reproduced, failures = [], []
    for detail in summary.details:
        if detail.status == "passed" and "Reproduce" in detail.name and len(detail.loc) > 1:
            reproduced.append(str(detail.loc[1]))
        if detail.status != "passed":
            told = "; ".join(error.msg for error in detail.errors) or "no message"
            failures.append(f"{detail.name}: {told}"[:300])
    return {
        "status": summary.status,
        "reproduced": sorted(set(reproduced)),
        "failures": failures,
        "versions": versions(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))) + "\n")
