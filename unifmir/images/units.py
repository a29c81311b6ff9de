"""Lengths and times of files in micrometres and seconds."""

from typing import Any

import numpy as np

_MICROMETRES = {
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometre", "um", "µm", "μm"), 1.0),
    "\\u00b5m": 1.0,  # as ImageJ escapes it
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


def micrometres(value: Any, unit: object) -> float | None:
    """A length in micrometres; None where it, or its unit, says nothing."""
    return _converted(value, _MICROMETRES.get(str(unit).strip().lower()))


def seconds(value: Any, unit: object) -> float | None:
    """A time in seconds; None where it, or its unit, says nothing."""
    return _converted(value, _SECONDS.get(str(unit).strip().lower()))


def _converted(value: Any, factor: float | None) -> float | None:
    if factor is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A damaged file may hold an integer beyond float, or one that leaves it when converted.
    try:
        converted = float(value) * factor
    except OverflowError:
        return None
    return converted if np.isfinite(converted) and converted > 0 else None
