"""Run in an environment with another bioimageio.core: `python check.py ZIP ...`.

Exit code 0 only if every package has the status `passed`. Imports nothing of unifmir.
"""

import sys
from importlib.metadata import version

from bioimageio.core import test_description


def main(paths: list[str]) -> int:
    """Test every package; the number of those that did not pass."""
    failed = 0
    for path in paths:
        summary = test_description(path)
        print(f"core {version('bioimageio.core')}: {path}: {summary.status}", flush=True)
        if summary.status == "passed":
            continue
        failed += 1
        for detail in summary.details:
            for error in detail.errors:
                print(f"  {detail.name}: {error.loc}: {error.msg}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) or not sys.argv[1:] else 0)
