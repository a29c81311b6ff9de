"""TorchScript by tracing: what deepImageJ and Icy run.

Traced, not scripted: a scripted file of a recent torch fails to load in the older ones that Fiji
ships, a traced one loads. Scripted is one loop alone, see `script_loop`.
"""

import copy
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.sniffing import script_root
from unifmir.errors import ArchiveError, ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.case_sizes import verified_shapes
from unifmir.export.formats.script_loop import looped
from unifmir.export.lineage import MAX_RECORD_BYTES, Lineage, lineage_in_text
from unifmir.hashing import sha256_of
from unifmir.precision.variants import DTYPES
from unifmir.trusted_files import remember_own
from unifmir.zip_archive import opened_zip, write_stored_zip

LINEAGE_FILE = "unifmir.json"
_NUMBERED = re.compile(rb"___torch_mangle_(\d+)")
_NAMED: set[str] = set()
"""Classes of modules that this process has traced."""


class TorchScriptExporter(Exporter):
    """A traced module with its lineage as an extra file inside the archive."""

    name = "torchscript"
    suffix = ".torchscript.pt"
    runtime = "torchscript"
    holds_program = holds_weights = True

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Trace at batch 2 and a size that is not square."""
        key = ("torchscript", job.module, *job.lineage.to_strings().items())
        path.write_bytes(job.traces.made(key, lambda: _traced(job)))
        remember_own(sha256_of(path))
        return {"torch": torch.__version__}

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the extra file; the program beside it is not loaded."""
        text = _lineage_text(path)
        if not text:
            raise ExportError(
                f"{path.name}: a TorchScript file, but not one that `unifmir export` made"
            )
        return lineage_in_text(text, path.name)

    def made(self, path: Path) -> bool:
        """Whether it has the extra file; a TorchScript file of others is a checkpoint."""
        return bool(_lineage_text(path))


def _traced(job: ExportJob) -> bytes:
    """Archive of the traced module, without what depends on this machine."""
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        _without_gradients(job.module),
        _kernels_by_rule(),
    ):
        # Tracing warns where it fixes a Python value; that none matters is verified at
        # other sizes and batches.
        warnings.simplefilter("ignore")
        module = job.module
        if job.recipe.precision != "fp32":
            module = narrow_storage(module, DTYPES[job.recipe.precision])
        # A class traced for the first time in a process keeps its plain name, and every later one
        # is numbered, as all are in a file: see `_write_reproducible`.
        if unnamed := {torch.typename(type(part)) for part in module.modules()} - _NAMED:
            # Only for their names, so of the least image that is verified.
            _, least, *_ = verified_shapes(job.network.config, job.lineage.interface)
            _trace(module, torch.zeros(least))
            _NAMED.update(unnamed)
        traced = _trace(module, job.example)
        extra = {LINEAGE_FILE: json.dumps(job.lineage.to_strings(), sort_keys=True)}
        with temporary_folder() as folder:
            # The first folder inside is named after the file.
            saved, reproducible = folder / "archive.pt", folder / "reproducible.pt"
            torch.jit.save(traced, str(saved), _extra_files=extra)
            _write_reproducible(saved, reproducible)
            return reproducible.read_bytes()


def _trace(module: nn.Module, image: Tensor) -> torch.jit.ScriptModule:
    with looped(module, image):
        traced: torch.jit.ScriptModule = torch.jit.trace(module, image, check_trace=False)
    return traced


def _lineage_text(path: Path) -> str:
    try:
        with opened_zip(path) as archive:
            members = archive.members
            root = script_root(members)
            if root is None or f"{root}extra/{LINEAGE_FILE}" not in members:
                return ""
            text = archive.read(f"{root}extra/{LINEAGE_FILE}", most=MAX_RECORD_BYTES)
            return text.decode("utf-8", errors="replace")
    except ArchiveError as error:
        raise ExportError(f"{path.name}: not a TorchScript file ({error})") from error


@contextmanager
def _without_gradients(module: nn.Module) -> Iterator[None]:
    """Parameters that ask for no gradient meanwhile: a file keeps what they ask for.

    Who runs the file would otherwise hold every layer's features for a backward pass.
    """
    asking = [one for one in module.parameters() if one.requires_grad]
    for one in asking:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in asking:
            one.requires_grad_(True)


@contextmanager
def _kernels_by_rule() -> Iterator[None]:
    """Settings of cuDNN that a file keeps in each convolution, whatever this process computes by.

    Full fp32, no search for the fastest kernel. By the older name of TF32, which every supported
    version has.
    """
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=False, allow_tf32=False
    ):
        yield


class _Upcast(nn.Module):
    """Reads a narrow weight as float32."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def narrow_storage(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy that holds parameters in `dtype` and casts each one where it is used.

    Only those that `dtype` holds exactly: the others belong to the precision's islands. Where they
    lie is known to `unifmir.checkpoint.script_archive`, which reads such files as checkpoints.
    """
    module = copy.deepcopy(module)
    for part in list(module.modules()):
        for name, weight in list(part.named_parameters(recurse=False)):
            narrow = weight.detach().to(dtype)
            if not torch.equal(narrow.to(weight.dtype), weight):
                continue
            setattr(part, name, nn.Parameter(narrow, requires_grad=False))
            # unsafe: the type differs from the stored one, which is the purpose.
            parametrize.register_parametrization(part, name, _Upcast(), unsafe=True)
    return module


def _write_reproducible(archive: Path, path: Path) -> None:
    """Write an archive of torch without what depends on the machine or on what was traced before.

    Dropped: the source locations, which hold paths of the machine that traced, and the
    serialization id, a hash over the names below. Renumbered: torch tells classes of one name
    apart by a counter that runs through the whole process. Entries are stored, not compressed,
    and dated 1980, so that the same weights give the same bytes.
    """
    files = {}
    with opened_zip(archive) as old:
        kept = [
            name
            for name in old.members
            if not name.endswith((".debug_pkl", "/.data/serialization_id"))
        ]
        numbers = sorted({int(m) for m in _NUMBERED.findall("\n".join(kept).encode())})
        order = {b"%d" % number: b"%d" % index for index, number in enumerate(numbers)}

        def renumbered(text: bytes) -> bytes:
            return _NUMBERED.sub(lambda m: b"___torch_mangle_" + order[m.group(1)], text)

        for name in kept:
            content = old.read(name)
            if name.endswith((".py", "/data.pkl")):
                content = renumbered(content)
            files[renumbered(name.encode()).decode()] = content
    write_stored_zip(files, path)


TORCHSCRIPT = TorchScriptExporter()
