"""Result files of the studies: where they lie, and how they are written."""

import json
from pathlib import Path
from typing import Any

from unifmir.atomic import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"


def write_result(name: str, document: dict[str, Any]) -> None:
    """Write a document of JSON values as a result file, all or nothing."""
    write_text(RESULTS / name, json.dumps(document, indent=1) + "\n")
