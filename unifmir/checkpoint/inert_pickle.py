"""Pickles read as data: opcodes build plain records, and nothing that a pickle names is looked up.

Python's own unpickler calls what a pickle names, so that it is as safe as the list of names it is
given. Here a name stays a name (`Global`), a call stays a record of its arguments (`Call`), and an
object a record of its class and state (`Instance`). Only opcodes that libtorch writes are known.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from unifmir.errors import CheckpointError

MAX_PICKLE_BYTES = 16_000_000
"""Limit of a pickle without its tensors: that of the largest official network has 0.2 MB."""


@dataclass(frozen=True, slots=True)
class Global:
    """Name of a class or function; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Call of a function that was not made."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Instance:
    """Object that was not made: its class, and the state it would be given."""

    kind: Global
    state: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Reference to something outside the pickle, as a storage of a tensor."""

    to: Any


def read_inert(pickled: bytes, is_known: Callable[[Global], bool]) -> Any:
    """The value of a pickle, with records in place of everything that is no plain value.

    Parameters
    ----------
    pickled : bytes
        Of protocol 2, as libtorch writes it.
    is_known : callable
        Whether a name may occur.

    Returns
    -------
    None, bool, int, float, str, tuple, list, dict, Global, Call, Instance or Reference

    Raises
    ------
    CheckpointError
        It holds another name, an opcode that libtorch does not write, or is damaged.
    """
    if len(pickled) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"its pickle has {len(pickled)} bytes, expected at most {MAX_PICKLE_BYTES}"
        )
    machine = _Machine(is_known)
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name not in _STEPS:
                raise CheckpointError(
                    f"its pickle has the opcode {opcode.name}, which libtorch never writes"
                )
            _STEPS[opcode.name](machine, argument)
    except CheckpointError:
        raise
    # ValueError with UnicodeDecodeError: genops on damage. The others: the stack and the memo.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(f"its pickle is damaged ({type(error).__name__}: {error})") from error
    return machine.result()


T = TypeVar("T")
_MARK = object()


@dataclass(slots=True)
class _Machine:
    """Stack and memo of an unpickler, on which every opcode only moves or wraps values."""

    is_known: Callable[[Global], bool]
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    stopped: bool = False

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def top(self) -> Any:
        """The value on top of the stack."""
        if self.stack[-1] is _MARK:
            raise CheckpointError("its pickle uses a mark as a value")
        return self.stack[-1]

    def pop(self) -> Any:
        """Take the value on top of the stack."""
        value = self.top()
        self.stack.pop()
        return value

    def pop_to_mark(self) -> list[Any]:
        """Take the values above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise CheckpointError("its pickle lacks a mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def of_type(self, kind: type[T]) -> T:
        """The value on top of the stack, if it is of a type."""
        value = self.top()
        if type(value) is not kind:
            raise CheckpointError(
                f"its pickle treats a {type(value).__name__} as a {kind.__name__}"
            )
        return value

    def remember(self, number: int) -> None:
        """Keep the value on top of the stack under a number."""
        self.memo[number] = self.top()

    def push_tuple(self, length: int) -> None:
        """Join values into a tuple."""
        items = [self.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def push_global(self, argument: str) -> None:
        """Put a name on the stack, if it may occur."""
        module, _, name = argument.partition(" ")
        found = Global(module, name)
        if not self.is_known(found):
            raise CheckpointError(f"its pickle refers to {str(found)[:200]}")
        self.push(found)

    def extend(self, items: list[Any]) -> None:
        """Put values into the list on the stack."""
        self.of_type(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        target = self.of_type(dict)
        if len(items) % 2:
            raise CheckpointError("its pickle has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise CheckpointError(f"its pickle has a key of type {type(key).__name__}")
            target[key] = value

    def push_call(self) -> None:
        """Join a function and its arguments."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise CheckpointError("its pickle calls what is no name")
        self.push(Call(function, arguments))

    def push_instance(self) -> None:
        """Put an object without state on the stack."""
        arguments, kind = self.pop(), self.pop()
        if not isinstance(kind, Global) or arguments != ():
            raise CheckpointError("its pickle makes an object of arguments")
        self.push(Instance(kind))

    def build(self) -> None:
        """Give the object on the stack its state."""
        state = self.pop()
        instance = self.of_type(Instance)
        if instance.state is not None:
            raise CheckpointError(f"its pickle gives a {instance.kind} two states")
        instance.state = state

    def stop(self) -> None:
        """Note that the pickle is complete."""
        self.stopped = True

    def result(self) -> Any:
        """The one value that is left."""
        if not self.stopped or len(self.stack) != 1:
            raise CheckpointError("its pickle is incomplete")
        return self.pop()


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _version: None,
    "STOP": lambda machine, _: machine.stop(),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "LONG1": _Machine.push,
    "BINFLOAT": _Machine.push,
    "BINUNICODE": _Machine.push,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "MARK": lambda machine, _: machine.push(_MARK),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": lambda machine, number: machine.push(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.push(machine.memo[number]),
    "GLOBAL": _Machine.push_global,
    "BINPERSID": lambda machine, _: machine.push(Reference(machine.pop())),
    "REDUCE": lambda machine, _: machine.push_call(),
    "NEWOBJ": lambda machine, _: machine.push_instance(),
    "BUILD": lambda machine, _: machine.build(),
}
