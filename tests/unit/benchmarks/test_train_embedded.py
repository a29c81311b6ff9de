"""What is told of the embedded model's training, which is one of several parts."""

from unifmir.benchmarks.studies.train_embedded import joined_record
from unifmir.training.training_record import TrainingRecord


def test_the_record_sums_the_parts_and_names_each() -> None:
    start = TrainingRecord(steps=100, hours=1.5, learning_rate_schedule="constant", data="scenes")
    tuned = {"sr": TrainingRecord(steps=20, learning_rate=0.5, hours=0.25, data="sr: 7 images")}
    found = joined_record(start, tuned, {"volume": "ab12"})
    assert (found.steps, found.hours) == (120, 1.75)
    assert found.learning_rate_schedule == (
        "all tasks together: 100 steps, constant; then sr alone: 20 steps at 0.5; each "
        "brought down so from its start"
    )
    assert found.data == (
        "all tasks together: scenes; then alone: sr: 7 images; volume from an earlier file, "
        "sha256 ab12"
    )


def test_the_hours_are_unknown_where_a_part_s_are() -> None:
    start, tuned = TrainingRecord(steps=1, hours=1.0), {"sr": TrainingRecord(steps=1)}
    assert joined_record(start, tuned, {}).hours is None
