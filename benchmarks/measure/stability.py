"""Disturbances of the machine while times were taken: they are said beside the times.

Whether they can be trusted their own interval decides (`row_trust`).
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from unifmir.benchmarks.measure.gpu import Gpu
from unifmir.machine import clock_mhz

MAX_FOREIGN = 0.05
"""Part of all cores that other processes may take unsaid during a subject's visits. An idle desktop
or server takes 1 to 2 %; one busy process takes 50 % of two cores, 6 % of 16."""
MAX_STOLEN = 0.01
"""Part of the processor time that the host of a virtual machine keeps for others unsaid."""
MAX_SLOWDOWN = 0.10
"""Part by which the clock may fall unsaid from the first third of the rounds to the last: boost
clocks wander by a few per cent, a processor at its power or heat limit loses 15 to 40 %."""

CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"))
SYSTEM_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class MachineCounters:
    """Counters of the machine since it started."""

    at_s: float
    busy_s: float
    """Processor time of everybody, all cores."""
    stolen_s: float
    """Processor time that the host of a virtual machine gave to others."""
    own_s: float
    """Processor time of this process, which is not the measured one."""
    throttled: int
    """Times the container's quota stopped it."""
    hot: int
    """Times a core was slowed for heat."""

    @classmethod
    def read(cls) -> "MachineCounters":
        """Read the counters as they are now."""
        times = psutil.cpu_times()
        busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system"))
        # A guest's time is part of `user`; waiting for disks is no work.
        busy += sum(getattr(times, name, 0.0) for name in ("irq", "softirq"))
        return cls(
            at_s=time.perf_counter(),
            busy_s=busy,
            stolen_s=getattr(times, "steal", 0.0),
            own_s=time.process_time(),
            throttled=quota_stops(),
            hot=heat_stops(),
        )


@dataclass(slots=True)
class MachineWatch:
    """Disturbances during the visits of one subject, added up."""

    cores: int
    elapsed_s: float = 0.0
    foreign_s: float = 0.0
    stolen_s: float = 0.0
    throttled: int = 0
    hot: int = 0
    clocks_mhz: list[float] = field(default_factory=list)
    gpu_reasons: set[str] = field(default_factory=set)
    gpu_foreign: int = 0

    def add(self, before: MachineCounters, after: MachineCounters, worker_s: float) -> None:
        """Add one visit, in which the worker took `worker_s` of processor time."""
        own = worker_s + after.own_s - before.own_s
        self.elapsed_s += after.at_s - before.at_s
        # Not cut off at 0: the system counts in ticks of 10 ms, and errors of both signs cancel.
        self.foreign_s += after.busy_s - before.busy_s - own
        self.stolen_s += after.stolen_s - before.stolen_s
        self.throttled += after.throttled - before.throttled
        self.hot += after.hot - before.hot
        if clock := clock_mhz():
            self.clocks_mhz.append(clock)

    def look_at(self, gpu: Gpu, own: Collection[int]) -> None:
        """Note what the GPU says right after a visit."""
        self.gpu_reasons.update(gpu.throttling())
        self.gpu_foreign = max(self.gpu_foreign, gpu.foreign_processes(own))

    @property
    def foreign(self) -> float:
        """Part of all cores that other processes took."""
        return max(0.0, self.foreign_s / (self.elapsed_s * self.cores)) if self.elapsed_s else 0.0

    @property
    def stolen(self) -> float:
        """Part of the processor time that the host kept."""
        return self.stolen_s / (self.elapsed_s * self.cores) if self.elapsed_s else 0.0

    @property
    def slowdown(self) -> float:
        """Part of its clock that the processor lost from the first third to the last."""
        third = len(self.clocks_mhz) // 3
        if not third:
            return 0.0
        first = float(np.median(self.clocks_mhz[:third]))
        return 1 - float(np.median(self.clocks_mhz[-third:])) / first

    def remarks(self, busiest: str = "") -> list[str]:
        """A sentence for each thing that disturbs times, with what was measured and is usual."""
        found = []
        if self.foreign > MAX_FOREIGN:
            found.append(
                f"other processes took {self.foreign:.0%} of the {self.cores} cores, usual is up "
                f"to {MAX_FOREIGN:.0%}{busiest and f'; the busiest was {busiest}'}"
            )
        if self.stolen > MAX_STOLEN:
            found.append(
                f"the host of this virtual machine took {self.stolen:.1%} of the processor time, "
                f"usual is up to {MAX_STOLEN:.0%}"
            )
        if self.throttled:
            found.append(f"the container's quota stopped it {self.throttled} times")
        if self.hot:
            found.append(f"the processor was slowed for heat {self.hot} times")
        if self.slowdown > MAX_SLOWDOWN:
            found.append(
                f"the processor's clock fell by {self.slowdown:.0%} meanwhile, usual is "
                f"up to {MAX_SLOWDOWN:.0%}"
            )
        if self.gpu_reasons:
            reasons = ", ".join(sorted(self.gpu_reasons))
            found.append(f"the GPU was slowed ({reasons})")
        if self.gpu_foreign:
            found.append(f"{self.gpu_foreign} other processes used the GPU")
        return found


def process_times() -> dict[int, tuple[str, float]]:
    """Process id -> name and processor time so far, of every process that can be seen."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.pid] = (process.info["name"] or "?", times.user + times.system)
    return found


def busiest_process(
    before: Mapping[int, tuple[str, float]],
    after: Mapping[int, tuple[str, float]],
    own: Collection[int],
    elapsed_s: float,
) -> str:
    """Name and load of the foreign process that took most; empty if none can be seen.

    The name alone: a command line may hold what is nobody's business.
    """
    taken = {
        pid: total - before.get(pid, ("", 0.0))[1]
        for pid, (_, total) in after.items()
        if pid not in own and pid != os.getpid()
    }
    if not taken or elapsed_s <= 0:
        return ""
    pid = max(taken, key=taken.__getitem__)
    load = taken[pid] / elapsed_s
    return f"{after[pid][0]} ({load:.1f} cores)" if load > MAX_FOREIGN else ""


def quota_stops(folders: Sequence[Path] = CGROUPS) -> int:
    """How often the container's CPU quota stopped its processes; 0 where nothing says so."""
    for folder in folders:
        try:
            lines = (folder / "cpu.stat").read_text().split("\n")
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                return int(value)
    return 0


def heat_stops(folder: Path = SYSTEM_CPUS) -> int:
    """How often a core or package was slowed for heat; 0 where nothing says so."""
    total = 0
    for name in ("core_throttle_count", "package_throttle_count"):
        for file in folder.glob(f"cpu[0-9]*/thermal_throttle/{name}"):
            try:
                total += int(file.read_text())
            except (OSError, ValueError):
                continue
    return total
