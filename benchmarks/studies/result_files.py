"""Result files of the studies: where they lie, and how they are written."""

import json
from pathlib import Path
from typing import Any

from unifmir import machine
from unifmir.atomic import write_text
from unifmir.benchmarks.measure.benchmark_run import commit

REPO = Path(__file__).resolve().parents[2]
RESULTS = REPO / "benchmarks" / "results"


def provenance(command: str) -> dict[str, Any]:
    """How the figures of a result file were taken: command, commit, machine and versions."""
    return {
        "command": command,
        "commit": commit(),
        "machine": machine.description(),
        "versions": machine.library_versions(),
    }


def origin(document: dict[str, Any]) -> str:
    """Sentence on the command and versions that a result file comes from."""
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return f"`{document['command']}`; {versions}."


def write_result(name: str, document: dict[str, Any]) -> None:
    """Write a document of JSON values as a result file, all or nothing."""
    write_text(RESULTS / name, json.dumps(document, indent=1) + "\n")
