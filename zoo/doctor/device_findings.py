"""Findings on devices: which are here, which runtimes serve each, and what was never run on it."""

from collections.abc import Iterator
from dataclasses import dataclass

from unifmir.devices import DEVICES, Device
from unifmir.export.runtimes import RUNTIMES


@dataclass(frozen=True, slots=True)
class DeviceFinding:
    """One row of `DEVICES`, on this machine."""

    names: tuple[str, ...]
    """Names of the devices that were found; the kind's where there is none."""
    here: bool
    hardware: tuple[str, ...]
    """Names of the hardware, where its library says them."""
    runtimes: tuple[str, ...]
    """Runtimes that serve it, installed or not."""
    measured: bool
    """Whether anything was ever run on such a device where unifmir is developed."""
    needs: str
    """Needs, where it is not here."""


def device_findings() -> Iterator[DeviceFinding]:
    """Each row of `DEVICES`."""
    for kind in DEVICES.values():
        found = [Device(kind, index) for index in range(kind.count())]
        yield DeviceFinding(
            names=tuple(device.name for device in found) or (kind.name,),
            here=bool(found),
            hardware=tuple(filter(None, (kind.hardware(device.index) for device in found))),
            runtimes=tuple(serving(Device(kind).name)),
            measured=kind.measured,
            needs=kind.needs,
        )


def serving(device: str) -> Iterator[str]:
    """Names of the runtimes that have a precision on a device."""
    for name in RUNTIMES:
        try:
            row = RUNTIMES[name]
        except ImportError:  # of the library that the row is about
            continue
        if row.precisions(device):
            yield name
