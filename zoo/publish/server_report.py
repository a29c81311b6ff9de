"""The report of the server's test, as lines: each part with its outcome, and why one failed."""

from collections.abc import Mapping
from typing import Any

MOST_PARTS = 40
"""Parts that are told; a test of three weight formats has some 25."""
_TOLD = 300
"""Characters of a message that are told."""


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Lines for people on a test's result, in the form of a summary of bioimageio.spec.

    Parameters
    ----------
    report : mapping
        What the server answered; whatever of it has another form is left out.
    """
    lines = [f"the server's test: {_line(report.get('status'))}"]
    if error := report.get("error"):
        lines.append(f"  {_line(error)}")
    parts = _mappings(report.get("details"))
    for part in parts[:MOST_PARTS]:
        status = _line(part.get("status"))
        lines.append(f"  {status.ljust(7)}  {_line(part.get('name'))}")
        if status != "passed":
            errors = _mappings(part.get("errors"))[:MOST_PARTS]
            lines += [f"           {_line(one.get('msg'))}" for one in errors]
    if len(parts) > MOST_PARTS:
        lines.append(f"  and {len(parts) - MOST_PARTS} more parts, in the record")
    return lines


def _mappings(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _line(found: Any) -> str:
    return " ".join(str(found).split())[:_TOLD]
