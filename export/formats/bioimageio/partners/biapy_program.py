"""Run in an environment with BiaPy: `python biapy_program.py RDF_JSON`.

Prints one line of JSON. Imports nothing of unifmir.
"""

import json
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def main(path: str) -> dict[str, Any]:
    """BiaPy's verdict on a description, in JSON values."""
    found = find_spec("biapy")
    if found is None or found.submodule_search_locations is None:
        return {"missing": "biapy"}
    # Its __init__ imports the whole program, torchvision included; the check needs one module.
    package = ModuleType("biapy")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["biapy"] = package
    try:
        check = import_module("biapy.models").check_bmz_model_compatibility
    except ImportError as error:
        return {"missing": str(error)}
    report = check(json.loads(Path(path).read_text("utf-8")))
    workflow = report.get("workflow_info", {})
    return {
        "error": (report["reason_message"] or "refused") if report["error"] else "",
        "workflow": f"{workflow.get('workflow_type')} {workflow.get('ndim')}",
        "versions": {name: version(name) for name in ("biapy", "bioimageio.core", "torch")},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])) + "\n")
