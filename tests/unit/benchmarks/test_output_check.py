"""Which picture an output is held against, and what is said where it misses the bar of fp32."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unifmir.benchmarks.measure.output_check import OutputCheck, OutputChecker

EXACT = np.random.default_rng(0).random((1, 1, 32, 32))
"""What the network makes of the image in fp64."""
STD = float(EXACT.std())


def candidate(fresh: bool) -> Any:
    """A subject in fp32 of a model that is at hand."""
    subject = SimpleNamespace(key="own", task="sr", precision="fp32")
    return SimpleNamespace(subject=subject, model=object(), file=None, fresh=fresh)


def off(share: float, pixel: int) -> np.ndarray:
    """The exact picture in fp32, one pixel of which is off by a share of its deviation."""
    image = EXACT.copy()
    image.flat[pixel] += share * STD
    return image.astype(np.float32)


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """What is found of an output, given fp32 eager's."""

    def check(eager: np.ndarray, own: np.ndarray, *, fresh: bool = False) -> OutputCheck:
        checker = OutputChecker(tmp_path, 1)
        for name, image in (("eager", eager), ("own", own), ("exact", EXACT)):
            np.save(tmp_path / f"{name}.npy", image)
        monkeypatch.setattr(checker, "_expected_output", lambda *_: tmp_path / "eager.npy")
        monkeypatch.setattr(checker, "_exact_output", lambda *_: tmp_path / "exact.npy")
        checker._outputs["own"] = tmp_path / "own.npy"
        found = checker.check(candidate(fresh))
        assert found is not None
        return found

    return check


@pytest.mark.parametrize(
    ("eager", "own", "passed", "by_a_hair", "reference"),
    [
        (off(2e-5, 0), off(2e-5, 9), True, False, "fp32"),
        # Eager is off, not the file.
        (off(2e-4, 0), off(2e-5, 9), True, False, "fp64"),
        # Both are off, the file by less.
        (off(3e-4, 0), off(2e-4, 9), True, False, "fp64"),
        # The file is off.
        (off(2e-5, 0), off(3e-4, 9), False, False, "fp32"),
        # Another picture: fp64 is not asked.
        (off(2e-4, 0), off(0.5, 9), False, False, "fp32"),
    ],
)
def test_fp64_tells_whose_fault_a_difference_is(checked, eager, own, passed, by_a_hair, reference):
    found = checked(eager, own)
    assert (found.figures["passed"], found.by_a_hair) == (passed, by_a_hair)
    assert found.figures["reference"] == reference
    assert bool(found.problems) is not passed


def test_fresh_weights_miss_by_a_hair_whoever_is_off(checked):
    assert checked(off(2e-5, 0), off(3e-4, 9), fresh=True).by_a_hair
    assert not checked(off(2e-5, 0), off(0.5, 9), fresh=True).by_a_hair


def test_the_figure_is_that_beside_the_picture_it_was_held_against(checked):
    found = checked(off(2e-4, 0), off(2e-5, 9))
    assert found.figures["max_abs_over_std"] == pytest.approx(2e-5, rel=0.02)
