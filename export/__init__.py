"""Export of a module to files that other programs run, and the proof that they are right.

The package is callable: `unifmir.export(model, "out", formats=("onnx",))` is
`unifmir.export.pipeline.export`, and `unifmir.export.formats.onnx` is still the module.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package and the verb of the same name; Python gives an attribute only one of them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `unifmir.export.pipeline.export`."""
        from unifmir.export.pipeline import export

        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
