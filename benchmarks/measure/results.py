"""Results of a benchmark, as values and as one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.atomic import write_text
from unifmir.benchmarks.plan.subject import Subject
from unifmir.errors import BenchmarkError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall time end to end, from a NumPy array to a NumPy array. Milliseconds."""

    rounds_ms: tuple[tuple[float, ...], ...]
    """Every sample, by round; in each round all compared subjects ran once in turn."""
    cpu_ms: tuple[float, ...]
    """CPU time of the process per run, by round: what a busy machine disturbs least."""
    median_ms: float
    interval_ms: tuple[float, float]
    """Bootstrap 95 % interval of the median."""
    p90_ms: float
    p99_ms: float
    minimum_ms: float
    variation: float
    """Standard deviation of the rounds' medians over their mean."""
    device_ms: float | None = None
    """Median time between events on the device."""
    copy_ms: float | None = None
    """Median time of the copies to and from the device."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the group's baseline: rounds are compared one by one."""

    baseline: str
    """Key of the baseline."""
    ratio: float
    """Median over the rounds of baseline time / own time."""
    interval: tuple[float, float]
    """Bootstrap 95 % interval."""
    cpu_ratio: float
    """Median over the rounds of baseline CPU time / own CPU time."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Time from a fresh process to the first image. Milliseconds."""

    import_ms: float
    load_ms: float
    first_run_ms: float


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of the worker process and the device, in bytes."""

    peak_rss_bytes: int
    """Largest resident set of the process after its first run, its libraries included."""
    before_load_bytes: int
    """Resident set after the imports, before the model was loaded."""
    peak_device_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules per megapixel, or why there is no figure."""

    joules_per_megapixel: float | None
    source: str
    """`nvml`, `rapl`, or the reason of the absence."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the model's evaluation set, in this row's precision."""

    psnr_db: float
    ssim: float
    nrmse: float
    slope: float
    """Slope of the least-squares line from the truth to the restoration: 1 keeps intensities."""
    images: int
    dataset: str


@dataclass(frozen=True, slots=True)
class Row:
    """One subject and everything measured of it."""

    subject: Subject
    ran: Mapping[str, Any]
    """Facts of what really ran, told by the runtime: provider, threads, TF32, element type..."""
    counts: Mapping[str, Any]
    """`parameters`, `macs`, `flops`, `bops`, `traffic_bytes`, `weight_bytes`, `file_bytes`."""
    latency: Latency | None = None
    ratio: Ratio | None = None
    cold: ColdStart | None = None
    memory: MemoryUse | None = None
    energy: Energy | None = None
    quality: Quality | None = None
    same_picture: Mapping[str, Any] | None = None
    """Against fp32 eager on the timed input: `max_abs_over_std`, `psnr_db`."""
    problems: tuple[str, ...] = ()
    """Why the times cannot be trusted; such a row is shown, marked, and not ranked."""
    error: str = ""
    """Why there are no times at all."""

    @property
    def ranked(self) -> bool:
        """Whether the times can be trusted."""
        return self.latency is not None and not self.problems

    @property
    def megapixels_per_s(self) -> float | None:
        """Input pixels per second at the median."""
        if self.latency is None:
            return None
        return self.subject.pixels / self.latency.median_ms / 1e3

    @property
    def gflops_per_s(self) -> float | None:
        """Counted arithmetic over the median time."""
        if self.latency is None or not self.counts.get("flops"):
            return None
        return float(self.counts["flops"]) / self.latency.median_ms / 1e6


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak that the machine reached in the same run: the roof of the roofline plot."""

    device: str
    precision: str
    gflops_per_s: float
    """Matrix product of 2048 x 2048 x 2048, or on the CPU a convolution if that is faster."""
    gbytes_per_s: float
    """Copy of an array much larger than the caches, bytes read plus bytes written."""


@dataclass(frozen=True, slots=True)
class Results:
    """One benchmark."""

    command: str
    commit: str
    """Commit of the checkout, with `+` if it had changes; empty for an installed package."""
    created: str
    """UTC, ISO 8601."""
    machine: Mapping[str, Any]
    """`processor`, `cores`, `memory_bytes`, `system`, `gpu`, `driver`."""
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    """Rounds, seconds, threads, seed: what decides the samples."""
    peaks: tuple[Peak, ...] = ()
    rows: tuple[Row, ...] = ()
    complete: bool = True
    """False while an interrupted run can be resumed."""
    schema: int = field(default=SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """The results as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Results":
        """Read what `to_dict` gives; BenchmarkError if `data` is something else."""
        found = data.get("schema") if isinstance(data, Mapping) else None
        if found is not None and found != SCHEMA:
            raise BenchmarkError(
                f"results of schema {found}, this unifmir reads {SCHEMA}: benchmark again"
            )
        from pydantic import ValidationError

        try:
            (results,) = _reader().validate_python([data])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"][1:]))
            raise BenchmarkError(
                f"not results of `unifmir benchmark` ({where}: {first['msg']})"
            ) from error
        return results

    def save(self, path: Path) -> None:
        """Write as JSON, all or nothing."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises
    ------
    BenchmarkError
        It is missing or holds something else.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file; expected what `unifmir benchmark --out` wrote")
    try:
        return Results.from_dict(json.loads(path.read_text("utf-8")))
    except (ValueError, BenchmarkError) as error:
        raise BenchmarkError(f"{path}: {error}") from error


@cache
def _reader() -> "TypeAdapter[list[Results]]":
    # Not at the start: a benchmark that is under way reads nothing. In a list, because only then
    # the settings hold for the dataclasses inside.
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(list[Results], config=ConfigDict(extra="forbid"))
