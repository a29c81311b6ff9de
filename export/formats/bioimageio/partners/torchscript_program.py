"""Run in an environment with another PyTorch: `torchscript_program.py SCRIPT IN_NPY OUT_NPY`.

Prints one line of JSON. Imports nothing of unifmir.
"""

import json
import sys
from importlib.metadata import version
from typing import Any


def main(script: str, given: str, made: str) -> dict[str, Any]:
    """Run a TorchScript file of one input and one output."""
    try:
        import numpy as np
        import torch
    except ImportError as error:
        return {"missing": str(error)}
    versions = {name: version(name) for name in ("torch", "numpy")}
    try:
        module = torch.jit.load(script, map_location="cpu").eval()
        with torch.inference_mode():
            output = module(torch.from_numpy(np.load(given, allow_pickle=False)))
    except Exception as error:  # noqa: BLE001 - its errors have no common base
        told = " ".join(str(error).split())[:300]
        return {"error": f"{type(error).__name__}: {told}", "versions": versions}
    np.save(made, output.numpy(), allow_pickle=False)
    return {"versions": versions}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:4])) + "\n")
