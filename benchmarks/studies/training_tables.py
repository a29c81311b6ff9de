"""Tables of docs/training.md and docs/embedded-model.md, of the studies' result files."""

from typing import Any

import unifmir
from unifmir.benchmarks.studies.equal_training import RESULT as EQUAL_TRAINING
from unifmir.benchmarks.studies.equal_training import equal_training_table
from unifmir.benchmarks.studies.noisy_alone import RESULT as NOISY_ALONE
from unifmir.benchmarks.studies.noisy_alone import noisy_alone_table
from unifmir.benchmarks.studies.pretraining_gain import RESULT as PRETRAINING_GAIN
from unifmir.benchmarks.studies.pretraining_gain import pretraining_gain_table
from unifmir.benchmarks.studies.repeated_frames import RESULT as REPEATED_FRAMES
from unifmir.benchmarks.studies.repeated_frames import repeated_frames_table
from unifmir.benchmarks.studies.result_files import RESULTS
from unifmir.benchmarks.studies.shift_check import RESULT as SHIFT_CHECK
from unifmir.benchmarks.studies.shift_check import shift_check_table
from unifmir.benchmarks.studies.training_speed import RESULT as TRAINING_SPEED
from unifmir.benchmarks.studies.training_speed import training_table
from unifmir.checkpoint.pruning import prune
from unifmir.tasks import multitask_parts
from unifmir.zoo import EMBEDDED


def parameters_text(_document: dict[str, Any]) -> str:
    """Sentence on the parameters of the embedded model, counted in the networks of its tasks."""
    whole = unifmir.load(EMBEDDED)
    counts = {
        task: sum(weight.numel() for weight in prune(whole, task).parameters())
        for task in multitask_parts()
    }
    each = ", ".join(f"`{task}` {count / 1e6:.2f}" for task, count in counts.items())
    return f"Parameters, in millions: {each}; {sum(counts.values()) / 1e6:.2f} in all."


EMBEDDED_TABLES = {
    "embedded-parameters": (RESULTS / "macs.json", parameters_text),
    "equal-training": (RESULTS / EQUAL_TRAINING, equal_training_table),
    "pretraining-gain": (RESULTS / PRETRAINING_GAIN, pretraining_gain_table),
}
"""Name of a table in docs/embedded-model.md -> its result file, and what is made of it."""

TRAINING_TABLES = {
    "training-speed": (RESULTS / TRAINING_SPEED, training_table),
    "shift-check": (RESULTS / SHIFT_CHECK, shift_check_table),
    "noisy-alone": (RESULTS / NOISY_ALONE, noisy_alone_table),
    "repeated-frames": (RESULTS / REPEATED_FRAMES, repeated_frames_table),
}
"""Name of a table in docs/training.md -> its result file, and what is made of it."""
