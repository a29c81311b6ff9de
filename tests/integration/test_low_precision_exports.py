"""A precision plan is held to what verification then looks at, so its files pass there."""

import json

import pytest

import unifmir
from unifmir.precision.planning import TRIED_SHARE
from unifmir.tasks import TASKS

pytestmark = pytest.mark.slow  # a plan tries part after part


@pytest.mark.timeout(1800)  # PyTorch in fp16 without AVX-512: volume takes more than 7 minutes
@pytest.mark.parametrize(
    "task",
    # The second was once refused by planning, though verification takes it.
    [
        pytest.param(name, marks=() if name in ("sr", "volume") else pytest.mark.long)
        for name in TASKS
    ],
)
def test_the_embedded_model_passes_in_fp16_and_says_what_stays_in_fp32(task, tmp_path):
    model = unifmir.load("unifmir-small-sim")
    made = unifmir.export(model, tmp_path, task=task, formats=["onnx"], precision="fp16")
    assert [artifact.variant for artifact in made] == ["stored", "computing"]
    for artifact in made:
        assert artifact.report.passed
        assert artifact.details["kept_in_fp32"]["norms"] > 0
    stored = json.loads((tmp_path / f"{made[0].path.name}.report.json").read_text("utf-8"))
    fixed = [case for case in stored["cases"] if case["sizing"] == "fixed"]
    tried = stored["precision_plan"]["acceptance"]["stored"][-len(fixed) :]
    for case, trial in zip(fixed, tried, strict=True):
        # Weights in two bytes and fp32 arithmetic: the same numbers to every runtime.
        assert case["psnr_db"] == pytest.approx(trial["psnr_db"], abs=0.1)
        assert abs(trial["slope"] - 1) <= TRIED_SHARE * 1e-3
        assert abs(trial["total_ratio"] - 1) <= TRIED_SHARE * 1e-3
