"""A file that misses the bar of fp32 by the fp32 module's own rounding is the same picture."""

from pathlib import Path

import pytest

from tests.compat.packages import network
from tests.helpers.rounding import Rounds
from unifmir.checkpoint.saving import save
from unifmir.export import case_comparison, expected_outputs, verification
from unifmir.export.base import ExportJob
from unifmir.export.cases import traced_example
from unifmir.export.credit import Credit
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats.onnx import ONNX
from unifmir.export.lineage import lineage_of
from unifmir.export.verification import check
from unifmir.export.verification_report import Report
from unifmir.hashing import sha256_of
from unifmir.model import image_interface, in_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.samples import sample

SEED = 1


def report_of(tmp_path: Path) -> Report:
    """What is said of a file that was written as any other."""
    model = network("sr")
    parent = save(model, tmp_path / "parent.safetensors")
    lineage = lineage_of(model.config, "image", Precision("fp32"), parent)
    job = ExportJob(
        *(model, image_interface(model), traced_example(model.config, "image"), lineage),
        *(PrecisionRecipe("fp32"), 17, Credit()),
    )
    path = tmp_path / "model.onnx"
    ONNX.write(job, path)
    expected = ExpectedOutputs(model, sample("sr").image, seed=SEED)
    return check(ONNX, path, expected, lineage, sha256=sha256_of(path))


def parent_rounds(monkeypatch: pytest.MonkeyPatch, part: float) -> None:
    """Have the module that files are held against round in fp32."""
    for module in (expected_outputs, verification):
        monkeypatch.setattr(
            module, "in_interface", lambda *given: Rounds(in_interface(*given), part)
        )


def test_what_the_fp32_module_rounds_is_no_fault_of_the_file(tmp_path, monkeypatch):
    parent_rounds(monkeypatch, part=0.0)
    report = report_of(tmp_path)
    assert report.passed, report.failures
    assert {one.reference for one in report.results} == {"fp64"}
    # The same bar, and the figure beside fp64.
    assert 0 < report.worst.max_abs_over_std < 5e-5
    assert {case["reference"] for case in report.to_dict()["cases"]} == {"fp64"}


def test_a_file_that_is_off_in_fp64_too_is_another_picture(tmp_path, monkeypatch):
    parent_rounds(monkeypatch, part=1e-2)
    report = report_of(tmp_path)
    assert not report.passed
    assert {one.reference for one in report.results} == {"fp32"}
    assert all("allowed 0.0001" in failure for failure in report.failures)


def test_nothing_is_computed_in_fp64_where_fp32_tells(tmp_path, monkeypatch):
    def unexpected(*_):
        raise AssertionError("fp64 was asked for")

    monkeypatch.setattr(case_comparison, "exact_output", unexpected)
    report = report_of(tmp_path)
    assert report.passed
    assert {one.reference for one in report.results} == {"fp32"}
