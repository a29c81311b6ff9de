"""The columns that there are, and which of them each view of the results shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unifmir.benchmarks.measure.results import Peak, Row
from unifmir.benchmarks.report.derived_figures import share_of_peak
from unifmir.benchmarks.report.tables.number_text import (
    NOTHING,
    fixed,
    percent,
    significant,
    supported_decimals,
    with_interval,
)

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


def _latency(row: Row, at: CellContext) -> str:
    if row.latency is None:
        return NOTHING
    low, high = row.latency.interval_ms
    interval = (low / at.unit.ms, high / at.unit.ms)
    return with_interval(row.latency.median_ms / at.unit.ms, interval, _decimals(row, at))


def _decimals(row: Row, at: CellContext) -> int:
    """Decimals of every time in a row: a tail is not known better than the median."""
    if row.latency is None:
        return 0
    low, high = row.latency.interval_ms
    interval = (low / at.unit.ms, high / at.unit.ms)
    return supported_decimals(row.latency.median_ms / at.unit.ms, interval)


def _time(name: str) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, at: CellContext) -> str:
        value: float | None = getattr(row.latency, name, None)
        return NOTHING if value is None else fixed(value / at.unit.ms, _decimals(row, at))

    return cell


def _memory(name: str) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, _: CellContext) -> str:
        value: int | None = getattr(row.memory, name, None)
        return NOTHING if value is None else significant(value / MIB)

    return cell


def _ratio(row: Row, _: CellContext) -> str:
    if row.ratio is None:
        return NOTHING
    if row.ratio.baseline == row.subject.key:
        return "1 (baseline)"
    interval = row.ratio.interval
    return with_interval(row.ratio.ratio, interval, supported_decimals(row.ratio.ratio, interval))


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
    def cell(row: Row, _: CellContext) -> str:
        value = row.counts.get(name)
        return NOTHING if value is None else significant(value / per)

    return cell


def _quality(name: str, decimals: int) -> Callable[[Row, CellContext], str]:
    def cell(row: Row, _: CellContext) -> str:
        return NOTHING if row.quality is None else fixed(getattr(row.quality, name), decimals)

    return cell


def _evaluated(row: Row, _: CellContext) -> str:
    return NOTHING if row.quality is None else f"{row.quality.images} of {row.quality.dataset}"


def _difference(row: Row, _: CellContext) -> str:
    value = (row.same_picture or {}).get("max_abs_over_std")
    return NOTHING if value is None else f"{value:.1e}"


def _cold(row: Row, _: CellContext) -> str:
    if row.cold is None:
        return NOTHING
    return significant((row.cold.load_ms + row.cold.first_run_ms) / 1000)


def _device_elsewhere(row: Row, _: CellContext) -> str:
    return NOTHING if row.subject.device == "cpu" else row.subject.device


RANK = Column("rank", lambda _, at: at.rank, text=True)
MODEL = Column("model", lambda row, _: row.subject.model, text=True)
RUNTIME = Column("runtime", lambda row, _: row.subject.runtime, text=True)
PRECISION = Column("precision", lambda row, _: row.subject.precision, text=True)
DEVICE = Column("device", _device_elsewhere, optional=True, text=True)
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
PSNR = Column("PSNR, dB", _quality("psnr_db", 2))
SSIM = Column("SSIM", _quality("ssim", 3))
NRMSE = Column("NRMSE", _quality("nrmse", 4))
SLOPE = Column("slope", _quality("slope", 3))
EVALUATED = Column("images", _evaluated, optional=True, text=True)
SAME_PICTURE = Column("max diff / std", _difference)
SAME_PSNR = Column(
    "to fp32, dB",
    lambda row, _: significant((row.same_picture or {}).get("psnr_db")),
    optional=True,
)

_WHO = (RANK, MODEL, RUNTIME, PRECISION, DEVICE)

VIEWS: dict[str, tuple[Column, ...]] = {
    "latency": (
        *_WHO,
        *(LATENCY, P90, P99, DEVICE_TIME, COPIES, RATIO, SPEED, PEAK_SHARE),
    ),
    "cost": (
        *_WHO,
        *(COLD, PEAK_RSS, DEVICE_MEMORY, ENERGY, PARAMETERS, FILE, GFLOPS, GBOPS, PEAK_SHARE),
    ),
    "quality": (
        *_WHO,
        *(LATENCY, PSNR, SSIM, NRMSE, SLOPE, SAME_PICTURE, SAME_PSNR, EVALUATED),
    ),
}
"""Columns of a table, by the question that it answers."""
