"""AOTInductor packages: native code for one machine, checked before it is run.

A package is code that runs when it is loaded: build it where it runs, and do not load one from
elsewhere. It holds the plain network; the image interface is put around it here, because its
windows and slices depend on sizes in ways that torch.export would fix.
"""

import json
import platform
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.config import SingleConfig
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.base import STORED, Runtime, Session, is_cuda
from unifmir.export.runtimes.pytorch import prepare_device, session_of
from unifmir.hashing import sha256_of
from unifmir.machine import processor
from unifmir.model import in_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.trusted_files import require_trusted
from unifmir.zip_archive import checked_members

RECORD = "extra/unifmir.json"
"""End of the name of the archive's member that holds the lineage and the machine."""


class AotInductorRuntime(Runtime):
    """Runs a file of `unifmir export --format aotinductor`."""

    name = "aotinductor"
    format = "aotinductor"
    slow_start = True

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in any element type, arithmetic in fp32; nothing on CUDA devices."""
        return () if is_cuda(device) else STORED

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Load the package, on the machine it was compiled on."""
        path = self.file_from(source)
        if is_cuda(device):
            raise BenchmarkError(
                f"aotinductor packages are compiled for the CPU, not for {device}: use --device cpu"
            )
        prepare_device(device, threads)
        precision = package_lineage(path).precision
        return session_of(load_package(path), device, {"element_type": f"{precision} stored"})


def package_lineage(path: Path) -> Lineage:
    """Lineage in a package's record; nothing of the package is run."""
    return Lineage.from_strings(_record(path)["lineage"], path.name)


def made_here() -> dict[str, str]:
    """Facts of this machine and PyTorch that a package depends on."""
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def load_package(path: Path) -> nn.Module:
    """Load the module of a package, with the interface that its lineage names.

    Raises
    ------
    ExportError
        It is damaged or none of ours, or was compiled for another machine or PyTorch.
    """
    record = _record(path)
    lineage = Lineage.from_strings(record["lineage"], path.name)
    _require_same_machine(path, record["made"], lineage)
    require_trusted(path, sha256_of(path), "native code of AOTInductor")
    try:
        compiled = torch._inductor.aoti_load_package(str(path))
    except (RuntimeError, OSError) as error:
        raise ExportError(f"{path.name}: PyTorch cannot load it: {error}") from error
    network = _Packaged(compiled, lineage.network_config)
    return in_interface(network, lineage.interface)


class _Packaged(Network):
    """A compiled network as a module, for the image interface."""

    def __init__(self, compiled: Any, config: SingleConfig) -> None:
        super().__init__()
        self.compiled = compiled
        self.config = config
        self.task = config.task
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> what the network gives."""
        # Compiled for the strides of the example; others are neither refused nor right.
        out: Tensor = self.compiled(x.contiguous())
        return out


def _record(path: Path) -> dict[str, Any]:
    """Record in the archive, once every member is known to be undamaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            # Before anything is run: a damaged library does not fail, it crashes.
            names = [name for name in checked_members(archive) if name.endswith(f"/{RECORD}")]
            damaged = archive.testzip()
            if damaged is None and len(names) == 1:
                record: dict[str, Any] = json.loads(archive.read(names[0]))
                return record
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise ExportError(f"{path.name}: not a package of AOTInductor ({error})") from error
    if damaged is not None:
        raise ExportError(f"{path.name}: {damaged} in it is damaged; export it again")
    raise ExportError(f"{path.name}: a package, but not one that `unifmir export` made")


def _require_same_machine(path: Path, made: dict[str, str], lineage: Lineage) -> None:
    here = made_here()
    other = [
        f"{key} {made.get(key)!r}, here {value!r}"
        for key, value in here.items()
        if made.get(key) != value
    ]
    if other:
        raise ExportError(
            f"{path.name} was compiled for another machine or PyTorch: {'; '.join(other)}. "
            f"Compile it here: unifmir export --task {lineage.task} --checkpoint "
            f"{lineage.parent['name']} --format aotinductor --out FOLDER"
        )


AOTINDUCTOR = AotInductorRuntime()
