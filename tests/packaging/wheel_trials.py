"""A finished wheel tried in environments of its own, by the tests that do that with the checkout's.

It is installed with every Python that is supported, and with the lowest versions of what it needs.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

WHEEL = "UNIFMIR_WHEEL"
"""Environment variable of a wheel that `tests/packaging` tries in place of the checkout's."""
TRIALS = "tests/packaging/test_environments.py"


def trouble(root: Path, name: str, wheel: bytes) -> list[str]:
    """What did not pass, or was skipped, as without one of the Pythons: not tried is not passed."""
    with TemporaryDirectory() as folder:
        path, report = Path(folder, name), Path(folder, "trials.xml")
        path.write_bytes(wheel)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", TRIALS],
            cwd=root,
            env={**os.environ, WHEEL: str(path)},
            capture_output=True,
            text=True,
        )
        if not report.is_file():
            return [f"{TRIALS} did not run: {(done.stdout + done.stderr)[-400:]}"]
        found = not_passed(report.read_text("utf-8"))
    if done.returncode and not found:
        found = [f"{TRIALS} ended with {done.returncode}: {done.stdout[-400:]}"]
    return found


def not_passed(report: str) -> list[str]:
    """Tests of a JUnit report that did not pass, each with why; or that there were none."""
    cases = list(ET.fromstring(report).iter("testcase"))
    found = [
        f"{case.get('name')} {outcome.tag}: {outcome.get('message', '')[:200]}"
        for case in cases
        for outcome in case
        if outcome.tag in ("failure", "error", "skipped")
    ]
    return found if cases else ["no trial was run"]
