"""Array annotations that hold: jaxtyping's, of every module of unifmir imported after this one.

beartype checks type, dtype and shape of each call in the tests' own process. Other annotations are
mypy's business; names that a module imports for annotations alone are found here.
"""

import sys
import types
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, get_args

import jaxtyping
import numpy as np
import torch
from beartype import beartype

NAMES = {
    "np": np,
    "torch": torch,
    "Tensor": torch.Tensor,
    **{name: getattr(jaxtyping, name) for name in dir(jaxtyping) if name[0].isupper()},
}
"""What annotations under TYPE_CHECKING may name."""


class CheckingFinder(MetaPathFinder):
    """Finder that checks the array annotations of the modules it finds."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's own specification, with a loader that wraps its functions."""
        if not fullname.startswith("unifmir."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            check_functions(module, module.__dict__)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this loader alone
        return spec


def check_functions(owner: object, names: dict[str, Any]) -> None:
    """Wrap the functions of a module or class, and of the classes in it."""
    for name, value in list(vars(owner).items()):
        if isinstance(value, type) and value.__module__ == names["__name__"]:
            if value is not owner and not name.startswith("__"):
                check_functions(value, names)
        elif isinstance(value, staticmethod | classmethod):
            setattr(owner, name, type(value)(checked(value.__func__, names)))
        elif isinstance(value, types.FunctionType) and value.__module__ == names["__name__"]:
            setattr(owner, name, checked(value, names))


def checked(function: Callable[..., Any], names: dict[str, Any]) -> Callable[..., Any]:
    """The function, its array annotations checked at each call; itself if it has none."""
    arrays = {
        name: hint
        for name, text in getattr(function, "__annotations__", {}).items()
        if _is_array(hint := _evaluated(text, names))
    }
    if not arrays:
        return function
    before, function.__annotations__ = function.__annotations__, arrays
    wrapped: Callable[..., Any] = jaxtyping.jaxtyped(function, typechecker=beartype)
    function.__annotations__ = wrapped.__annotations__ = before
    return wrapped


def _evaluated(hint: Any, names: dict[str, Any]) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, {**NAMES, **names})
    except NameError:
        return None


def _is_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_is_array(part) for part in get_args(hint))


sys.meta_path.insert(0, CheckingFinder())
