"""Percentiles of a whole image that does not fit in memory, exactly, and the scaling they give.

Numbers are selected digit by digit: their bits are mapped to unsigned integers of the same order,
and each pass over the image counts one 16-bit digit of those that share the digits found so far.
One pass for 8 and 16 bit, two for 32, four for 64, whatever the image holds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.normalize import (
    Scaling,
    check_real,
    not_finite,
    require_float32,
    scaled,
    scaling_between,
)
from unifmir.restoration.resampling import StackView
from unifmir.tasks.base import Normalization

_DIGIT = 16
PIECE_PX = 2**18
"""Pixels that are counted at a time: as the integers that NumPy counts, they are 2 MiB."""
FEW_PIXELS = 50_000
"""One pixel in so many, and at least `LEAST_FEW`, are few."""
LEAST_FEW = 4
"""Pixels that are few however small the image: a hot pixel and those that its readout smears."""
FEW_FACTOR = 1.5
"""Range with the brightest few pixels over that without: from here on they decide it. A beads
image has more than a few of its brightest pixels within a third of the brightest."""

Reread = Callable[[], Iterable[NDArray[Any]]]
"""Gives the blocks of an image, any number of times."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Extremes and percentiles of an image, from which its scaling is computed."""

    minimum: float
    maximum: float
    percentiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MeasuredRange:
    """The scaling of a stack, and what its range would be without the brightest few pixels."""

    scaling: Scaling
    pixels: int = 0
    few: int = 0
    """The brightest pixels that are left out."""
    high_without: float | None = None
    """The intensity that becomes 1 without them; None: not looked at."""

    def note(self) -> str | None:
        """A sentence where the few pixels decide the range; None where they do not."""
        low, span = self.scaling.low, self.scaling.span
        if self.high_without is None or span <= FEW_FACTOR * (self.high_without - low):
            return None
        if self.high_without <= low:
            return None  # all the signal there is lies in these pixels
        percent = 100 * (1 - 2 * self.few / self.pixels)
        return (
            f"the brightest {self.few} of {self.pixels} pixels decide the range that the network "
            f"is given: it ends at {low + span:g}, and without them at {self.high_without:g}. If "
            f"they are hot pixels, remove them, or give percentiles 0 and {percent:.4g} "
            f"(--percentiles 0 {percent:.4g})"
        )


def measure_range(stack: StackView, normalization: Normalization) -> MeasuredRange:
    """The scaling `unifmir.normalize.normalize` finds for the whole stack, read in blocks.

    For `light_field`, `low` is 0 and `span` the stack's maximum (1 for an empty light field).

    Raises
    ------
    ImageError
        As `normalize`.
    """
    check_real(stack.source.dtype)
    if normalization.inside:
        found = statistics(stack.blocks, ())
        require_float32(found.minimum, found.maximum)
        return MeasuredRange(Scaling(0.0, found.maximum if found.maximum > 0 else 1.0))
    pixels = prod(stack.size)
    few = max(LEAST_FEW, pixels // FEW_PIXELS)
    without = 100 * (1 - few / max(1, pixels - 1))
    looked_at = 0 < without < normalization.high_percent
    wanted = (normalization.low_percent, normalization.high_percent)
    found = statistics(stack.blocks, (*wanted, without) if looked_at else wanted)
    low, high = found.percentiles[:2]
    return MeasuredRange(
        scaling_between(low, high, (found.minimum, found.maximum), normalization),
        pixels,
        few,
        found.percentiles[2] if looked_at else None,
    )


def normalize_part(
    scaling: Scaling, image: Shaped[np.ndarray, "*axes"]
) -> Float32[np.ndarray, "*axes"]:
    """Normalise raw intensities of a part of an image, of any real dtype, as `normalize` does."""
    return scaled(image.astype(np.result_type(image.dtype, np.float32)), scaling)


def statistics(reread: Reread, percents: Sequence[float]) -> Statistics:
    """Least, largest and percentiles of an image, equal to `numpy.percentile`.

    Raises
    ------
    ImageError
        The image is empty, or holds NaN or Inf.
    """
    summary = _first_pass(reread)
    count, dtype = summary.count, summary.dtype
    # As numpy computes the place of a percentile between two ranks.
    places = [(count - 1) * (percent / 100) for percent in percents]
    ranks = {r for place in places for r in (int(place), min(int(place) + 1, count - 1))}
    values = _select(reread, summary, sorted(ranks))
    floating = np.result_type(dtype, np.float32)
    found = []
    for place in places:
        below = int(place)
        low = values[below].astype(floating)
        high = values[min(below + 1, count - 1)].astype(floating)
        found.append(_between(low, high, place - below))
    return Statistics(float(summary.minimum), float(summary.maximum), tuple(found))


def _between(low: Any, high: Any, part: float) -> float:
    """The interpolation of two ranks as numpy does it, which is exact at both ends."""
    difference = high - low
    if part >= 0.5:
        return float(np.float64(high) - np.float64(difference) * (1 - part))
    return float(np.float64(low) + np.float64(difference) * part)


@dataclass(frozen=True, slots=True)
class _Summary:
    count: int
    dtype: np.dtype[Any]
    minimum: Any
    maximum: Any
    digits: NDArray[np.int64]
    """How often each first digit occurs."""


def _first_pass(reread: Reread) -> _Summary:
    count = nan = infinite = 0
    digits: NDArray[np.int64] | None = None
    minimum = maximum = dtype = None
    for block in reread():
        dtype = block.dtype
        count += block.size
        if dtype.kind == "f":
            finite = int(np.count_nonzero(np.isfinite(block)))
            missing = int(np.count_nonzero(np.isnan(block))) if finite < block.size else 0
            nan, infinite = nan + missing, infinite + block.size - finite - missing
        keys = _keys(block)
        if digits is None:
            digits = np.zeros(2 ** min(_DIGIT, keys.itemsize * 8), np.int64)
        _count(_digit(keys, 0), digits)
        low, high = block.min(), block.max()
        minimum = low if minimum is None else min(minimum, low)
        maximum = high if maximum is None else max(maximum, high)
    if dtype is None or digits is None or not count:
        raise ImageError("the image is empty")
    if nan or infinite:
        raise not_finite(nan, infinite, count)
    return _Summary(count, dtype, minimum, maximum, digits)


def _select(reread: Reread, summary: _Summary, ranks: Sequence[int]) -> dict[int, Any]:
    """The values at ranks, 0 the least."""
    bits = _unsigned(summary.dtype).itemsize * 8
    state = {rank: _digit_at(summary.digits, rank) for rank in ranks}
    prefixes = {rank: digit for rank, (digit, _) in state.items()}
    rests = {rank: rest for rank, (_, rest) in state.items()}
    for number in range(1, -(-bits // _DIGIT)):
        counts = _count_digits(reread, number, sorted(set(prefixes.values())))
        for rank in ranks:
            digit, rests[rank] = _digit_at(counts[prefixes[rank]], rests[rank])
            prefixes[rank] = (prefixes[rank] << _DIGIT) | digit
    return {rank: _value(key, summary.dtype) for rank, key in prefixes.items()}


def _count_digits(
    reread: Reread, number: int, prefixes: Sequence[int]
) -> dict[int, NDArray[np.int64]]:
    """How often each digit occurs after each of the prefixes."""
    counts = {prefix: np.zeros(2**_DIGIT, dtype=np.int64) for prefix in prefixes}
    for block in reread():
        keys = _keys(block)
        start = keys >> keys.dtype.type(keys.itemsize * 8 - _DIGIT * number)
        for prefix in prefixes:
            _count(_digit(keys[start == prefix], number), counts[prefix])
    return counts


def _count(digits: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Add how often each digit occurs; in pieces that stay in the cache, twice as fast."""
    for first in range(0, digits.size, PIECE_PX):
        counts += np.bincount(digits[first : first + PIECE_PX], minlength=len(counts))


def _digit_at(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The digit of the value at a rank, and its rank among those with that digit."""
    totals = counts.cumsum()
    digit = int(np.searchsorted(totals, rank, side="right"))
    return digit, rank - (int(totals[digit - 1]) if digit else 0)


def _digit(keys: NDArray[Any], number: int) -> NDArray[Any]:
    if keys.itemsize * 8 <= _DIGIT:
        return keys
    shift = keys.itemsize * 8 - _DIGIT * (number + 1)
    digits: NDArray[Any] = (keys >> keys.dtype.type(shift)) & keys.dtype.type(2**_DIGIT - 1)
    return digits.astype(np.intp)  # np.bincount of NumPy 1 takes no uint64, and others become this


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{min(8, dtype.itemsize)}")


def _keys(block: NDArray[Any]) -> NDArray[Any]:
    """Unsigned integers in the order of the block's values, flat."""
    if block.dtype.itemsize > np.dtype(np.float64).itemsize:
        block = block.astype(np.float64)
    block = np.ascontiguousarray(block.ravel(), dtype=block.dtype.newbyteorder("="))
    unsigned = _unsigned(block.dtype)
    bits = block.view(unsigned)
    if block.dtype.kind in "bu":
        return bits
    sign = unsigned.type(2 ** (unsigned.itemsize * 8 - 1))
    if block.dtype.kind == "i":
        flipped: NDArray[Any] = np.bitwise_xor(bits, sign)
        return flipped
    ordered: NDArray[Any] = np.where(bits & sign, ~bits, bits | sign)
    return ordered


def _value(key: int, dtype: np.dtype[Any]) -> Any:
    """The inverse of `_keys` for one value."""
    unsigned = _unsigned(dtype)
    sign = 2 ** (unsigned.itemsize * 8 - 1)
    everything = 2 ** (unsigned.itemsize * 8) - 1
    if dtype.kind == "i":
        key ^= sign
    elif dtype.kind == "f":
        key = key ^ sign if key & sign else key ^ everything
    bits = np.array([key], dtype=unsigned)
    return bits.view(f"{dtype.kind}{unsigned.itemsize}")[0]
