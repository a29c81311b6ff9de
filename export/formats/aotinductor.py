"""AOTInductor: PyTorch's compiler ahead of time, one package of native code for one machine.

The package holds the plain network for every size and batch. The image interface is put around it
where it is loaded: its windows and slices depend on sizes in ways that torch.export would fix.

Like an engine, a package is code that runs when it is loaded: build it where it runs, and do not
load one from elsewhere.
"""

import json
import platform
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from unifmir.config import MultiTaskConfig, SingleConfig, config_from_dict
from unifmir.errors import ExportError
from unifmir.export.base import ExportJob, Lineage, Runner, Variant
from unifmir.export.cases import example
from unifmir.export.formats.torchscript import DTYPES, narrow_storage
from unifmir.machine import processor
from unifmir.model import image_interface
from unifmir.networks.base import Network

if TYPE_CHECKING:
    from unifmir.networks.interface import PlaneInterface

RECORD = "extra/unifmir.json"
"""End of the name of the archive's member that holds the lineage and the machine."""


class AotInductorExporter:
    """A compiled network with its lineage and its machine beside it in the archive."""

    name = "aotinductor"
    suffix = ".pt2"
    variants: tuple[Variant, ...] = ("stored",)
    wrapped_only = False

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Export with free sizes and compile, which takes minutes.

        Raises
        ------
        ExportError
            This PyTorch is too old, there is no C++ compiler, or the compiler fails.
        """
        module = job.module
        if job.lineage.interface == "image":
            module = cast("PlaneInterface", module).network
        if job.plan.precision != "fp32":
            module = narrow_storage(module, DTYPES[job.plan.precision])
        _compile(module, example(job.network.config, "network"), path)
        made = made_here()
        with zipfile.ZipFile(path, "a") as archive:
            folder = archive.namelist()[0].partition("/")[0]
            record = {"lineage": job.lineage.to_strings(), "made": made}
            archive.writestr(f"{folder}/{RECORD}", json.dumps(record, sort_keys=True))
        return made

    def runner(self, path: Path) -> Runner:
        """The compiled code, on the CPU."""
        module = loaded(path)

        def run(image: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                restored: np.ndarray = module(torch.from_numpy(image)).numpy()
            return restored

        return run

    def lineage(self, path: Path) -> Lineage:
        """From the record; nothing of the package is run."""
        return Lineage.from_strings(_record(path)["lineage"], path.name)


def made_here() -> dict[str, str]:
    """What a package depends on, of this machine and PyTorch."""
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def loaded(path: Path) -> nn.Module:
    """The module of a package, with the interface its lineage names.

    Raises
    ------
    ExportError
        It is damaged or none of ours, or was compiled for another machine or PyTorch.
    """
    record = _record(path)
    lineage = Lineage.from_strings(record["lineage"], path.name)
    _require_same_machine(path, record["made"], lineage)
    config = config_from_dict(lineage.config)
    if isinstance(config, MultiTaskConfig):
        raise ExportError(f"{path.name}: expected a single-task network, it says multi-task")
    try:
        network = _Packaged(torch._inductor.aoti_load_package(str(path)), config)
    except (RuntimeError, OSError) as error:
        raise ExportError(f"{path.name}: PyTorch cannot load it: {error}") from error
    return image_interface(network) if lineage.interface == "image" else network


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


def _compile(module: nn.Module, image: Tensor, path: Path) -> None:
    symbolic_shapes: Any = import_module("torch.fx.experimental._config")
    if not hasattr(symbolic_shapes, "backed_size_oblivious"):
        raise ExportError(
            f"torch {torch.__version__} cannot export for every size: install torch 2.8 or newer, "
            "or export as torchscript or onnx"
        )
    free = {axis: torch.export.Dim.AUTO for axis in range(image.dim()) if axis != 1}
    # Oblivious: a size is not taken for a multiple of the window, nor for 1, because the example's
    # is or is not. What remains are assertions that an axis is longer than 1, under which strides
    # were chosen; strides of such an axis are never used, so they are left out. That the package
    # is right there too is verified, as for every format.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the compiler's own use of what torch deprecates
        try:
            with symbolic_shapes.patch(backed_size_oblivious=True):
                program = torch.export.export(
                    module,
                    (image,),
                    dynamic_shapes=(free,),
                    strict=False,
                    prefer_deferred_runtime_asserts_over_guards=True,
                )
                torch._inductor.aoti_compile_and_package(
                    program, package_path=str(path), inductor_configs={"scalar_asserts": False}
                )
        except RuntimeError as error:
            raise ExportError(
                f"PyTorch cannot compile the network: {error}\nIt needs a C++ compiler, such as "
                "g++; CXX names another"
            ) from error


def _record(path: Path) -> dict[str, Any]:
    """What `write` put into the archive, once every member is what was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            # Before anything is run: a damaged library does not fail, it crashes.
            damaged = archive.testzip()
            names = [name for name in archive.namelist() if name.endswith(f"/{RECORD}")]
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


AOTINDUCTOR = AotInductorExporter()
