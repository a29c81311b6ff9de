"""Run in an environment with another ONNX Runtime: `python onnx_program.py GRAPH IN_NPY OUT_NPY`.

Prints one line of JSON. Imports nothing of unifmir.
"""

import json
import sys
from importlib.metadata import version
from typing import Any


def main(graph: str, given: str, made: str) -> dict[str, Any]:
    """Run a graph of one input and one output."""
    try:
        import numpy as np
        import onnxruntime
    except ImportError as error:
        return {"missing": str(error)}
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        (output,) = session.run(None, {name: np.load(given, allow_pickle=False)})
    except Exception as error:  # noqa: BLE001 - its errors have no common base
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    np.save(made, output, allow_pickle=False)
    return {"versions": {name: version(name) for name in ("onnxruntime", "numpy")}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:4])) + "\n")
