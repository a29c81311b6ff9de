"""deepImageJ's comparison with the test output, as the collection applies it.

Its program, Fiji, is not run: the steps are those that JDLL's code takes (2026), on the runtimes
that are here.
"""

from typing import Any

import numpy as np

from unifmir.atomic import temporary_folder
from unifmir.errors import UntrustedError
from unifmir.export.formats.bioimageio import tensors
from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    NotRunError,
    Partner,
    PartnerReport,
)
from unifmir.export.formats.bioimageio.rdf import FILES
from unifmir.export.formats.bioimageio.score import declared_percents
from unifmir.export.runtimes import RUNTIMES
from unifmir.machine import default_threads, versions

NAME = "deepimagej"
ABSOLUTE, RELATIVE = 1.5e-4, 1e-4
"""Every pixel must lie within ABSOLUTE + RELATIVE * |expected|, without exceptions."""
_RUNTIMES = {"torchscript": "torchscript", "onnx": "onnxruntime"}
"""Weight formats that it runs without Python -> the runtime that opens them here."""
TORCH = "2.0.0"
"""Newest libtorch of JDLL."""


def compared(given: CheckedPackage) -> PartnerReport:
    """Run the test input through each file that deepImageJ reads, and compare every pixel."""
    image, expected = test_pair(given)
    prepared = as_jdll(image, given.contents.rdf)
    told, failed, left_out = [], [], []
    entries: dict[str, Any] = given.contents.rdf.get("weights") or {}
    for name, runtime in _RUNTIMES.items():
        source = str((entries.get(name) or {}).get("source"))
        if source not in given.contents.files:
            continue
        given.say(f"{NAME}: {source}")
        with temporary_folder() as folder:
            file = folder / FILES[name]
            file.write_bytes(given.contents.files[source])
            try:
                session = RUNTIMES[runtime].open(file, device="cpu", threads=default_threads())
            except UntrustedError:
                left_out.append(f"{name} was not run: its file was not written here")
                continue
            found = session.run(prepared)
        worst = share_of_allowed(found, expected)
        told.append(f"{name}: largest difference is {worst:.2g} of what is allowed")
        failed += [name] if not worst <= 1 else []
    if left_out and not told:
        raise NotRunError("; ".join(left_out))
    if not told:
        return PartnerReport(NAME, "failed", "neither torchscript nor onnx is in the package")
    ran = versions("torch", "onnxruntime", "numpy")
    torch = f"torch {ran.get('torch')} in place of {TORCH}"
    instead = (torch, *left_out, "Fiji itself was not run")
    return PartnerReport(NAME, "failed" if failed else "passed", "; ".join(told), ran, instead)


def test_pair(given: CheckedPackage) -> tuple[tensors.Batch, tensors.Batch]:
    """Test input and output of a package; NotRunError where they are not of one channel."""
    pair = [
        tensors.test_tensor(given.contents.rdf, given.contents.files, kind)
        for kind in ("inputs", "outputs")
    ]
    image, expected = pair
    if image is None or expected is None:
        raise NotRunError("the test tensors are not one float32 image of one channel each")
    return image, expected


def as_jdll(image: tensors.Batch, rdf: dict[str, Any]) -> tensors.Batch:
    """Raw intensities after the declared steps as JDLL takes them: percentiles by nearest rank."""
    for step in rdf["inputs"][0].get("preprocessing") or []:
        if step["id"] == "scale_range":
            low, high = (tensors.nearest_rank(image, one) for one in declared_percents(step))
            span = high - low + tensors.EPSILON
            image = ((image.astype(np.float64) - low) / span).astype(np.float32)
        elif step["id"] != "ensure_dtype":  # which it skips
            raise NotRunError(f"{step['id']} as JDLL computes it is not known here")
    return image


def share_of_allowed(found: tensors.Batch, expected: tensors.Batch) -> float:
    """Largest difference of two pictures as a share of what is allowed; infinite if unlike."""
    if found.shape != expected.shape:
        return np.inf
    wide = expected.astype(np.float64)
    share = np.abs(found - wide) / (ABSOLUTE + RELATIVE * np.abs(wide))
    return float(share.max()) if np.isfinite(share).all() else np.inf


DEEPIMAGEJ = Partner(NAME, "deepImageJ's comparison", compared, decides="deepimagej")
