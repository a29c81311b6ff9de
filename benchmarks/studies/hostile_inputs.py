"""Give every hostile input of tests/hostile to the tool, and write what came of them.

    python -m benchmarks.studies.hostile_inputs [KIND...]

Kinds that are not named keep their counts. docs/threats.md shows the table.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.helpers.hostile import WELL, attempts, counts
from tests.hostile import KINDS, kind_named
from unifmir.benchmarks.studies.result_files import RESULTS, provenance, write_result

RESULT = "hostile-inputs.json"


def main() -> int:
    """Run the wanted kinds; exit code 1 if any attempt did not end well."""
    wanted = sys.argv[1:] or KINDS
    path = RESULTS / RESULT
    known = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    rows = {row["module"]: row for row in known if row["module"] in KINDS}
    bad = 0
    for module in wanted:
        kind = kind_named(module)
        with tempfile.TemporaryDirectory() as folder:
            made = attempts(kind, Path(folder))
        rows[module] = {"module": module, "kind": kind.name, "given": len(made), **counts(made)}
        print(kind.name, counts(made), flush=True)
        for one in made:
            if one.outcome not in WELL:
                bad += 1
                print(f"  {one.outcome}: {one.case}: {one.why}", flush=True)
        document = provenance("python -m benchmarks.studies.hostile_inputs")
        write_result(RESULT, {**document, "rows": [rows[key] for key in sorted(rows)]})
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
