"""The columns that there are, and which of them each view of the results shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unifmir.benchmarks.measure.results import Peak, Row
from unifmir.benchmarks.report.derived_figures import device_elsewhere, share_of_peak
from unifmir.benchmarks.report.tables.number_text import (
    NOTHING,
    fixed,
    percent,
    significant,
    supported_decimals,
    with_interval,
)
from unifmir.metrics import METRICS

MIB = 2.0**20


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """Unit of the times of one table."""

    name: str
    ms: float
    """Milliseconds in it."""


@dataclass(frozen=True, slots=True)
class CellContext:
    """Context of a cell beside its row."""

    unit: TimeUnit
    peaks: Sequence[Peak]
    rank: str
    note: Callable[[str], str]
    """Takes a footnote, gives the mark that refers to it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    """`{unit}` is the table's unit of time."""
    cell: Callable[[Row, CellContext], str]
    optional: bool = False
    """Left out of a table in which no row has a value for it."""
    text: bool = False
    """Words: to the left, where numbers are to the right."""


def time_unit(rows: Sequence[Row]) -> TimeUnit:
    """Seconds if the middle one of the medians is a second or more, else milliseconds."""
    medians = sorted(row.latency.median_ms for row in rows if row.latency is not None)
    if medians and medians[len(medians) // 2] >= 1000:
        return TimeUnit("s", 1000.0)
    return TimeUnit("ms", 1.0)


def _median(row: Row, at: CellContext) -> tuple[float, tuple[float, float]] | None:
    """The median and its interval in the table's unit."""
    if row.latency is None:
        return None
    low, high = row.latency.interval_ms
    return row.median_ms / at.unit.ms, (low / at.unit.ms, high / at.unit.ms)


def _latency(row: Row, at: CellContext) -> str:
    median = _median(row, at)
    return NOTHING if median is None else with_interval(*median)


def _time(name: str) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, at: CellContext) -> str:
        value: float | None = getattr(row.latency, name, None)
        median = _median(row, at)
        if value is None or median is None:
            return NOTHING
        # A tail is not known better than the median.
        return fixed(value / at.unit.ms, supported_decimals(*median))

    return cell


def _amount(of: Callable[[Row], float | None], unit: float) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, _: CellContext) -> str:
        value = of(row)
        return NOTHING if value is None else significant(value / unit)

    return cell


def _memory(name: str) -> Callable[[Row, CellContext], str]:
    return _amount(lambda row: getattr(row.memory, name, None), MIB)


def _ratio(row: Row, _: CellContext) -> str:
    if row.ratio is None:
        return NOTHING
    if row.ratio.baseline == row.subject.key:
        return "1 (baseline)"
    return with_interval(row.ratio.ratio, row.ratio.interval)


def _speed(row: Row, _: CellContext) -> str:
    speed = row.megapixels_per_s
    if row.latency is None or speed is None:
        return NOTHING
    low, high = row.latency.interval_ms
    if not (low > 0 and high > 0):
        return significant(speed)
    # Pixels over the interval's ends: as uncertain as the median that it is made of.
    millions = row.subject.pixels / 1e3
    return fixed(speed, supported_decimals(speed, (millions / high, millions / low)))


def _energy(row: Row, at: CellContext) -> str:
    if row.energy is None:
        return NOTHING
    if row.energy.joules_per_megapixel is None:
        return f"{NOTHING} {at.note(f'no energy: {row.energy.source}')}"
    return significant(row.energy.joules_per_megapixel)


def _count(name: str, per: float) -> Callable[[Row, CellContext], str]:
    return _amount(lambda row: row.counts.get(name), per)


def _quality(name: str, decimals: int) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, _: CellContext) -> str:
        return fixed((row.quality or {}).get(name), decimals)

    return cell


def _evaluated(row: Row, _: CellContext) -> str:
    return "{images} of {dataset}".format(**row.quality) if row.quality else NOTHING


def _difference(row: Row, _: CellContext) -> str:
    value = (row.same_picture or {}).get("max_abs_over_std")
    return NOTHING if value is None else f"{value:.1e}"


def _cold(row: Row, _: CellContext) -> str:
    if row.cold is None:
        return NOTHING
    return significant((row.cold.load_ms + row.cold.first_run_ms) / 1000)


RANK = Column("rank", lambda _, at: at.rank, text=True)
MODEL = Column("model", lambda row, _: row.subject.model, text=True)
RUNTIME = Column("runtime", lambda row, _: row.subject.runtime, text=True)
PRECISION = Column("precision", lambda row, _: row.subject.precision, text=True)
DEVICE = Column(
    "device", lambda row, _: device_elsewhere(row.subject) or NOTHING, optional=True, text=True
)
LATENCY = Column("median [95 %], {unit}", _latency)
P90 = Column("p90, {unit}", _time("p90_ms"))
P99 = Column("p99, {unit}", _time("p99_ms"))
DEVICE_TIME = Column("device, {unit}", _time("device_ms"), optional=True)
COPIES = Column("copies, {unit}", _time("copy_ms"), optional=True)
RATIO = Column("times as fast [95 %]", _ratio, optional=True)
SPEED = Column("Mpixel/s", _speed)
PEAK_SHARE = Column("% of peak", lambda row, at: percent(share_of_peak(row, at.peaks)), True)
COLD = Column("cold start, s", _cold)
PEAK_RSS = Column("peak RSS, MiB", _memory("peak_rss_bytes"))
DEVICE_MEMORY = Column("device memory, MiB", _memory("peak_device_bytes"), optional=True)
ENERGY = Column("energy, J/Mpixel", _energy)
PARAMETERS = Column("parameters, M", _count("parameters", 1e6))
GFLOPS = Column("GFLOPs", _count("flops", 1e9))
GBOPS = Column("GBOPs", _count("bops", 1e9))
FILE = Column("file, MB", _count("file_bytes", 1e6), optional=True)
EVALUATED = Column("images", _evaluated, optional=True, text=True)
SAME_PICTURE = Column("max diff / std", _difference)
SAME_PSNR = Column(
    "unfitted PSNR to fp32, dB",
    lambda row, _: significant((row.same_picture or {}).get("psnr_db")),
    optional=True,
)

_WHO = (RANK, MODEL, RUNTIME, PRECISION, DEVICE)


def _latency_view() -> tuple[Column, ...]:
    return *_WHO, LATENCY, P90, P99, DEVICE_TIME, COPIES, RATIO, SPEED, PEAK_SHARE


def _cost_view() -> tuple[Column, ...]:
    counts = (PARAMETERS, FILE, GFLOPS, GBOPS)
    return *_WHO, COLD, PEAK_RSS, DEVICE_MEMORY, ENERGY, *counts, PEAK_SHARE


def _quality_view() -> tuple[Column, ...]:
    # One digit less than is reported: models differ by more.
    metrics = (
        Column(row.heading, _quality(name, row.decimals - 1), optional=True)
        for name, row in METRICS.items()
    )
    return *_WHO, LATENCY, *metrics, SAME_PICTURE, SAME_PSNR, EVALUATED


VIEWS: dict[str, Callable[[], tuple[Column, ...]]] = {
    "latency": _latency_view,
    "cost": _cost_view,
    "quality": _quality_view,
}
"""Columns of a table, by the question that it answers."""
