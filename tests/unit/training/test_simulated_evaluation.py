"""Scores on held-out simulated images, beside the simple methods of a task."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.quick_rows import few_quick
from tests.helpers.task_rows import change_task
from unifmir.config import MultiTaskConfig
from unifmir.metrics import METRICS
from unifmir.metrics.scores import score
from unifmir.model import build
from unifmir.simulate import generator, simulate_pair
from unifmir.tasks import TASKS
from unifmir.training import evaluation
from unifmir.training.baselines import refocused


class TestEvaluation:
    def test_scale_and_offset_are_granted(self) -> None:
        rng = np.random.default_rng(0)
        truth = rng.random((32, 32)).astype(np.float32)
        noisy = truth + 0.01 * rng.standard_normal((32, 32)).astype(np.float32)
        plain, scaled = score(noisy, truth), score(7 * noisy + 100, truth)
        assert plain["psnr_db"] == pytest.approx(40, abs=1)
        assert scaled["psnr_db"] == pytest.approx(plain["psnr_db"], abs=0.01)

    def test_a_constant_candidate_scores_what_the_mean_does(self) -> None:
        truth = np.random.default_rng(0).random((32, 32)).astype(np.float32)
        found = score(np.zeros_like(truth), truth)
        spread = float(np.ptp(truth))
        assert found["psnr_db"] == pytest.approx(-20 * np.log10(truth.std() / spread), abs=0.01)

    @pytest.mark.parametrize("task", few_quick(["sr", "denoise", "isotropic"], ["sr", "denoise"]))
    def test_the_gain_is_over_the_best_simple_method(
        self, task: str, tiny_config: MultiTaskConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change_task(monkeypatch, task, evaluation=replace(TASKS[task].evaluation, size=24))
        done: list[int] = []
        found = evaluation.evaluate(
            build(tiny_config), task, images=2, on_image=lambda: done.append(1)
        )
        best = max(score["psnr_db"] for score in found.baselines.values())
        assert found.gain_db == pytest.approx(found.model["psnr_db"] - best)
        assert len(done) == found.to_dict()["images"] == 2
        assert any(name.startswith("input") for name in found.baselines)

    def test_a_metric_is_one_file_and_its_row(
        self, tiny_config: MultiTaskConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change_task(monkeypatch, "sr", evaluation=replace(TASKS["sr"].evaluation, size=24))
        with METRICS.extended("mean_error", "tests.toys.metric:MEAN_ERROR"):
            found = evaluation.evaluate(build(tiny_config), "sr", images=1)
            rounded = found.to_dict()["model"]
        assert isinstance(rounded, dict)
        assert [*rounded] == [*METRICS, "mean_error"]
        assert all(rounded.keys() == score.keys() for score in found.baselines.values())

    @pytest.mark.slow
    def test_refocusing_beats_the_central_view(self) -> None:
        scene = simulate_pair("volume", generator("volume", 0, "test", 0), 6)
        found = refocused(scene)
        scores = {k: score(v, scene.target)["psnr_db"] for k, v in found.items()}
        assert scores["refocused"] > scores["central view"]
