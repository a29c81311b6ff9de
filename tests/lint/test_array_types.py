"""The check of array annotations fires, also where calls that are alike are checked once."""

import numpy as np
import pytest
from jaxtyping import Float32, TypeCheckError

from tests.helpers.array_types import checked


def first_row(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, " w"]:
    row: np.ndarray = image[0]
    return row


def test_a_wrong_argument_is_refused_after_many_right_ones():
    function = checked(first_row, {})
    for _ in range(3):
        assert function(np.zeros((4, 6), np.float32)).shape == (6,)
    for image in (np.zeros((4, 6)), np.zeros((4, 6, 1), np.float32), np.zeros(4, np.float32)):
        with pytest.raises(TypeCheckError):
            function(image)


def test_a_wrong_result_is_refused_after_right_ones_of_the_same_arguments():
    calls: list[int] = []
    function = checked(spoilt_by(calls), {})
    for _ in range(3):
        assert function(np.zeros((4, 6), np.float32)).shape == (4, 6)
    calls.append(1)
    with pytest.raises(TypeCheckError):
        function(np.zeros((4, 6), np.float32))


def spoilt_by(calls: list[int]):
    def function(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return image[:, 1:] if calls else image

    return function


def test_an_argument_that_passed_does_not_excuse_others():
    function = checked(same_size, {})
    small, large = np.zeros((2, 2), np.float32), np.zeros((3, 3), np.float32)
    for _ in range(2):
        function(small, small)
        function(large, large)
        with pytest.raises(TypeCheckError):
            function(small, large)


def same_size(first: Float32[np.ndarray, "h w"], second: Float32[np.ndarray, "h w"]) -> None:
    assert first.size + second.size
