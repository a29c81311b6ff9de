"""AOTInductor packages: native code for one machine, checked before it is run.

A package is code that runs when it is loaded: build it where it runs, and do not load one from
elsewhere. It holds the plain network; the image interface is put around it here, because its
windows and slices depend on sizes in ways that torch.export would fix.
"""

import platform
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.atomic import temporary_folder
from unifmir.config import SingleConfig
from unifmir.devices import device_named
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.lineage import MAX_RECORD_BYTES, Lineage
from unifmir.export.runtimes.base import STORED, Runtime, Session
from unifmir.export.runtimes.pytorch import prepare_device, session_of
from unifmir.json_values import JsonValues, read_values
from unifmir.machine import processor
from unifmir.model import in_interface
from unifmir.networks.base import Network
from unifmir.plain_text_values import parse_json
from unifmir.precision.element_types import Precision
from unifmir.trusted_files import require_trusted
from unifmir.zip_archive import opened_zip

RECORD = "extra/unifmir.json"
"""End of the name of the archive's member that holds the lineage and the machine."""


class AotInductorRuntime(Runtime):
    """Runs a file of `unifmir export --format aotinductor`."""

    name = "aotinductor"
    format = "aotinductor"
    slow_start = True

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in any element type, arithmetic in fp32, on the CPU."""
        return STORED if device_named(device).is_cpu else ()

    def require_harmless(self, path: Path) -> None:
        """Refuse a package that is not trusted, is damaged or was compiled for another machine."""
        _checked(path)

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Load the package, on the machine it was compiled on."""
        path = self.file_from(source)
        if not device_named(device).is_cpu:
            raise BenchmarkError(
                f"aotinductor packages are compiled for the CPU, not for {device}: use --device cpu"
            )
        prepare_device(device, threads)
        module, lineage = load_package(path)
        return session_of(module, device, {"element_type": f"{lineage.precision} stored"})


def package_lineage(path: Path) -> Lineage:
    """Lineage in a package's record; nothing of the package is run."""
    return Lineage.from_strings(_record(path.name, path).lineage, path.name)


def made_here() -> dict[str, str]:
    """Facts of this machine and PyTorch that a package depends on."""
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def load_package(path: Path) -> tuple[nn.Module, Lineage]:
    """Load a package: its module, with the interface that its lineage names, and the lineage.

    Raises
    ------
    ExportError
        It is damaged or none of ours, was compiled for another machine or PyTorch, or is a
        stranger's.
    """
    content, lineage = _checked(path)
    # PyTorch reads a file, and what it reads must be what was checked.
    with temporary_folder() as folder:
        private = folder / "package.pt2"
        private.write_bytes(content)
        try:
            compiled = torch._inductor.aoti_load_package(str(private))
        except (RuntimeError, OSError) as error:
            raise ExportError(f"{path.name}: PyTorch cannot load it: {error}") from error
    network = _Packaged(compiled, lineage.network_config)
    return in_interface(network, lineage.interface), lineage


def _checked(path: Path) -> tuple[bytes, Lineage]:
    """Content of a package that may run here, and its lineage."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path.name}: not a package of AOTInductor ({error})") from error
    record = _record(path.name, content)
    lineage = Lineage.from_strings(record.lineage, path.name)
    _require_same_machine(path, record.made, lineage)
    require_trusted(path, sha256(content).hexdigest(), "native code of AOTInductor")
    return content, lineage


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


@dataclass(frozen=True, slots=True)
class _PackageRecord(JsonValues):
    """Lineage and machine in a package."""

    lineage: dict[str, str]
    made: dict[str, str]
    """`made_here` of the machine that compiled it."""


def _record(name: str, source: Path | bytes) -> _PackageRecord:
    """Record in the archive, once every member is known to be undamaged."""
    try:
        with opened_zip(source) as archive:
            # Before anything is run: a damaged library does not fail, it crashes.
            names = [one for one in archive.members if one.endswith(f"/{RECORD}")]
            damaged = archive.damaged()
            if damaged is None and len(names) == 1:
                text = archive.read(names[0], most=MAX_RECORD_BYTES)
                return read_values(_PackageRecord, parse_json(text))
    except ValueError as error:
        raise ExportError(f"{name}: not a package of AOTInductor ({error})") from error
    if damaged is not None:
        raise ExportError(f"{name}: {damaged} in it is damaged; export it again")
    raise ExportError(f"{name}: a package, but not one that `unifmir export` made")


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
