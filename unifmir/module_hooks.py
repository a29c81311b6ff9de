"""Hooks that watch a module while it runs: on its submodules, and on every operation."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle


@contextmanager
def removed_after(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove hooks at the end, whatever happens meanwhile."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class OperationMode(TorchDispatchMode):
    """Base of what is told of every operation that runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it unannotated

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation, and give its result."""
        raise NotImplementedError

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self.run(func, args, kwargs or {})


def operator_name(func: Any) -> str:
    """Name of an operator, such as `aten.convolution`."""
    return f"{func.namespace}.{func._schema.name.partition('::')[2]}"
