"""AOTInductor: PyTorch's compiler ahead of time, one package of native code for one machine.

The package holds the plain network for every size and batch. The image interface is put around it
where it is loaded: its windows and slices depend on sizes in ways that torch.export would fix.

Like an engine, a package is code that runs when it is loaded: build it where it runs, and do not
load one from elsewhere.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.cases import example
from unifmir.export.formats.torchscript import narrow_storage
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.aotinductor import RECORD, made_here, package_lineage
from unifmir.hashing import sha256_of
from unifmir.precision.variants import DTYPES
from unifmir.trusted_files import remember_own
from unifmir.zip_archive import append_member, opened_zip

if TYPE_CHECKING:
    from unifmir.networks.interface import PlaneInterface


class AotInductorExporter(Exporter):
    """A compiled network with its lineage and its machine beside it in the archive."""

    name = "aotinductor"
    suffix = ".pt2"
    runtime = "aotinductor"
    holds_program = True
    lacks_raw = "the compiled package holds the plain network, and needs unifmir around it"

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
        if job.recipe.precision != "fp32":
            module = narrow_storage(module, DTYPES[job.recipe.precision])
        _compile(module, example(job.network.config, "network"), path)
        made = made_here()
        with opened_zip(path) as archive:
            folder = next(iter(archive.members)).partition("/")[0]
        record = {"lineage": job.lineage.to_strings(), "made": made}
        append_member(path, f"{folder}/{RECORD}", json.dumps(record, sort_keys=True))
        remember_own(sha256_of(path))
        return made

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the record; nothing of the package is run."""
        return package_lineage(path)


def _compile(module: nn.Module, image: Tensor, path: Path) -> None:
    symbolic_shapes: Any = import_module("torch.fx.experimental._config")
    free = {axis: torch.export.Dim.AUTO for axis in range(image.dim()) if axis != 1}
    # Oblivious: a size is not taken for a multiple of the window, nor for 1, because the example's
    # is or is not. What remains are assertions that an axis is longer than 1, under which strides
    # were chosen; strides of such an axis are never used, so they are left out. That the package
    # is right there too is verified, as for every format.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the compiler's own use of what torch deprecates
        try:
            with symbolic_shapes.patch(backed_size_oblivious=True), _expanded_strides():
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


@contextmanager
def _expanded_strides() -> Iterator[None]:
    """Have the compiler expand the strides of its indices in place of simplifying them.

    It asks whether a stride is 0, 1 or another number, and takes what it does not see for none of
    them, whose code is right for all. `sympy.expand` is as exact; `sympy.simplify` took 73 of the
    91 s that compiling a network of two blocks took in Python. A PyTorch that does it elsewhere
    compiles as it would without this.
    """
    sizevars: Any = import_module("torch._inductor.sizevars")
    if not hasattr(sizevars, "sympy"):
        yield
        return
    sympy: Any = import_module("sympy")
    expanding = ModuleType("sympy")
    expanding.__dict__.update(vars(sympy), simplify=sympy.expand)
    before = sizevars.sympy
    sizevars.sympy = expanding
    try:
        yield
    finally:
        sizevars.sympy = before


AOTINDUCTOR = AotInductorExporter()
