from pathlib import Path

import pytest

from unifmir.benchmarks.measure.energy import NvmlMeter, RaplMeter, energy_of, meter_for
from unifmir.benchmarks.measure.gpu import Gpu


def domain(folder: Path, number: str, name: str, energy: int, largest: int) -> Path:
    """A powercap domain as the kernel shows it."""
    path = folder / f"intel-rapl:{number}"
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy}\n")
    (path / "max_energy_range_uj").write_text(f"{largest}\n")
    return path


def test_joules_are_counted_over_all_packages_and_nothing_twice(tmp_path):
    first = domain(tmp_path, "0", "package-0", 1_000_000, 10_000_000)
    core = domain(tmp_path, "0:0", "core", 500_000, 10_000_000)
    second = domain(tmp_path, "1", "package-1", 2_000_000, 10_000_000)
    meter, reason = meter_for("cpu", tmp_path)
    assert meter is not None
    assert meter.source == "rapl"
    assert reason == ""
    (first / "energy_uj").write_text("3000000")
    (core / "energy_uj").write_text("2500000")
    (second / "energy_uj").write_text("2500000")
    assert meter.lap() == 2.5
    assert meter.lap() == 0.0


def test_a_counter_that_starts_again_from_zero_loses_nothing(tmp_path):
    package = domain(tmp_path, "0", "package-0", 9_000_000, 10_000_000)
    meter = RaplMeter([package])
    (package / "energy_uj").write_text("500000")
    assert meter.lap() == 1.5


def test_a_counter_that_vanishes_is_told(tmp_path):
    package = domain(tmp_path, "0", "package-0", 0, 10_000_000)
    meter = RaplMeter([package])
    (package / "energy_uj").unlink()
    assert meter.lap() is None
    told = energy_of([1.0, meter.lap()], meter.source, 1.0)
    assert told.joules_per_megapixel is None
    assert "could not be read" in told.source


def test_a_machine_without_counters_says_so(tmp_path):
    meter, reason = meter_for("cpu", tmp_path)
    assert meter is None
    assert "no RAPL counters" in reason
    absent = energy_of([], reason, 1.0)
    assert absent.joules_per_megapixel is None
    assert absent.source == reason


def test_counters_for_root_alone_are_told(tmp_path, monkeypatch):
    domain(tmp_path, "0", "package-0", 0, 10_000_000)
    reading = Path.read_text

    def forbidden(path, *arguments, **named):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return reading(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", forbidden)
    meter, reason = meter_for("cpu", tmp_path)
    assert meter is None
    assert "only root" in reason


def test_joules_per_megapixel():
    found = energy_of([1.0, 2.0, 3.0], "rapl", 2.0)
    assert found.joules_per_megapixel == 3.0
    assert found.source == "rapl"


def test_a_counter_that_stands_still_is_no_measurement():
    found = energy_of([0.0, 0.0], "rapl", 1.0)
    assert found.joules_per_megapixel is None
    assert "did not move" in found.source


def test_a_gpu_is_only_asked_where_nvml_is():
    meter, reason = meter_for("cuda:99")
    assert meter is None
    assert "NVML" in reason


class FakeNvml:
    """What pynvml answers for one GPU."""

    class NVMLError(Exception):
        """Of the library."""

    def __init__(self, pids: list[int]) -> None:
        self.millijoules = 1000
        self.bits = 0
        self.pids = pids

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802  # its name
        return self.millijoules

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: object) -> int:  # noqa: N802  # its name
        return self.bits

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[object]:  # noqa: N802  # its name
        class Process:
            def __init__(self, pid: int) -> None:
                self.pid = pid
                self.usedGpuMemory = 2**20

        return [Process(pid) for pid in self.pids]


def test_a_gpu_counts_millijoules():
    library = FakeNvml([])
    meter = NvmlMeter(Gpu(library, None))
    library.millijoules = 4500
    assert meter.lap() == 3.5


def test_a_gpu_says_why_it_is_slow_and_being_idle_is_no_reason():
    library = FakeNvml([])
    gpu = Gpu(library, None)
    library.bits = 0x1
    assert gpu.throttling() == ()
    library.bits = 0x4 | 0x40
    assert gpu.throttling() == ("power cap", "hardware thermal limit")


@pytest.mark.parametrize(
    ("running", "own", "foreign"),
    [
        ([10], [10], 0),
        ([10, 11], [10], 1),
        ([], [10], 0),
        # In a container the ids are the host's: only their number tells.
        ([910, 911], [10, 11], 0),
        ([910, 911, 912], [10, 11], 1),
    ],
)
def test_others_on_the_gpu_are_counted(running, own, foreign):
    gpu = Gpu(FakeNvml(running), None)
    assert gpu.foreign_processes(own) == foreign
    assert set(gpu.memory_by_process()) == set(running)
