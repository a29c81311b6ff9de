import pytest

from unifmir.benchmarks.measure import stability
from unifmir.benchmarks.measure.stability import (
    MachineCounters,
    MachineWatch,
    busiest_process,
    heat_stops,
    quota_stops,
)


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    # The real machine's clock is nobody's business here.
    monkeypatch.setattr(stability, "clock_mhz", lambda: None)


def counters(**changed: float) -> MachineCounters:
    """Counters at zero but for these."""
    values = {"at_s": 0.0, "busy_s": 0.0, "stolen_s": 0.0, "own_s": 0.0, "throttled": 0, "hot": 0}
    return MachineCounters(**{**values, **changed})  # type: ignore[arg-type]  # whole numbers where due


def watched(worker_s: float = 1.0, cores: int = 2, **after: float) -> MachineWatch:
    """A watch after one visit of a second."""
    watch = MachineWatch(cores)
    watch.add(counters(), counters(at_s=1.0, **after), worker_s)
    return watch


def test_nothing_is_said_of_a_quiet_machine():
    # 1.02 s busy, of which the worker took 1 and this process 0.01.
    assert watched(busy_s=1.02, own_s=0.01).remarks("python") == []


def test_another_process_is_told_with_what_it_took_and_its_name():
    (found,) = watched(busy_s=1.9).remarks("blender (0.9 cores)")
    assert found == (
        "other processes took 45% of the 2 cores, usual is up to 5%; the busiest was blender "
        "(0.9 cores)"
    )


def test_ticks_of_the_clock_cancel_over_the_visits():
    watch = MachineWatch(2)
    for busy in (1.4, 0.6) * 5:
        watch.add(counters(), counters(at_s=1.0, busy_s=busy), 1.0)
    assert watch.remarks() == []


def test_a_host_that_takes_time_is_told():
    (found,) = watched(busy_s=1.0, stolen_s=0.06).remarks()
    assert found.startswith("the host of this virtual machine took 3.0% of the processor time")


def test_quota_heat_and_gpu_are_told():
    watch = watched(busy_s=1.0, throttled=3, hot=2)
    watch.gpu_reasons = {"power cap"}
    watch.gpu_foreign = 1
    found = watch.remarks()
    assert found == [
        "the container's quota stopped it 3 times",
        "the processor was slowed for heat 2 times",
        "the GPU was slowed (power cap)",
        "1 other processes used the GPU",
    ]


def test_a_clock_that_falls_is_told():
    watch = MachineWatch(2, clocks_mhz=[4000.0] * 5 + [3500.0] * 5 + [3000.0] * 5)
    (found,) = watch.remarks()
    assert found == "the processor's clock fell by 25% meanwhile, usual is up to 10%"


def test_the_busiest_foreign_process_is_named_and_our_own_are_not():
    before = {1: ("init", 5.0), 7: ("worker", 0.0), 8: ("backup", 1.0)}
    after = {1: ("init", 5.0), 7: ("worker", 90.0), 8: ("backup", 9.0), 9: ("late", 2.0)}
    assert busiest_process(before, after, {7}, 10.0) == "backup (0.8 cores)"
    assert busiest_process(before, before, {7}, 10.0) == ""
    assert busiest_process({}, {}, (), 10.0) == ""


def test_a_quota_is_read_from_both_kinds_of_control_groups(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
    assert quota_stops((new, old)) == 0
    (old / "cpu.stat").write_text("nr_periods 12\nnr_throttled 4\nthrottled_time 99\n")
    assert quota_stops((new, old)) == 4
    (new / "cpu.stat").write_text("usage_usec 1\nnr_periods 12\nnr_throttled 5\n")
    assert quota_stops((new, old)) == 5


def test_heat_is_added_up_over_the_cores(tmp_path):
    assert heat_stops(tmp_path) == 0
    for core in ("cpu0", "cpu1"):
        folder = tmp_path / core / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text("2\n")
        (folder / "package_throttle_count").write_text("1\n")
    assert heat_stops(tmp_path) == 6


def test_the_real_counters_can_be_read_and_only_grow():
    first, second = MachineCounters.read(), MachineCounters.read()
    assert second.at_s >= first.at_s
    assert second.busy_s >= first.busy_s
    assert second.own_s >= first.own_s
