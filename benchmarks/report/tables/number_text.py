"""Numbers as text, with no more digits than were measured."""

import math

NOTHING = "-"
"""Stands for a missing value."""
MOST_DIGITS = 4
"""Significant digits at most: a narrower interval than that is luck, not knowledge."""


def is_number(value: object) -> bool:
    """Whether a value is a finite number: not None, NaN, infinite, or text."""
    return isinstance(value, int | float) and math.isfinite(value)


def fixed(value: float | None, decimals: int) -> str:
    """A number with that many decimals; negative: rounded to tens, hundreds..."""
    if value is None or not math.isfinite(value):
        return NOTHING
    # Adding 0 turns the -0.0 that rounding leaves into 0.0.
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number rounded to significant digits, without an exponent."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return fixed(value, _decimals(value, digits))


def supported_decimals(value: float, interval: tuple[float, float]) -> int:
    """Decimals that an interval lets a value have.

    Up to the first significant digit of the interval's half width, one more if that is a 1 (else
    rounding may change the half width by half), and never over `MOST_DIGITS` significant digits.
    Without a usable interval, three significant digits.
    """
    half = abs(interval[1] - interval[0]) / 2
    if not math.isfinite(half):
        return _decimals(value, 3)
    most = _decimals(value, MOST_DIGITS)
    if half == 0:
        return most
    place = math.floor(math.log10(half))
    first = half / 10.0**place
    return min(-place + (1 if first < 2 else 0), most)


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """`value [low, high]` as far as it is known, or the value alone where the interval is not."""
    decimals = supported_decimals(value, interval)
    shown = fixed(value, decimals)
    if shown == NOTHING or not all(map(is_number, interval)):
        return shown
    return f"{shown} [{fixed(interval[0], decimals)}, {fixed(interval[1], decimals)}]"


def percent(share: float | None) -> str:
    """A share as a percentage of two significant digits."""
    return NOTHING if share is None else significant(100 * share, 2)


def _decimals(value: float, digits: int) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    return digits - 1 - math.floor(math.log10(abs(value)))
