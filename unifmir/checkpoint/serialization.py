"""Reading tensors from files that nobody vouches for, and writing them deterministically.

Nothing that is loaded is trusted: PyTorch files are read with `weights_only=True`, sizes are
compared with the file before memory is touched, and every failure is a CheckpointError.
"""

import hashlib
import json
import pickle
import re
import shlex
import struct
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.header import MAX_HEADER_BYTES
from unifmir.checkpoint.model_package import unpacked_weights
from unifmir.checkpoint.record import metadata_of_lineage
from unifmir.checkpoint.script_archive import read_script_archive
from unifmir.checkpoint.sniffing import Format, sniff, torch_root
from unifmir.errors import ArchiveError, CheckpointError
from unifmir.json_values import read_values
from unifmir.plain_text_values import parse_json
from unifmir.zip_archive import opened_zip

SAFETENSORS_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

# torch.load on files that are not what they claim: UnpicklingError (bad opcodes, refused globals),
# RuntimeError (storages, zip reader, memory; includes NotImplementedError and RecursionError),
# EOFError and struct.error (short reads), KeyError, IndexError and AttributeError (the unpickler's
# memo and stack), ValueError with UnicodeDecodeError (strings, numbers), TypeError and
# AssertionError (arguments of rebuild functions), OverflowError and MemoryError (declared sizes),
# OSError (mapping the file), ImportError (names of modules in old pickles).
_TORCH_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    struct.error,
    KeyError,
    IndexError,
    AttributeError,
    ValueError,
    TypeError,
    AssertionError,
    OverflowError,
    MemoryError,
    OSError,
    ImportError,
)


_CONVERSION = (
    "import sys, torch as t; from safetensors.torch import save_file; "
    "d = lambda o: o.state_dict() if isinstance(o, t.nn.Module) else o; "
    "f = lambda o, p: {p: o.detach().clone().contiguous()} if isinstance(o, t.Tensor) else "
    "{k: v for n, c in o.items() if isinstance(n, str) "
    "for k, v in f(d(c), p + '.' + n if p else n).items()} if isinstance(o, dict) else {}; "
    "save_file(f(d(t.load(sys.argv[1], map_location='cpu', weights_only=False)), ''), sys.argv[2])"
)
"""One line of Python without double quotes, dollars or backquotes, so that any shell takes it."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """Raw content of a file, before anything is made of it."""

    content: Any
    """Dict of tensors of a safetensors file, or any plain value of a PyTorch file."""
    metadata: dict[str, str]
    format: Format


def read_raw(path: Path) -> RawFile:
    """Read a file of one of the formats without running anything that is in it.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, dangerous, or something else.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a checkpoint: name the file inside it")
    if not path.exists():
        raise CheckpointError(f"{path}: no such file; check the name and the folder")
    try:
        if path.stat().st_size == 0:
            raise CheckpointError(
                f"{path.name} is empty: the download or copy failed, get it again"
            )
        found = sniff(path)
        return _READERS[found](path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_package(path: Path) -> RawFile:
    with unpacked_weights(path) as (file, found):
        try:
            if (inner := sniff(file)) == "bioimageio":
                raise CheckpointError("they are a package themselves")
            raw = _READERS[inner](file)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path.name}: the weights in it, {found.member}: {error}"
            ) from error
    return RawFile(raw.content, metadata_of_lineage(found.lineage) or raw.metadata, "bioimageio")


def _read_script(path: Path) -> RawFile:
    tensors, record = read_script_archive(path)
    try:
        lineage = read_values(dict[str, str], parse_json(record)) if record else {}
        metadata = metadata_of_lineage(lineage)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: its record is malformed ({error})") from error
    return RawFile(tensors, metadata, "torchscript")


def _read_torch_zip(path: Path) -> RawFile:
    # Mapped, a storage cannot reach beyond the file whatever size it declares; read into
    # memory, torch 2.13 believes the declared size.
    with _mappable(path) as file:
        content = _read_torch(file, path, mmap=True)
        _check_storages(content, file, path)
    return RawFile(content, {}, "torch-zip")


@contextmanager
def _mappable(path: Path) -> Iterator[Path]:
    """An archive whose records lie uncompressed and in the folder of the first, as torch needs it.

    Others are what a download service compressed, or somebody put notes into. Their records are
    written to a file of its own, which is removed after the block; what was mapped stays.
    """
    with opened_zip(path) as archive:
        root = torch_root(archive.members) or ""
        ours = [name for name in archive.members if name.startswith(root)]
        stored = all(archive.members[n].compress_type == zipfile.ZIP_STORED for n in ours)
        if stored and root.count("/") == 1 and len(ours) == len(archive.members):
            yield path
            return
        with temporary_folder() as folder:
            file = folder / "stored.pt"
            try:
                archive.store({name: f"archive/{name.removeprefix(root)}" for name in ours}, file)
            except ArchiveError as error:
                raise CheckpointError(
                    f"{path.name} is damaged or incomplete ({error}); get it again"
                ) from error
            yield file


def _check_storages(content: Any, file: Path, path: Path) -> None:
    """Refuse storages that are not as large as a record: they reach into others, or hide some."""
    with opened_zip(file) as archive:
        records = Counter(
            member.file_size for name, member in archive.members.items() if "/data/" in name
        )
    sizes: dict[int, int] = {}
    for tensor in _tensors(content):
        if tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    found = Counter(sizes.values())
    if wrong := sorted(size for size in found if size and found[size] > records[size]):
        raise CheckpointError(
            f"{path.name} is damaged or was altered: its tensors lie in storages of {wrong[0]} "
            f"bytes, of which it has {records[wrong[0]]} records; get it again"
        )


def _tensors(content: Any) -> Iterator[Tensor]:
    """All tensors in plain values of any depth; a value that holds itself is looked at once."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _read_torch_legacy(path: Path) -> RawFile:
    # These cannot be mapped, but torch compares each storage's size with the one stored beside it.
    return RawFile(_read_torch(path, path, mmap=False), {}, "torch-legacy")


def _read_torch_tar(path: Path) -> RawFile:
    raise _refusal(
        path, "a tar archive of torch before 0.1.10, which PyTorch reads by unpickling alone"
    )


def _read_torch(file: Path, path: Path, *, mmap: bool) -> Any:
    """Content of a file, which errors call by the path that the user gave."""
    with warnings.catch_warnings():
        # Notices about torch's own typed storages, which are none of the user's business.
        warnings.simplefilter("ignore")
        try:
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=mmap)
        except _TORCH_ERRORS as error:
            raise _why_not_loaded(path, error) from error


def _why_not_loaded(path: Path, error: Exception) -> CheckpointError:
    text = str(error)
    refused = re.search(r"GLOBAL ([\w.]+)|(?:Trying to \w+|unsupported class) ([\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and refused:
        name = refused.group(1) or refused.group(2)
        return _refusal(path, f"a pickle that refers to {name}")
    first = text.strip().splitlines()[0][:200] if text.strip() else type(error).__name__
    return CheckpointError(
        f"{path.name} is damaged or incomplete: PyTorch cannot read it ({first}); get it again"
    )


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} is refused: it is {what}, and loading it could "
        "run code. It was not loaded. If you trust where it came from, convert it there:\n"
        f"  {conversion_command(path)}\n"
        f"and use {converted_name(path)} here (that command runs whatever the pickle holds)"
    )


def conversion_command(path: Path) -> str:
    """Command for a shell that turns a pickle into safetensors, outside of unifmir.

    It keeps every tensor under its name, modules by their state dicts and nested names joined by
    dots, and leaves out what is no tensor. Unlike unifmir it runs what the pickle holds.
    """
    return f'python -c "{_CONVERSION}" {shlex.quote(str(path))} {shlex.quote(converted_name(path))}'


def converted_name(path: Path) -> str:
    """Name of the file that `conversion_command` writes."""
    return f"{path.stem}-weights.safetensors"


def _read_safetensors(path: Path) -> RawFile:
    metadata = _safetensors_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            return RawFile(tensors, metadata, "safetensors")
    # KeyError, AttributeError: element types torch has no name for. MemoryError, OverflowError,
    # ValueError, TypeError, RuntimeError: shapes beyond what torch can hold.
    except (
        SafetensorError,
        KeyError,
        AttributeError,
        MemoryError,
        OverflowError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:
        raise CheckpointError(
            f"{path.name} is a damaged safetensors file ({error}): get it again"
        ) from error


def _safetensors_metadata(path: Path) -> dict[str, str]:
    """The header's free text, after checks that the safetensors library leaves out."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path.name} declares a header of {length} bytes; safetensors allows "
                f"{MAX_HEADER_BYTES}"
            )
        text = file.read(length)

    try:
        header = parse_json(text, limit=MAX_HEADER_BYTES)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path.name} is a damaged safetensors file: its header cannot be read ({error}); get "
            "it again"
        ) from error
    found = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        return {}
    return found


def write_safetensors(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file whose bytes depend on nothing but the arguments.

    The library's own writer puts the metadata in the random order of a hash map. Names are sorted;
    larger elements come first, so that every tensor is aligned.

    Parameters
    ----------
    tensors : mapping to Tensor, any shape, dtype of `SAFETENSORS_DTYPES`, any values
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for key, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        header[key] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, tensor in ordered:
            file.write(_bytes(tensor))


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted keys, element types, shapes and bytes: the weights and nothing else."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    # Through uint8, because NumPy has no bfloat16; a view, so that nothing is copied.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


_READERS: dict[Format, Callable[[Path], RawFile]] = {
    "safetensors": _read_safetensors,
    "torch-zip": _read_torch_zip,
    "torch-legacy": _read_torch_legacy,
    "torch-tar": _read_torch_tar,
    "torchscript": _read_script,
    "bioimageio": _read_package,
}
