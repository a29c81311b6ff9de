"""The queue of jobs: who gives many makes nobody wait longer."""

from hypothesis import given
from hypothesis import strategies as some

from unifmir.zoo.serve.fair_queue import FairQueue


def filled(*jobs: tuple[str, str]) -> FairQueue:
    """A queue of (session, job)."""
    queue = FairQueue()
    for session, job in jobs:
        queue.add(session, job)
    return queue


def taken(queue: FairQueue) -> list[str]:
    """All jobs in the order in which they are taken."""
    return [job for _ in range(len(queue)) if (job := queue.take()) is not None]


def test_sessions_take_turns_each_with_its_oldest():
    queue = filled(("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2"))
    assert taken(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert queue.take() is None


def test_a_session_that_comes_late_waits_for_one_job_of_each():
    queue = filled(*(("a", f"a{n}") for n in range(100)))
    assert queue.take() == "a0"
    queue.add("b", "b0")
    assert queue.place("b0") == 1
    assert [queue.take(), queue.take(), queue.take()] == ["a1", "b0", "a2"]


def test_what_is_taken_out_is_never_taken():
    queue = filled(("a", "a1"), ("b", "b1"), ("a", "a2"))
    assert queue.remove("b1")
    assert not queue.remove("b1")
    assert queue.place("b1") is None
    assert taken(queue) == ["a1", "a2"]


@given(some.lists(some.tuples(some.sampled_from("abcd"), some.integers(0, 99)), unique=True))
def test_the_place_is_the_number_of_jobs_that_are_taken_before(jobs):
    named = [(session, f"{session}{number}") for session, number in jobs]
    places = {job: filled(*named).place(job) for _, job in named}
    assert places == {job: place for place, job in enumerate(taken(filled(*named)))}
