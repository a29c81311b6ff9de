"""Proof that a package is what its parent implies: all its weights, tensors and declarations.

Nothing of the package is run: programs in it are read for their weights alone, and the architecture
file is compared with the one that the exporter makes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.loading import load_as
from unifmir.compare import FP32, compare
from unifmir.config import SingleConfig
from unifmir.errors import CheckpointError, ExportError
from unifmir.export.formats.bioimageio import rdf, tensors
from unifmir.export.formats.bioimageio.architecture import bundle
from unifmir.export.formats.bioimageio.lint import Package, problems
from unifmir.export.formats.bioimageio.package_axes import axes_of
from unifmir.export.lineage import Lineage
from unifmir.json_values import json_form
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import ELEMENT_TYPES

_COMPARED = ("pytorch_state_dict", "torchscript")
"""Weight formats whose tensors are compared one by one; the ONNX file is run."""


def contradictions(
    package: Package, parent: Network, lineage: Lineage, *, halo_px: int | None
) -> Iterator[str]:
    """Sentences on what is not as the parent and the task imply.

    Parameters
    ----------
    package : Package
    parent : Network
        The fp32 single-task network.
    lineage : Lineage
        Record in the package.
    halo_px : int, optional
        What `measure_halo` finds for the parent. None: the package was written here, and what its
        text says, which was made of the parent then, is not made again.
    """
    if halo_px is not None:
        yield from _of_rules(package)
        yield from _of_architecture(package, lineage)
        yield from _of_declarations(package, lineage, halo_px)
    loaded: dict[str, Network] = {}
    for name in _COMPARED:
        try:
            loaded[name] = _loaded(package, name, parent.config)
        except (CheckpointError, ExportError) as error:
            yield str(error)
            continue
        yield from _of_weights(loaded[name], parent, lineage.precision, rdf.FILES[name])
    if "pytorch_state_dict" in loaded:
        yield from _of_tensors(package, loaded["pytorch_state_dict"])


def _of_rules(package: Package) -> Iterator[str]:
    """Broken rules of the lint, and checks that a malformed description does not get through."""
    for severity, where, message in problems(package):
        if severity == "error":
            yield f"{where}: {message}"


def _loaded(package: Package, name: str, config: SingleConfig) -> Network:
    """Weights of one format in our own network."""
    source = _within(package.rdf, "weights", name).get("source")
    if not isinstance(source, str) or source not in package.files:
        raise ExportError(f"weights.{name}: it names no file of the package")
    with temporary_folder() as folder:
        file = folder / rdf.FILES[name]
        file.write_bytes(package.files[source])
        return load_as(file, config)


def _within(description: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A mapping inside others; an empty one where any of them is something else."""
    found: Any = description
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _of_weights(found: Network, parent: Network, precision: str, file: str) -> Iterator[str]:
    expected = parent.state_dict()
    wrong = [
        key
        for key, value in found.state_dict().items()
        if not same_tensor(value, expected[key], precision)
    ]
    if wrong:
        yield (
            f"{file}: {len(wrong)} of {len(expected)} tensors are not the parent's in {precision}, "
            f"such as {wrong[0]}"
        )


def same_tensor(found: Tensor, parent: Tensor, precision: str) -> bool:
    """Whether a tensor of a file is the parent's, of the same shape, as it is or in fewer bytes.

    Parameters
    ----------
    found, parent : Tensor
        Of one shape and any range, of floats or integers; floats are compared as float32.
    precision : str
        Element type that the file holds its weights in.

    Roundings of bf16 are chosen by what the network then gives, so that either neighbour may be
    right: a step of bf16 is 2**-7 of the value at most.
    """
    if torch.equal(found, parent):
        return True
    if precision == "fp32" or not parent.is_floating_point():
        return False
    if precision == "bf16":
        return bool((abs(found - parent) <= 2**-7 * abs(parent)).all())
    narrow: torch.dtype = getattr(torch, ELEMENT_TYPES[precision].dtype)
    return torch.equal(found, parent.to(narrow).to(parent.dtype))


def _of_architecture(package: Package, lineage: Lineage) -> Iterator[str]:
    made = bundle(lineage.network_config, lineage.versions.get("unifmir", ""))
    given = _within(package.rdf, "weights", "pytorch_state_dict", "architecture")
    if package.files.get(str(given.get("source")), b"") != made.source.encode("utf-8"):
        yield "architecture: the file is not the one that this unifmir makes for the network"
    if (given.get("callable"), given.get("kwargs")) != (made.callable, json_form(made.kwargs)):
        yield f"architecture: its call is not {made.callable} with the network's configuration"
    if strange := sorted(map(str, given.keys() - {"source", "sha256", "callable", "kwargs"})):
        yield f"architecture: it has an entry {strange[0][:80]!r}, which no export writes"


def _of_declarations(package: Package, lineage: Lineage, halo_px: int) -> Iterator[str]:
    """Axes, sizes, halo and normalisation that the task, the configuration and the reach imply."""
    config = lineage.network_config
    axes = axes_of(config, halo_px)
    for kind, made in zip(("inputs", "outputs"), rdf.declared_tensors(config, axes), strict=True):
        given = package.rdf.get(kind)
        if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
            yield f"{kind}: expected one"
            continue
        for field in ("id", "axes", "data", "preprocessing", "postprocessing"):
            if given[0].get(field) != made.get(field):
                yield (
                    f"{kind}.{field}: {str(given[0].get(field))[:200]} is not what the network "
                    f"implies, {str(made.get(field))[:200]}"
                )


def _of_tensors(package: Package, stored: Network) -> Iterator[str]:
    """Sentences on the test tensors by the declared path."""
    given, made = (
        tensors.test_tensor(package.rdf, package.files, kind) for kind in ("inputs", "outputs")
    )
    if given is None or made is None:
        yield "test_tensor: missing, or no one image of one channel in float32"
        return
    normalization = stored.config.normalization
    try:
        expected = tensors.restore(image_interface(stored), given, normalization)
    except (ExportError, RuntimeError, ValueError, IndexError) as error:
        yield f"test_tensor: the network does not take it ({str(error)[:200]})"
        return
    if expected.shape != made.shape:
        yield f"test_tensor: {given.shape} becomes {expected.shape}, the output is {made.shape}"
        return
    for failure in FP32.failures(compare(expected, made)):
        yield f"test_tensor: the output is not what the network makes of the input: {failure}"
