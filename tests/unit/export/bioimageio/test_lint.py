"""Each rule of the lint: a good package breaks none, and a spoilt one breaks that rule."""

import copy
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.compat.canned import PASSED
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio import tensors
from unifmir.export.formats.bioimageio.lint import CHECKS, Package, lint, read_package
from unifmir.export.formats.bioimageio.score import (
    ExpectedScore,
    biapy_refusals,
    deepimagej_refusals,
    expected_score,
)

Rdf = dict[str, Any]

pytestmark = pytest.mark.xdist_group("small package")  # made once


@pytest.fixture
def good(small_package: Path) -> Path:
    return small_package


@pytest.fixture
def package(good: Path) -> Package:
    read = read_package(good)
    rdf = {**copy.deepcopy(read.rdf), "maintainers": [{"github_user": "somebody"}]}
    return Package(rdf, dict(read.files))


def broken(package: Package) -> set[str]:
    return {where for check in CHECKS for severity, where, _ in check(package)}


def test_a_good_package_breaks_no_rule(good: Path):
    assert [finding.where for finding in lint(good)] == ["maintainers"]


def test_a_package_that_names_nobody_and_no_licence_is_valid_and_says_what_to_give(
    package: Package,
):
    for field in ("authors", "license", "packaged_by", "maintainers"):
        package.rdf.pop(field)
    found = {
        where: (severity, told) for check in CHECKS for severity, where, told in check(package)
    }
    assert {where: severity for where, (severity, _) in found.items()} == {
        "authors": "warning",
        "license": "warning",
        "packaged_by": "warning",
        "maintainers": "warning",
    }
    assert all("--" in told for _, told in found.values())


def test_a_complete_package_breaks_no_rule(package: Package):
    assert broken(package) == set()


def axis(rdf: Rdf, tensor: str, name: str) -> Rdf:
    found: Rdf = next(a for a in rdf[tensor][0]["axes"] if a.get("id") == name)
    return found


SPOILT: dict[str, tuple[Callable[[Rdf], Any], str]] = {
    "name with a dot": (lambda r: r.update(name="UniFMIR x2.0"), "name"),
    "short description": (lambda r: r.update(description="short"), "description"),
    "an id": (lambda r: r.update(id="happy-ant"), "id"),
    "no licence": (lambda r: r.pop("license"), "license"),
    "a file as licence": (lambda r: r.update(license={"source": "LICENSE"}), "license"),
    "no doi": (lambda r: r.update(cite=[{"text": "t", "url": "https://example.org"}]), "cite"),
    "doi as address": (lambda r: r["cite"][0].update(doi="https://doi.org/10.1038/x"), "cite"),
    "no author": (lambda r: r.update(authors=[]), "authors"),
    "slash in a name": (lambda r: r["authors"][0].update(name="A/B"), "authors"),
    "no maintainer": (lambda r: r.pop("maintainers"), "maintainers"),
    "no packager": (lambda r: r.pop("packaged_by"), "packaged_by"),
    "no repository": (lambda r: r.pop("git_repo"), "git_repo"),
    "no task tag": (lambda r: r.update(tags=["2d", "fluorescence-light-microscopy"]), "tags"),
    "newer format": (lambda r: r.update(format_version="0.5.12"), "format_version"),
    "documentation as object": (
        lambda r: r.update(documentation={"source": "README.md"}),
        "documentation",
    ),
    "cover as object": (lambda r: r.update(covers=[{"source": "cover.png"}]), "covers"),
    "two inputs": (lambda r: r["inputs"].append(r["inputs"][0]), "inputs"),
    "min no multiple": (
        lambda r: axis(r, "inputs", "y")["size"].update(min=33, step=8),
        "inputs.y",
    ),
    "offset": (lambda r: axis(r, "outputs", "y")["size"].update(offset=1), "outputs.y"),
    "wrong scales": (lambda r: axis(r, "inputs", "x").update(scale=1.0), "outputs.x"),
    "odd halo": (lambda r: axis(r, "outputs", "x").update(halo=3), "outputs.x"),
    "all halo": (lambda r: axis(r, "outputs", "x").update(halo=64), "outputs.x"),
    "statistics without axes": (
        lambda r: r["inputs"][0]["preprocessing"][0]["kwargs"].pop("axes"),
        "preprocessing",
    ),
    "statistics over the batch": (
        lambda r: r["inputs"][0]["preprocessing"][0]["kwargs"]["axes"].append("batch"),
        "preprocessing",
    ),
    "denormalisation that fails": (
        lambda r: r["outputs"][0].update(postprocessing=[{"id": "scale_mean_variance"}]),
        "postprocessing",
    ),
    "two roots": (lambda r: r["weights"]["onnx"].pop("parent"), "weights"),
    "no kwargs": (
        lambda r: r["weights"]["pytorch_state_dict"]["architecture"].pop("kwargs"),
        "weights.pytorch_state_dict",
    ),
    "a format missing": (lambda r: r["weights"].pop("torchscript"), "weights.torchscript"),
    "field of a later format": (
        lambda r: r["weights"]["pytorch_state_dict"].update(strict=True),
        "weights.pytorch_state_dict.strict",
    ),
    "wrong opset": (lambda r: r["weights"]["onnx"].update(opset_version=18), "weights.onnx"),
    "wrong hash": (lambda r: r["weights"]["onnx"].update(sha256="0" * 64), "weights.onnx"),
    "no hash": (lambda r: r["weights"]["onnx"].pop("sha256"), "weights.onnx"),
    "missing file": (lambda r: r["weights"]["onnx"].update(source="no.onnx"), "no.onnx"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_description_breaks_its_rule(name: str, package: Package):
    spoil, where = SPOILT[name]
    spoil(package.rdf)
    assert where in broken(package)


def replaced(package: Package, name: str, data: bytes) -> Package:
    """The package with another file, and with the hash that goes with it."""
    old = hashlib.sha256(package.files[name]).hexdigest()
    assert isinstance(package.files, dict)
    package.files[name] = data

    def visit(node: Any) -> None:
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, dict | list):
                visit(value)
        if isinstance(node, dict) and node.get("sha256") == old:
            node["sha256"] = hashlib.sha256(data).hexdigest()

    visit(package.rdf)
    return package


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cover.png", png(300, 200)),
        ("cover.png", png(20, 10) + bytes(500_000)),
        ("cover.png", b"no image"),
        ("README.md", b"# Model\n\n## Description\n"),
        ("weights.pt", saved([1, 2])),
        ("weights.pt", b"no archive"),
        ("weights.onnx", b"\xff\xff\xff"),
        ("weights.torchscript.pt", b"no archive"),
        ("architecture.py", b"import timm\n"),
        ("test_input.npy", npy(np.ones((1, 1, 32, 32)))),
        ("test_output.npy", npy(np.zeros((1, 1, 64, 64), np.float32))),
    ],
)
def test_a_spoilt_file_breaks_its_rule(name: str, data: bytes, package: Package):
    assert name in broken(replaced(package, name, data))


def test_a_sample_that_is_not_the_test_tensor_is_found(package: Package):
    changed = npy(np.load(io.BytesIO(package.files["test_input.npy"])) + 1)
    assert "sample_input.tif" in broken(replaced(package, "test_input.npy", changed))


def test_scripted_torchscript_with_control_flow_is_found(package: Package):
    class Branch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:
                return x
            return -x

    file = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(Branch()), file)
    name = "weights.torchscript.pt"
    assert name in broken(replaced(package, name, file.getvalue()))


def test_a_file_nobody_refers_to_is_found(package: Package):
    assert isinstance(package.files, dict)
    package.files["notes.txt"] = b""
    assert "notes.txt" in broken(package)


def test_a_file_that_is_no_package_is_refused_with_what_was_expected(tmp_path: Path):
    path = tmp_path / "no.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(ExportError, match="expected a zip with a readable rdf"):
        lint(path)


def scored(package: Package, **ran: tuple[str, ...]) -> ExpectedScore:
    tested = tensors.test_tensor(package.rdf, package.files, "inputs")
    return expected_score(package.rdf, PASSED, tested, ran)


def test_the_score_is_the_formula_of_the_zoo(package: Package):
    score = scored(package)
    assert score.total == pytest.approx(0.25 * (1 + 0.9 + 1 + 2 / 3), abs=1e-4)
    assert score.with_deepimagej == pytest.approx(0.25 * (1 + 0.9 + 1 + 2.9 / 3), abs=1e-4)


def test_the_score_tells_what_was_run_from_what_is_expected(package: Package):
    expected = scored(package)
    assert set(expected.expected) == {"ilastik", "biapy", "deepimagej"}
    ran = scored(package, biapy=("biapy: no",), deepimagej=())
    assert ran.expected == ("ilastik",)
    assert {"core", "biapy", "deepimagej"} <= set(ran.run)
    assert ran.reasons == ("biapy: no",)
    assert ran.total == pytest.approx(0.25 * (1 + 0.9 + 1 + 1.9 / 3), abs=1e-4)


def test_deepimagej_is_expected_to_refuse_what_its_percentiles_scale_otherwise(package: Package):
    (step,) = package.rdf["inputs"][0]["preprocessing"]
    step["kwargs"].update(min_percentile=2.0, max_percentile=99.8)
    levels = np.arange(32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
    (reason,) = deepimagej_refusals(package.rdf, levels)
    assert "nearest rank" in reason
    assert deepimagej_refusals(package.rdf, np.round(levels / 100)) == []


BIAPY: dict[str, Callable[[Rdf], Any]] = {
    "no state dict": lambda r: r["weights"].pop("pytorch_state_dict"),
    "no kwargs": lambda r: r["weights"]["pytorch_state_dict"]["architecture"].pop("kwargs"),
    "no tag": lambda r: r.update(tags=["2d"]),
    "segmentation tag": lambda r: r["tags"].append("instance-segmentation"),
    "two operations": lambda r: r["inputs"][0]["preprocessing"].append({"id": "clip"}),
    "unknown operation": lambda r: r["inputs"][0].update(preprocessing=[{"id": "binarize"}]),
    "other axes": lambda r: r["inputs"][0]["axes"].pop(),
}


@pytest.mark.parametrize("reason", BIAPY)
def test_what_biapy_refuses_costs_a_third_of_a_quarter(reason: str, package: Package):
    assert biapy_refusals(package.rdf) == []
    before = scored(package)
    BIAPY[reason](package.rdf)
    assert biapy_refusals(package.rdf)
    assert scored(package).total == pytest.approx(before.total - 1 / 12, abs=1e-3)
