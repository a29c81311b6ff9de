"""The committed result of `make compat` holds the scores that packages are to have."""

import json
import re

import pytest

from unifmir.benchmarks.studies.result_files import RESULTS
from unifmir.tasks import TASKS

PARTS = ("metadata_format", "metadata_completeness", "core", "partner")
RUN = {"core", "ilastik", "biapy", "deepimagej"}
"""Checks that must have been run for a score that is more than expected."""


def test_every_task_scores_what_it_should_with_the_partners_checks_run():
    rows = json.loads((RESULTS / "partner-checks.json").read_text("utf-8"))["rows"]
    scores: dict[str, list[float]] = {}
    for row in rows:
        (task,) = (one for one in TASKS if re.search(rf"\b{one}\b", row["package"]))
        score = row["score"]
        assert set(score["run"]) >= RUN
        assert score["expected"] == []
        assert score["total"] == pytest.approx(sum(score[part] for part in PARTS) / 4, abs=2e-4)
        scores.setdefault(task, []).append(score["total"])
    assert scores.keys() == set(TASKS)
    assert min(min(found) for found in scores.values()) >= 0.89
    assert sum(min(found) >= 0.92 for found in scores.values()) >= 4
