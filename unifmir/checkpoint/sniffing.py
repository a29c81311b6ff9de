"""Kind of a file by its first bytes, so that an error can name it. Nothing here imports torch."""

import string
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from unifmir.errors import ArchiveError, CheckpointError
from unifmir.zip_archive import Archive, opened_zip

Format = Literal[
    "torch-zip", "torch-legacy", "torch-tar", "safetensors", "torchscript", "bioimageio"
]

HEAD_BYTES = 1024
LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The pickled number that starts a file of torch.save before torch 1.6, after its protocol byte."""

TAR_MEMBERS = (b"sys_info\0", b"pickle\0", b"storages\0", b"tensors\0")
"""Starts of a tar archive of torch.save before torch 0.1.10: the name of its first member."""

READABLE = (
    "a checkpoint is a .pt or .pth file of torch.save or TorchScript, a .safetensors file, or a "
    "BioImage.IO package with such a file"
)
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
"""Names of the description of a BioImage.IO package, the preferred first."""

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (HDF5_MAGIC, "an HDF5 file, as Keras (.h5) writes; `unifmir export` reads those of CARE"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\xfd7zXZ", "an xz archive: unpack it first"),
    (b"GGUF", "a GGUF language model"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
)
_WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")
_ONNX_SECOND_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"
"""Protobuf tags of ModelProto's fields 2 to 8, any of which may follow the IR version."""


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, the container of Keras weights."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def sniff(path: Path) -> Format:
    """The format of a checkpoint file, by content: its name may lie.

    Raises
    ------
    CheckpointError
        If it is no checkpoint; the message says what it looks like instead.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head[:1] == b"\x80" and head[2 : 2 + len(LEGACY_MAGIC)] == LEGACY_MAGIC:
        return "torch-legacy"
    if head[257:262] == b"ustar" and head.startswith(TAR_MEMBERS):
        return "torch-tar"
    if len(head) > 8 and head[8:9] == b"{":
        declared = struct.unpack("<Q", head[:8])[0]
        if declared > size - 8:
            raise CheckpointError(
                f"{path.name} starts like a safetensors file whose header has {declared} bytes, "
                f"but the file has only {size}: it is damaged or incomplete; get it again"
            )
        return "safetensors"
    raise CheckpointError(
        f"{path.name} is not a checkpoint: it looks like {_looks_like(head)} "
        f"({size} bytes); {READABLE}"
    )


def _looks_like(head: bytes) -> str:
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return words
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_WEB_PAGE) or b"<html" in start:
        return "a web page saved under this name: the download failed, download the file again"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return (
            "a Python pickle that torch.save did not write; unpickling can run any code, "
            "so it is refused"
        )
    if head[:1] == b"\x08" and 0 < head[1] < 32 and head[2:3] in _ONNX_SECOND_FIELDS:
        return "an ONNX model: unifmir writes these, but needs the checkpoint to start from"
    printable = string.printable.encode()
    if head and all(byte in printable for byte in head):
        first = head.decode("ascii").strip().splitlines()
        excerpt = f", starting {first[0][:60]!r}" if first else ""
        return f"a text file{excerpt}: if it was downloaded, download it again"
    return "no format known here: if it was downloaded, it may be damaged"


def _kind_of_zip(path: Path) -> Format:
    """Which kind of zip a file is; CheckpointError if it holds no weights, or is damaged."""
    size = path.stat().st_size
    try:
        with opened_zip(path) as archive:
            names = archive.members.keys()
            if is_script_archive(names):
                # Its reader checks what it opens; the rest of it is a program, and stays closed.
                return "torchscript"
            if torch_root(names) is not None:
                _check_sums(archive)
                return "torch-zip"
            if description_of(names) is not None:
                return "bioimageio"
    except ArchiveError as error:
        raise CheckpointError(
            f"{path.name} starts like a PyTorch file or a package, but is damaged or incomplete: "
            f"{error} ({size} bytes); get it again"
        ) from error
    raise CheckpointError(
        f"{path.name} is not a checkpoint: it looks like {_zip_looks_like(names)}; {READABLE}"
    )


def _check_sums(archive: Archive) -> None:
    """Refuse an archive that is damaged: torch.load does not compare the checksums."""
    # All zero: written with torch.serialization.set_crc32_options(False).
    sums = any(member.CRC for member in archive.members.values())
    if sums and (wrong := archive.damaged()):
        raise ArchiveError(f"wrong checksum of {wrong!r}")


def torch_root(names: Collection[str]) -> str | None:
    """Folder of the records that torch.save wrote; None where there is none, or it is not clear."""
    found = _torch_folders(names)
    highest = [root for root in found if root.count("/") == found[0].count("/")]
    return highest[0] if len(highest) == 1 else None


def _torch_folders(names: Collection[str]) -> list[str]:
    """Folders that hold a pickle as torch.save calls it, the highest first."""
    ending = "data.pkl"
    found = [name[: -len(ending)] for name in names if f"/{name}".endswith(f"/{ending}")]
    return sorted(found, key=lambda folder: folder.count("/"))


def is_script_archive(names: Collection[str]) -> bool:
    """Whether the members of a zip are those of a TorchScript archive."""
    return script_root(names) is not None


def script_root(names: Collection[str]) -> str | None:
    """Folder of a TorchScript archive's records, which libtorch names after the file."""
    for name in names:
        root, found, rest = name.partition("constants.pkl")
        if found and not rest and root.count("/") <= 1 and f"{root}data.pkl" in names:
            return root
    return None


def description_of(names: Collection[str]) -> str | None:
    """Member with the description of a BioImage.IO package, at the top or in its one folder."""
    for wanted in DESCRIPTIONS:
        for name in sorted(names, key=len):
            if name.rpartition("/")[2] == wanted and name.count("/") <= 1:
                return name
    return None


def _zip_looks_like(names: Collection[str]) -> str:
    def has(ending: str) -> bool:
        return any(name.endswith(ending) for name in names)

    if has("model.weights.h5"):
        return "a Keras model"
    if has(".npy"):
        return "NumPy arrays (.npz)"
    if has("archive_format") or has(".pt2"):
        return "a torch.export archive"
    if folders := _torch_folders(names):
        return f"several checkpoints in one zip ({', '.join(folders[:3])[:200]}): take one out"
    some = ", ".join(sorted(names)[:3])
    return f"a zip archive holding {some}" if some else "an empty zip archive"
