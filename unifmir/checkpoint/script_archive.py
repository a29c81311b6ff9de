"""Weights of a TorchScript archive, read without the program that is in it.

An archive of libtorch is a zip of `data.pkl`, which holds the module's attributes, of the tensors'
storages as raw numbers under `data/`, and of the program under `code/` with its `constants.pkl`.
Opened are the first two and the mark of the byte order; the program never is.
Source: torch's `torch/csrc/jit/docs/serialization.md`.
"""

import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unifmir.checkpoint.inert_pickle import Call, Global, Instance, Reference, read_inert
from unifmir.checkpoint.sniffing import script_root
from unifmir.errors import CheckpointError
from unifmir.zip_archive import Archive, opened_zip

LINEAGE_MEMBER = "extra/unifmir.json"
"""Record of how the file was made, in archives that unifmir wrote."""
MAX_ENTRIES = 100_000
"""Limit of a module's attributes; the largest official network has 724 tensors."""
MAX_PATH = 1_000
"""Characters of an attribute's path; the longest official one has 74."""
MAX_DIMENSIONS = 16

_NARROW = re.compile(r"\.parametrizations\.(\w+)\.original$")
"""Path at which `unifmir export` keeps a weight of two bytes, which is cast where it is used.

In its archives `.weight` is `.parametrizations.weight.original`; in those of others a weight may be
any function of what lies there."""

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_ORDERED = Global("collections", "OrderedDict")
_CONTAINERS = "torch.jit._pickle"
"""Module of libtorch's functions that only wrap a list, or tag one with its type."""
_CUSTOM = "__torch__.torch.classes"
"""Module of classes in C++, which restore themselves when a file is loaded."""
_PROGRAM = "__torch__"
"""Module of the archive's own classes; only containers of attributes here."""


def read_script_archive(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors by attribute path, and the text of unifmir's own record; empty in other files.

    Returns
    -------
    dict of Tensor, any shape and range, any dtype that torch has a plain storage of
    str

    Raises
    ------
    CheckpointError
        It is damaged, refers to a class or function that no plain module needs, or holds no
        tensor under a name.
    """
    try:
        with opened_zip(path) as archive:
            reader = _Records.opened(archive)
            record = reader.text(LINEAGE_MEMBER)
            tensors = reader.tensors(own=bool(record))
    except CheckpointError as error:
        raise CheckpointError(
            f"{path.name} is a TorchScript file that is refused: {error}. Nothing of it was run; "
            "get it again, or take the checkpoint it was made from"
        ) from error
    # ValueError and RuntimeError: what torch and NumPy say of numbers that do not fit.
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path.name} is a TorchScript file that is damaged or incomplete ({error}): "
            "get it again"
        ) from error
    if not tensors:
        raise CheckpointError(
            f"{path.name} is a TorchScript file without weights under names: they were frozen into "
            "its program, which is never read; take the checkpoint it was made from"
        )
    return tensors, record


@dataclass(frozen=True, slots=True)
class _Records:
    """The records of an archive that are read."""

    file: Archive
    members: Collection[str]
    root: str
    big_endian: bool
    storages: dict[str, Tensor] = field(default_factory=dict)
    """Storages that were read, as flat tensors by record."""

    @classmethod
    def opened(cls, file: Archive) -> "_Records":
        """An archive whose records are stored as they are."""
        members = file.members
        root = script_root(members)
        if root is None:
            raise CheckpointError("it has no data.pkl beside its constants.pkl")
        wanted = {f"{root}{name}" for name in ("data.pkl", "byteorder", LINEAGE_MEMBER)}
        read = {
            name: member
            for name, member in members.items()
            if name in wanted or name.startswith(f"{root}data/")
        }
        for name, member in read.items():
            if member.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"its record {name[:80]!r} is compressed, which libtorch does not do"
                )
        archive = cls(file, read, root, big_endian=False)
        order = archive.text("byteorder").strip() or "little"
        if order not in ("little", "big"):
            raise CheckpointError(f"its byte order is {order[:20]!r}, expected little or big")
        return cls(file, read, root, big_endian=order == "big")

    def text(self, name: str) -> str:
        """A record as text; empty if there is none."""
        if self.root + name not in self.members:
            return ""
        return self.file.read(self.root + name).decode("utf-8", errors="replace")

    def tensors(self, *, own: bool) -> dict[str, Tensor]:
        """Tensors by attribute path.

        Parameters
        ----------
        own : bool
            Whether unifmir wrote the archive, and narrow weights go by the names they stand for.
        """
        content = read_inert(self.file.read(f"{self.root}data.pkl"), is_plain)
        if not isinstance(content, Instance):
            raise CheckpointError("its data.pkl holds no module")
        found: dict[str, Tensor] = {}
        for attribute, value in _attributes(content):
            path = _NARROW.sub(r".\1", attribute) if own else attribute
            if isinstance(value, Call) and value.function == _REBUILD:
                if path in found:
                    raise CheckpointError(f"it has two attributes of the name {path[:80]!r}")
                found[path] = self._tensor(path, value.arguments)
        return found

    def _tensor(self, path: str, arguments: tuple[Any, ...]) -> Tensor:
        """A tensor from the arguments of `_rebuild_tensor_v2`."""
        try:
            reference, offset, shape, strides, _needs_gradient, _hooks = arguments[:6]
            storage = self._storage(reference)
        except (ValueError, TypeError) as error:
            if isinstance(error, CheckpointError):
                raise CheckpointError(f"{path[:80]}: {error}") from error
            raise CheckpointError(f"{path[:80]} is no plain tensor") from error
        numbers = [offset, *_numbers(shape), *_numbers(strides)]
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS or min(numbers) < 0:
            raise CheckpointError(f"{path[:80]} has a shape and strides that no tensor has")
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        empty = 0 in shape
        if not empty and last >= storage.numel():
            raise CheckpointError(
                f"{path[:80]} reaches to element {last} of a storage of {storage.numel()}"
            )
        return storage.new_zeros(shape) if empty else storage.as_strided(shape, strides, offset)

    def _storage(self, reference: Any) -> Tensor:
        """A storage as a flat tensor."""
        if not isinstance(reference, Reference) or not isinstance(reference.to, tuple):
            raise CheckpointError("its values are in no storage")
        kind, storage_type, key, _device, count = reference.to
        if kind != "storage" or not isinstance(storage_type, Global) or type(count) is not int:
            raise CheckpointError("its values are in no storage")
        dtype = _STORAGES[storage_type.name]
        record = f"{self.root}data/{key}"
        if record not in self.members:
            raise CheckpointError(f"the archive has no record {record[:80]!r}")
        kept = self.storages.get(record)
        if kept is None:
            kept = self._numbers_of(record, dtype)
            self.storages[record] = kept
        if kept.dtype != dtype or kept.numel() != count:
            raise CheckpointError(
                f"{count} values of {dtype} are declared, and the record {record[:80]!r} holds "
                f"{kept.numel()} of {kept.dtype}"
            )
        return kept

    def _numbers_of(self, record: str, dtype: torch.dtype) -> Tensor:
        content = bytearray(self.file.read(record))
        if len(content) % dtype.itemsize:
            raise CheckpointError(f"the record {record[:80]!r} ends within a value")
        if self.big_endian:
            words = np.frombuffer(content, dtype=f"u{dtype.itemsize}")
            content = bytearray(words.byteswap().tobytes())
        # An empty buffer is refused by torch.
        return torch.frombuffer(content, dtype=dtype) if content else torch.zeros(0, dtype=dtype)


def is_plain(found: Global) -> bool:
    """Whether a name in an archive's pickle is of a plain module, its tensors and lists."""
    if found.module.startswith(_CUSTOM):
        return False
    return (
        found in (_REBUILD, _ORDERED)
        or found.module in (_PROGRAM, _CONTAINERS)
        or found.module.startswith(f"{_PROGRAM}.")
        or (found.module == "torch" and found.name in _STORAGES)
    )


def _attributes(module: Instance) -> Iterator[tuple[str, Any]]:
    """Attributes of a module and of the modules in it, each under its path."""
    waiting: list[tuple[str, Any]] = [("", module)]
    count = 0
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if not isinstance(value, Instance):
            continue
        if value.kind.module.partition(".")[0] != _PROGRAM or not isinstance(value.state, dict):
            raise CheckpointError(
                f"the state of {str(value.kind)[:80]} at {path[:80]!r} is no module's"
            )
        # One module may stand at many places: counted by paths, not by what the file holds.
        count += len(value.state)
        if count > MAX_ENTRIES or len(path) > MAX_PATH:
            raise CheckpointError(
                f"it has more than {MAX_ENTRIES} attributes, or one with a path of more than "
                f"{MAX_PATH} characters"
            )
        start = f"{path}." if path else ""
        waiting.extend((f"{start}{name}", part) for name, part in reversed(value.state.items()))


def _numbers(value: Any) -> list[int]:
    if not isinstance(value, tuple) or not all(type(item) is int for item in value):
        raise CheckpointError("a shape that is no row of numbers")
    return list(value)
