"""Array annotations that hold: jaxtyping's, of every module of unifmir imported after this one.

beartype checks type, dtype and shape in the tests' own process, of each call whose arrays are
unlike those of the calls before: a check takes 0.65 ms, and most calls of a test are alike.
Other annotations are mypy's business; names that a module imports for annotations alone are found
here.
"""

import functools
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
    given: list[Any] = []  # a result to be checked, of a call that was made already

    @functools.wraps(function)
    def made(*args: Any, **options: Any) -> Any:
        return given.pop() if given else function(*args, **options)

    checking: Callable[..., Any] = jaxtyping.jaxtyped(made, typechecker=beartype)
    function.__annotations__ = before
    passed: dict[object, set[object]] = {}

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        key = _facts((args, options))
        if key not in passed:
            result = checking(*args, **options)
            passed[key] = {_facts(result)}
            return result
        result = function(*args, **options)
        if _facts(result) not in passed[key]:
            given.append(result)
            checking(*args, **options)
            passed[key].add(_facts(result))
        return result

    return called


def _facts(value: Any) -> object:
    """All of a value that its annotation and the sizes in it can depend on."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return type(value), value.dtype, tuple(value.shape)
    if isinstance(value, tuple | list):
        return type(value), tuple(_facts(part) for part in value)
    if isinstance(value, dict):
        return dict, tuple((name, _facts(part)) for name, part in value.items())
    return value if value is None or isinstance(value, int | str) else type(value)


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
