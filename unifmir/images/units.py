"""Lengths and times of files in micrometres and seconds."""

import re
from typing import Any

import numpy as np

_MICROMETRES = {
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometre", "um", "µm", "μm"), 1.0),
    **dict.fromkeys(("angstrom", "å", "ångström"), 1e-4),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("inch", "in"), 25400.0),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_NO_UNIT = ("", "none", "pixel", "pixels", "plane", "planes", "frame", "frames")

_ESCAPED = re.compile(r"\\+u([0-9a-f]{4})")
"""A sign as ImageJ and Java's property files escape it."""
_BROKEN_MICRO = re.compile(r"[^0-9a-z\s/^*.-]+([ms])")
"""A prefix that is no letter: the micro sign in whatever encoding it was misread (of Latin-1 as
UTF-8 or the other way, once or twice, or replaced by a question mark). No other prefix of a metre
or second is outside ASCII."""


def micrometres(value: Any, unit: object) -> float | None:
    """A length in micrometres; None where it, or its unit, says nothing."""
    return _converted(value, _MICROMETRES.get(_repaired(unit)))


def seconds(value: Any, unit: object) -> float | None:
    """A time in seconds; None where it, or its unit, says nothing."""
    return _converted(value, _SECONDS.get(_repaired(unit)))


def without_unit(value: Any, unit: object) -> float | None:
    """A distance whose unit the file leaves out; None where it says one, or the number nothing."""
    return _converted(value, 1.0 if _repaired(unit or "") in _NO_UNIT else None)


def _repaired(unit: object) -> str:
    """A unit in lower case, its micro sign as `u` where its encoding was broken."""
    text = str(unit).strip().lower()
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    broken = None if text in _MICROMETRES else _BROKEN_MICRO.fullmatch(text)
    return f"u{broken[1]}" if broken else text


def _converted(value: Any, factor: float | None) -> float | None:
    if factor is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A damaged file may hold an integer beyond float, or one that leaves it when converted.
    try:
        converted = float(value) * factor
    except OverflowError:
        return None
    return converted if np.isfinite(converted) and converted > 0 else None
