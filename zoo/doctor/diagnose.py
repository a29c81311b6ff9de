"""Diagnosis of a machine: what it has, what each path would use here, and what is missing."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from unifmir import machine
from unifmir.atomic import temporary_folder
from unifmir.devices import Device, present_devices
from unifmir.errors import UnifmirError
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes import RUNTIMES
from unifmir.json_values import JsonOutput
from unifmir.machine import available_cores, instructions, library_versions
from unifmir.precision.element_types import Precision
from unifmir.zoo.doctor import checkups
from unifmir.zoo.doctor.checkups import Finding
from unifmir.zoo.doctor.device_findings import DeviceFinding, device_findings
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.runtime_choice import candidates, open_model


@dataclass(frozen=True, slots=True)
class Route:
    """Path that restoring would take."""

    source: str
    """`models and checkpoints`, or files of a format."""
    device: str
    runtime: str
    provider: str
    """Library that computes inside the runtime; empty where only an opened file would tell."""
    precisions: tuple[str, ...]
    """Precisions of the runtime on the device."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One way to run the embedded model for a task."""

    device: str
    runtime: str
    precision: str
    median_ms: float | None
    """Time of one image, in milliseconds; None where it did not run."""
    ratio: float | None
    """How many times as fast as eager PyTorch in fp32 on the CPU."""
    same_picture: bool | None
    """Whether it is that of fp32 in eager PyTorch, by the tolerances of `unifmir verify`; None if
    not compared."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis(JsonOutput):
    """Everything `unifmir doctor` says."""

    written = (
        *("usable", "hardware", "versions", "findings", "routes", "devices"),
        *("task", "speeds", "fastest"),
    )

    hardware: dict[str, Any]
    versions: dict[str, str]
    findings: tuple[Finding, ...]
    routes: tuple[Route, ...]
    task: str | None = None
    """Task that was measured, if any."""
    speeds: tuple[Speed, ...] = ()
    """The fastest first; empty if nothing was measured."""
    devices: tuple[DeviceFinding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether models can run here at all."""
        return any(route.source == MODULES for route in self.routes)

    @property
    def fastest(self) -> Speed | None:
        """The fastest way that gives the same picture."""
        return next((one for one in self.speeds if one.same_picture and one.median_ms), None)


MODULES = "models and checkpoints"
FULL_PRECISION = Precision("fp32")


def diagnose() -> Diagnosis:
    """Look at the machine and at what is installed."""
    hardware = described_hardware()
    findings = (*checkups.runtimes(), *checkups.formats(), *checkups.libraries(hardware["gpus"]))
    routes = tuple(_routes(present_devices()))
    devices = tuple(device_findings())
    return Diagnosis(hardware, library_versions(), findings, routes, devices=devices)


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


def _routes(found: Sequence[Device]) -> Iterator[Route]:
    with temporary_folder() as folder:
        probes = checkups.probes(folder)
        read_by_runtimes = {row.format for row in RUNTIMES.values()}
        for device in (one.name for one in found):
            # A device may run files alone, or give another picture than the CPU.
            with suppress(UnifmirError):
                ran = predictor_for(ModelChoice(task="sr", device=device)).ran
                yield _route(MODULES, device, ran["runtime"], ran["provider"])
            for name in (one for one in FORMATS if one in read_by_runtimes):
                yield from _file_route(name, device, probes.get(name))


def _file_route(name: str, device: str, probe: Path | None) -> Iterator[Route]:
    """Runtime that opens a small file of the format; without one, that says it could."""
    source = f"{FORMATS[name].suffix} files"
    choice = ModelChoice(device=device)
    if probe is None:
        usable = filter(checkups.runs_here, candidates(device, FULL_PRECISION, file_format=name))
        for first in islice(usable, 1):
            yield _route(source, device, first, "")
        return
    try:
        runtime, session = open_model(
            choice, lambda _: probe, device, FULL_PRECISION, file_format=name
        )
    except UnifmirError:
        return
    yield _route(source, str(session.ran["device"]), runtime.name, str(session.ran["provider"]))


def _route(source: str, device: str, runtime: str, provider: str) -> Route:
    able = RUNTIMES[runtime].precisions(device)
    return Route(source, device, runtime, provider, tuple(map(str, able)))
