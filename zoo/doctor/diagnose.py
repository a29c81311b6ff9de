"""What this machine has, what each path would use here, what is missing, and what is fastest."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from unifmir import machine
from unifmir.benchmarks.measure.benchmark_run import benchmark, library_versions
from unifmir.benchmarks.measure.prepared_files import readable_formats
from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.errors import UnifmirError
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNNERS
from unifmir.machine import available_cores, instructions
from unifmir.zoo import EMBEDDED
from unifmir.zoo.doctor import checkups
from unifmir.zoo.doctor.checkups import Finding
from unifmir.zoo.restore.predictors import ModelChoice, candidates, opened, predictor_for

COMPILED = ("compiled", "aotinductor")
"""Runtimes that take a minute before their first image: no part of a short measurement."""
ROUNDS, SECONDS, SAMPLES = 5, 0.3, 5
"""Of the measurement: what a benchmark needs at least for times that it trusts."""


@dataclass(frozen=True, slots=True)
class Route:
    """What restoring would use."""

    source: str
    """`models and checkpoints`, or files of a format."""
    device: str
    runtime: str
    provider: str
    """What computes inside the runtime; empty where it is only known once a file is opened."""
    precisions: tuple[str, ...]
    """That the runtime has on the device."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One way to run the embedded model for a task."""

    device: str
    runtime: str
    precision: str
    median_ms: float | None
    """Of one image; None where it did not run."""
    ratio: float | None
    """How many times as fast as eager PyTorch in fp32 on the CPU."""
    same_picture: bool | None
    """As fp32 in eager PyTorch, by the tolerances of `unifmir verify`; None if not compared."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `unifmir doctor` says."""

    hardware: dict[str, Any]
    versions: dict[str, str]
    findings: tuple[Finding, ...]
    routes: tuple[Route, ...]
    task: str | None = None
    """That was measured."""
    speeds: tuple[Speed, ...] = ()
    """The fastest first; empty if nothing was measured."""

    @property
    def usable(self) -> bool:
        """Whether models can run here at all."""
        return any(route.source == MODULES for route in self.routes)

    @property
    def fastest(self) -> Speed | None:
        """The fastest way that gives the same picture."""
        return next((one for one in self.speeds if one.same_picture and one.median_ms), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        fastest = self.fastest
        return {
            "usable": self.usable,
            "hardware": self.hardware,
            "versions": self.versions,
            "findings": [asdict(finding) for finding in self.findings],
            "routes": [asdict(route) for route in self.routes],
            "task": self.task,
            "speeds": [asdict(speed) for speed in self.speeds],
            "fastest": None if fastest is None else asdict(fastest),
        }


MODULES = "models and checkpoints"


def diagnose(*, measure: str | None = None) -> Diagnosis:
    """Look at the machine and at what is installed.

    Parameters
    ----------
    measure : str, optional
        Task for which the runtimes are timed: half a minute to a minute, each in a process of its
        own, on the image and model that ship with the package.

    Returns
    -------
    Diagnosis

    Raises
    ------
    UnknownNameError
        No such task.
    """
    hardware = described_hardware()
    findings = (*checkups.runtimes(), *checkups.formats(), *checkups.libraries(hardware["gpus"]))
    routes = tuple(_routes(devices()))
    speeds = () if measure is None else tuple(_speeds(measure))
    return Diagnosis(hardware, library_versions(), findings, routes, measure, speeds)


def described_hardware() -> dict[str, Any]:
    """Processor, instructions, cores, memory, GPUs and their driver, as JSON values."""
    facts = machine.description()
    memory = psutil.virtual_memory()
    return {
        "processor": facts["processor"],
        "instructions": instructions(),
        "cores": facts["cores"],
        "usable_cores": available_cores(),
        "memory_bytes": facts["memory_bytes"],
        "available_bytes": int(memory.available),
        "system": facts["system"],
        "gpus": _gpus(),
        "driver": facts["driver"],
    }


def devices() -> list[str]:
    """The CPU, and the GPUs that PyTorch can use."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *(f"cuda:{index}" for index in range(count))]


def _gpus() -> list[dict[str, Any]]:
    """Name and memory of the GPUs that NVIDIA's library knows."""
    library = machine.nvml()
    if library is None:
        return []
    found = []
    for index in range(library.nvmlDeviceGetCount()):
        handle = library.nvmlDeviceGetHandleByIndex(index)
        major, minor = library.nvmlDeviceGetCudaComputeCapability(handle)
        found.append(
            {
                "name": machine.text(library.nvmlDeviceGetName(handle)),
                "memory_bytes": int(library.nvmlDeviceGetMemoryInfo(handle).total),
                "compute_capability": f"{major}.{minor}",
            }
        )
    return found


def _routes(found: Sequence[str]) -> Iterator[Route]:
    with tempfile.TemporaryDirectory(prefix="unifmir-") as folder:
        probes = checkups.probes(Path(folder))
        for device in found:
            predictor = predictor_for(ModelChoice(task="sr", device=device))
            ran = predictor.ran
            yield _route(MODULES, device, ran["runtime"], ran["provider"])
            for name in readable_formats():
                yield from _file_route(name, device, probes.get(name))


def _file_route(name: str, device: str, probe: Path | None) -> Iterator[Route]:
    """What opens a small file of the format; without one, what says it could."""
    source = f"{FORMATS[name].suffix} files"
    choice = ModelChoice(device=device)
    if probe is None:
        usable = [one for one in candidates(device, "fp32", file_format=name) if _there(one)]
        if usable:
            yield _route(source, device, usable[0], "")
        return
    try:
        runtime, session = opened(choice, lambda _: probe, device, "fp32", file_format=name)
    except UnifmirError:
        return
    yield _route(source, str(session.ran["device"]), runtime, str(session.ran["provider"]))


def _there(runtime: str) -> bool:
    try:
        RUNNERS[runtime].require()
    except ImportError:
        return False
    return True


def _route(source: str, device: str, runtime: str, provider: str) -> Route:
    return Route(source, device, runtime, provider, RUNNERS[runtime].precisions(device))


def _speeds(task: str) -> list[Speed]:
    """Every runtime that is here, on every device, the fastest first."""
    results = [(device, _measured(task, device)) for device in devices()]
    rows = [(device, row) for device, found in results for row in found.rows]
    reference = next(
        (
            row.latency.median_ms
            for device, row in rows
            if device == "cpu" and row.subject.runtime == "eager" and row.latency
        ),
        None,
    )
    return sorted(
        (_speed(device, row, reference) for device, row in rows),
        key=lambda one: one.median_ms or float("inf"),
    )


def _measured(task: str, device: str) -> Results:
    """A short benchmark of the embedded model."""
    here = tuple(name for name in RUNNERS if name not in COMPILED and checkups.runs_here(name))
    low = "fp16-compute" if device != "cpu" else "bf16-compute"
    plan = BenchmarkPlan(
        models=(EMBEDDED,),
        tasks=(task,),
        runtimes=here,
        precisions=("fp32", low) if _computes_low(device) else ("fp32",),
        device=device,
        rounds=ROUNDS,
        seconds=SECONDS,
        samples=SAMPLES,
        quick=True,
    )
    with tempfile.TemporaryDirectory(prefix="unifmir-") as folder:
        return benchmark(plan, Path(folder, "doctor.json"))


def _computes_low(device: str) -> bool:
    """Whether two-byte arithmetic may be faster: on every GPU, and on processors made for it."""
    return device != "cpu" or bool({"avx512_bf16", "amx_bf16", "bf16"} & set(instructions()))


def _speed(device: str, row: Row, reference: float | None) -> Speed:
    median = row.latency.median_ms if row.latency else None
    ratio = reference / median if reference and median else None
    same = None if row.same_picture is None else bool(row.same_picture["passed"])
    problems = (*row.problems, *([row.error] if row.error else []))
    subject = row.subject
    return Speed(device, subject.runtime, subject.precision, median, ratio, same, problems)
