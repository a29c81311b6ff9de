"""A sixth task and a new reference model are benchmarked as the others are."""

from collections.abc import Iterator

import pytest

from tests.toys.task import TOY_TASK
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import groups_of
from unifmir.benchmarks.plan.workloads import image_of, image_sizes, input_shape
from unifmir.config import ReferenceConfig
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

TASK, MODEL = "toy-task", "toy-model"


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    target = "tests.toys.reference:TOY_MODEL"
    with TASKS.extended(TASK, "tests.toys.task:TOY_TASK"), REFERENCES.extended(MODEL, target):
        yield


def test_workloads_of_a_new_task_are_those_of_its_row():
    (patch,) = TOY_TASK.workloads.patch
    assert list(image_sizes("patch", TASK)) == [("patch", patch)]
    shape = input_shape(ReferenceConfig(MODEL, TASK), patch)
    assert shape == (1, 1, 24, 24)
    assert image_of(TASK, shape).shape == shape


def test_a_new_reference_model_is_prepared_and_planned_for_its_task(tmp_path):
    plan = BenchmarkPlan(models=(MODEL,), runtimes=("eager", "onnxruntime"), workloads=("patch",))
    prepared = PreparedFiles(tmp_path)
    models = prepared.models(MODEL, ())
    (group,), left_out = groups_of(plan, models, [])
    assert left_out == []
    assert (group.task, group.workload, group.image_shape) == (TASK, "patch", (24, 24))
    assert [c.subject.runtime for c in group.candidates] == ["eager", "onnxruntime"]
    assert prepared.spec(models[0], "onnxruntime", "fp32").path.suffix == ".onnx"
