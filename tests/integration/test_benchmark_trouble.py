"""A benchmark in which a precision, a file and a picture go wrong each: one run, its rows."""

from dataclasses import replace

import pytest

from tests.compat.packages import network
from tests.helpers.short_benchmarks import plan_of, short
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure import output_check
from unifmir.benchmarks.measure.benchmark_run import benchmark
from unifmir.benchmarks.measure.results import Row
from unifmir.checkpoint.saving import save
from unifmir.compare import FP32, LOW_PRECISION
from unifmir.export.formats import FORMATS
from unifmir.precision import planning

pytestmark = pytest.mark.slow  # a benchmark of three runtimes


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[tuple[str, str], Row]:
    """Row by runtime and precision."""
    folder = tmp_path_factory.mktemp("trouble")
    save(network("sr"), folder / "sr.safetensors")

    def broken(job, path):
        raise KeyError("an operator the exporter does not know")

    with pytest.MonkeyPatch.context() as patch:
        short(patch)
        patch.setattr(measure, "_peaks", lambda *_: ())
        strict = replace(LOW_PRECISION, psnr_db=300.0)
        patch.setitem(planning.plan_precision.__kwdefaults__, "tolerance", strict)  # type: ignore[arg-type]  # it has defaults
        patch.setattr(FORMATS["torchscript"], "write", broken)
        patch.setattr(output_check, "FP32", replace(FP32, max_abs_over_std=1e-12))
        plan = plan_of(
            folder / "sr.safetensors",
            runtimes=("eager", "onnxruntime", "torchscript"),
            precisions=("fp32", "fp16"),
        )
        results = benchmark(plan, folder / "results.json")
    return {(row.subject.runtime, row.subject.precision): row for row in results.rows}


def test_a_precision_that_is_not_the_same_picture_is_a_row_with_the_reason(rows):
    for runtime in ("eager", "onnxruntime"):
        assert "is not the same picture as in fp32" in rows[runtime, "fp16"].error
        assert rows[runtime, "fp32"].latency is not None


def test_a_file_that_cannot_be_made_is_a_row_with_the_reason(rows):
    error = rows["torchscript", "fp32"].error
    assert "cannot be written as torchscript (KeyError: 'an operator" in error
    assert rows["eager", "fp32"].latency is not None


def test_another_picture_is_marked_and_not_ranked(rows):
    row = rows["onnxruntime", "fp32"]
    assert row.same_picture is not None
    assert not row.same_picture["passed"]
    assert not row.ranked
    assert any("not the same picture as fp32 eager" in text for text in row.problems)
