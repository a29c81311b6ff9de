"""Quality beside cost: held-out images through the very process that was timed."""

import json
from pathlib import Path
from typing import Any

from unifmir.atomic import write_text
from unifmir.benchmarks.measure.worker_process import WorkerProcess
from unifmir.benchmarks.plan.groups import Candidate
from unifmir.errors import BenchmarkError, CheckpointError
from unifmir.json_values import json_form, read_values
from unifmir.plain_text_values import read_json

TIMEOUT_S = 7200.0
"""Time limit of all images of one subject."""
SEED = 0
"""Seed of the held-out images, as in `unifmir evaluate`."""
DATASET = "held-out simulated images, seed 0"


class QualityCache:
    """Quality of each model, runtime and precision, measured once and kept for a resumed run."""

    def __init__(self, folder: Path, images: int) -> None:
        self.images = images
        self._file = folder / "quality.json"
        self._known: dict[str, dict[str, float | None]] = {}
        if self._file.exists():
            try:
                self._known = read_values(dict[str, dict[str, float | None]], read_json(self._file))
            except CheckpointError as error:
                raise BenchmarkError(
                    f"{self._file}: {error}; remove it, and the images are restored again"
                ) from error

    def of(self, candidate: Candidate, worker: WorkerProcess) -> dict[str, Any] | None:
        """The quality of a subject; None if it is not wanted, or there is nothing to be judged.

        A reference model without trained weights in the zoo has fresh ones, and no quality.
        """
        if not self.images or candidate.fresh:
            return None
        subject = candidate.subject
        name = f"{subject.task}/{subject.model}/{subject.runtime}/{subject.precision}"
        if name not in self._known:
            self._known[name] = worker.ask(
                "quality",
                timeout_s=TIMEOUT_S,
                config=candidate.config.to_dict(),
                images=self.images,
                seed=SEED,
            )
            write_text(self._file, json.dumps(json_form(self._known)))
        return {**self._known[name], "images": self.images, "dataset": DATASET}
