"""Which runtimes and precisions are measured where nobody names any."""

from pathlib import Path

import pytest

from unifmir.benchmarks.plan import benchmark_plan
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import PreparedModel, groups_of
from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.model import Provenance

Way = tuple[str, str, str]
"""Model, runtime and precision of a subject."""


def prepared(name: str, config: SingleConfig) -> PreparedModel:
    """A model without a file: nothing is opened."""
    return PreparedModel(name, "sr", config, Provenance(name, "0" * 64, 1), Path(name), True)


@pytest.fixture
def models(tiny_single) -> list[PreparedModel]:
    return [
        prepared("mine.safetensors", tiny_single("sr").config),
        prepared("care-2d", ReferenceConfig("care-2d", "sr")),
    ]


def ways(plan: BenchmarkPlan, models: list[PreparedModel]) -> tuple[list[Way], list[str]]:
    (group,), left_out = groups_of(plan.settled(), models, [])
    subjects = [one.subject for one in group.candidates]
    assert group.baseline == subjects[0].key
    return [(one.model, one.runtime, one.precision) for one in subjects], left_out


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Runtimes that are here, which a test may change."""
    found = {"eager", "native", "native-bf16", "onnxruntime", "openvino"}
    monkeypatch.setattr(benchmark_plan, "runs_here", found.__contains__)
    return found


def quick(**changes: object) -> BenchmarkPlan:
    return BenchmarkPlan(models=("mine.safetensors", "care-2d"), quick=True, **changes)  # type: ignore[arg-type]  # fields of it


def test_what_restores_for_users_is_measured_of_their_model(models):
    found, left_out = ways(quick(), models)
    assert found == [
        ("mine.safetensors", "eager", "fp32"),
        ("mine.safetensors", "native", "fp32"),
        ("mine.safetensors", "native-bf16", "bf16-compute"),
        ("mine.safetensors", "onnxruntime", "fp32"),
        ("care-2d", "onnxruntime", "fp32"),
    ]
    assert left_out == []


def test_what_is_not_here_is_not_planned_unless_it_is_named(models, here):
    here -= {"native", "native-bf16", "onnxruntime"}
    found, left_out = ways(quick(), models)
    assert found == [("mine.safetensors", "eager", "fp32"), ("care-2d", "eager", "fp32")]
    assert left_out == [
        "native is not here (`unifmir doctor`)",
        "native-bf16 is not here (`unifmir doctor`)",
        "onnxruntime is not here (`unifmir doctor`)",
    ]
    found, left_out = ways(quick(runtimes=("eager", "native-bf16")), models[:1])
    assert found[1] == ("mine.safetensors", "native-bf16", "bf16-compute")
    assert left_out == []


def test_a_reference_network_of_the_caller_is_not_planned_in_kernels_for_swin_blocks(models):
    own = [prepared("care-2d-sr", models[1].config)]
    found, left_out = ways(quick(), own)
    assert [runtime for _, runtime, _ in found] == ["eager", "native", "onnxruntime"]
    assert left_out == ["native-bf16 has nothing to compute in care-2d-sr"]
    named, _ = ways(quick(runtimes=("eager", "native-bf16")), own)
    assert [runtime for _, runtime, _ in named] == ["eager", "native-bf16"]


def test_without_quick_reference_models_have_their_plain_network_too(models):
    plan = BenchmarkPlan(models=("mine.safetensors", "care-2d"), workloads=("patch",))
    found, _ = ways(plan, models)
    assert [runtime for model, runtime, _ in found if model == "care-2d"] == [
        "eager",
        "onnxruntime",
    ]


def test_a_named_precision_is_that_of_every_row(models):
    found, left_out = ways(quick(precisions=("fp32",)), models)
    assert {precision for *_, precision in found} == {"fp32"}
    assert left_out == ["native-bf16 has no fp32 on cpu"]
