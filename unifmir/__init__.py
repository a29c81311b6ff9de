"""unifmir: fluorescence microscopy restoration models, from a checkpoint to files that labs run.

`restore` an image; or `load` a checkpoint or a zoo model, `prune` it to one task, `export` it, and
`verify` that the files compute the same picture. Names are imported when first used: `import
unifmir` stays light.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unifmir.version import __version__

if TYPE_CHECKING:
    # What calling the package `unifmir.export` does.
    from unifmir.checkpoint.pruning import prune
    from unifmir.export.pipeline import export
    from unifmir.export.verification import verify
    from unifmir.zoo.catalogue.load import load
    from unifmir.zoo.restore.files import restore

__all__ = ["__version__", "export", "load", "prune", "restore", "verify"]

# ONNX Runtime, from 1.29 on, tells Microsoft what models are run on what machine, and keeps a
# number for the machine in the user's cache. It reads this variable as it is imported; whoever has
# set the variable decides.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# The facade is the one place where the core knows the layers above it.
_LAZY = {
    "load": "unifmir.zoo.catalogue.load",
    "prune": "unifmir.checkpoint.pruning",
    "restore": "unifmir.zoo.restore.files",
    "verify": "unifmir.export.verification",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "export":  # the subpackage, which can be called
        return import_module("unifmir.export")
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'unifmir' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *__all__})
