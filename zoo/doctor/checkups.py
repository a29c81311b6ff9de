"""Findings on what is installed, what is missing, and what is there but does not fit together."""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from unifmir.atomic import temporary_folder
from unifmir.errors import MissingExtraError, UnifmirError
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.onnx_graph import FIJI_IR, FIJI_OPSET
from unifmir.hashing import sha256_of
from unifmir.machine import NVIDIA_DRIVER, installed_version
from unifmir.native.compilers import REMEDY, WITHOUT, find_compiler
from unifmir.trusted_files import remember_own

State = Literal["usable", "missing", "mismatched"]

EXTRAS = {
    "zarr": ("OME-Zarr images", "pip install 'unifmir[zarr]'"),
    "distributed": ("restoring on several processes or machines", "pip install 'unifmir[zarr]'"),
    "h5py": ("CARE weights of csbdeep (.h5)", "pip install 'unifmir[keras]'"),
}
"""Module -> what it is for, and how to get it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    kind: Literal["runtime", "format", "library"]
    name: str
    state: State
    detail: str = ""
    remedy: str = ""
    """Remedy in words; empty where nothing is to be done."""


def runtimes() -> Iterator[Finding]:
    """Each row of `RUNTIMES`."""
    for name in RUNTIMES:
        yield _tried("runtime", name, _required)


def formats() -> Iterator[Finding]:
    """Each row of `FORMATS`: whether it can be written here."""
    for name in FORMATS:
        yield _tried("format", name, _verifiable)


def runs_here(runtime: str) -> bool:
    """Whether what a runtime needs is installed."""
    return _tried("runtime", runtime, _required).state == "usable"


def libraries(gpus: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Libraries that must fit together, the C compiler, and what the extras bring.

    Parameters
    ----------
    gpus : sequence of mapping
        NVIDIA's, as `described_hardware` gives them.
    """
    yield torch_build(bool(gpus) or NVIDIA_DRIVER.is_file())
    yield numpy_bridge()
    yield onnxruntime_build(bool(gpus))
    yield c_compiler()
    yield _tried("library", "bioimageio.spec", _imported)
    if find_spec("torchvision") is not None:
        yield _torchvision()
    for name in ("tensorrt", "tensorrt_rtx"):
        if installed_version(name) or installed_version(name.replace("_", "-")):
            yield _tried("library", name, _imported)
    for name, (purpose, remedy) in EXTRAS.items():
        yield _extra(name, purpose, remedy)
    if NVIDIA_DRIVER.is_file() or gpus:
        yield _extra("pynvml", "readings of the GPU", "pip install 'unifmir[benchmark]'")


def torch_build(has_gpu: bool) -> Finding:
    """Whether PyTorch is the build for what the machine has."""
    import torch

    built = torch.version.cuda
    detail = f"{torch.__version__}, built for {f'CUDA {built}' if built else 'the CPU'}"
    if not has_gpu or torch.cuda.is_available():
        return Finding("library", "torch", "usable", detail)
    if built is None:
        remedy = "install PyTorch's build for CUDA: pytorch.org, Get started, says how"
    elif os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        remedy = "CUDA_VISIBLE_DEVICES hides the GPU: unset it"
    else:
        remedy = f"the driver is too old for CUDA {built}, or the GPU is taken: run nvidia-smi"
    return Finding("library", "torch", "mismatched", f"{detail}; it finds no GPU", remedy)


def numpy_bridge() -> Finding:
    """Whether PyTorch and NumPy understand each other: a torch built for NumPy 1 does not."""
    import numpy as np
    import torch

    try:
        torch.from_numpy(np.zeros(1, dtype=np.float32)).numpy()
    except RuntimeError as error:
        remedy = f"install a PyTorch that knows NumPy {np.__version__}, or an older NumPy"
        return Finding("library", "numpy", "mismatched", str(error), remedy)
    return Finding("library", "numpy", "usable", np.__version__)


def onnxruntime_build(has_gpu: bool) -> Finding:
    """Whether ONNX Runtime is there once, and computes on the NVIDIA GPU if there is one."""
    builds = {
        name: found
        for name in RUNTIMES["onnxruntime"].distributions
        if (found := installed_version(name))
    }
    if not builds:
        detail = "no build of ONNX Runtime: ONNX files and packages can be neither made nor run"
        remedy = (
            "pip install 'unifmir[cpu]', or with an NVIDIA GPU 'unifmir[gpu]', or on Windows with "
            "another GPU 'unifmir[directml]': one of them"
        )
        return Finding("library", "onnxruntime", "missing", detail, remedy)
    name = next((one for one in builds if one != "onnxruntime"), "onnxruntime")
    if len(builds) > 1:
        told = " and ".join(f"{one} {found}" for one, found in builds.items())
        return Finding(
            "library",
            name,
            "mismatched",
            f"{told} overwrite each other's files",
            f"pip uninstall {' '.join(builds)}, then pip install {name}=={builds[name]}",
        )
    if not has_gpu or name == "onnxruntime-directml":
        return Finding("library", name, "usable", builds[name])
    if name == "onnxruntime":
        remedy = "pip uninstall onnxruntime, then pip install 'unifmir[gpu]'"
        detail = f"{builds[name]}, without a provider for NVIDIA's GPUs"
        return Finding("library", name, "missing", detail, remedy)
    return _cuda_provider(name, builds[name])


def c_compiler() -> Finding:
    """The C compiler that makes the native kernels."""
    try:
        compiler = find_compiler()
    except MissingExtraError:
        return Finding("library", "C compiler", "missing", f"none: {WITHOUT}", REMEDY)
    return Finding(
        "library", "C compiler", "usable", f"{compiler.version}, {' '.join(compiler.command)}"
    )


def _cuda_provider(name: str, found: str) -> Finding:
    """Open a session: that a provider is listed does not say that its libraries load."""
    with temporary_folder() as folder:
        probe = probes(folder)["onnx"]
        session = RUNTIMES["onnxruntime"].open(probe, device="cuda:0", threads=1)
    if not session.fallbacks:
        return Finding("library", name, "usable", f"{found}, CUDA provider loads")
    remedy = (
        "its CUDA and cuDNN must be those of its release, and installed: "
        "pip install 'unifmir[gpu]' brings them"
    )
    detail = f"{found}, but its CUDA provider does not load: it would run on the CPU"
    return Finding("library", name, "mismatched", detail, remedy)


def probes(folder: Path) -> dict[str, Path]:
    """Files of one operation by format: what opens one opens the format.

    Parameters
    ----------
    folder : Path
        Where they are written.
    """
    return {"onnx": _onnx_probe(folder), "torchscript": _torchscript_probe(folder)}


def _onnx_probe(folder: Path) -> Path:
    from onnx import TensorProto, helper, save

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, None, None])
        for name in ("image", "restored")
    ]
    node = helper.make_node("Relu", ["image"], ["restored"])
    graph = helper.make_graph([node], "probe", [ends[0]], [ends[1]])
    path = folder / f"probe{FORMATS['onnx'].suffix}"
    opset = [helper.make_opsetid("", FIJI_OPSET)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=FIJI_IR), path)
    remember_own(sha256_of(path))
    return path


def _torchscript_probe(folder: Path) -> Path:
    import warnings

    import torch

    path = folder / f"probe{FORMATS['torchscript'].suffix}"
    with warnings.catch_warnings():
        # Announced as deprecated; it is what the files are.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), path)
    remember_own(sha256_of(path))
    return path


def _torchvision() -> Finding:
    try:
        detail = _imported("torchvision")
    except Exception as error:  # noqa: BLE001 - what a broken build raises shares no base
        remedy = "pip uninstall torchvision: unifmir does not need it, and others fail with it"
        return Finding("library", "torchvision", "mismatched", _first_line(error), remedy)
    return Finding("library", "torchvision", "usable", detail)


def _tried(
    kind: Literal["runtime", "format", "library"], name: str, look: Callable[[str], str]
) -> Finding:
    """A finding from what a look gives or raises."""
    try:
        return Finding(kind, name, "usable", look(name))
    except ModuleNotFoundError as error:
        return Finding(
            kind, name, "missing", f"no module {error.name}", f"pip install {error.name}"
        )
    except UnifmirError as error:
        return Finding(kind, name, "missing", "not here", str(error))
    except Exception as error:  # noqa: BLE001 - what libraries raise at import shares no base
        remedy = f"{name} is installed but cannot be loaded: install it again, whole"
        return Finding(kind, name, "mismatched", _first_line(error), remedy)


def _required(runtime: str) -> str:
    row = RUNTIMES[runtime]
    row.require()
    able = [*map(str, row.precisions("cpu"))] or ["GPUs only"]
    return ", ".join(filter(None, (*able, row.instructions())))


def _verifiable(name: str) -> str:
    """Suffix of a format whose files can be run here: others are not written."""
    row = FORMATS[name]
    RUNTIMES[row.runtime].require()
    return row.suffix


def _imported(name: str) -> str:
    return str(getattr(importlib.import_module(name), "__version__", ""))


def _extra(name: str, purpose: str, remedy: str) -> Finding:
    if find_spec(name) is None:
        return Finding("library", name, "missing", f"for {purpose}", remedy)
    return Finding("library", name, "usable", f"for {purpose}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
