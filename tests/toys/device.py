"""A device, and a runtime that runs networks on it, which may be told to lie."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from unifmir.devices import DeviceKind, device_named
from unifmir.export.runtimes.base import HostSession, Image, Runtime, Session
from unifmir.precision.element_types import Precision

driver = "1.0"
"""Version that the toy device tells of its driver."""
TOY_DEVICE = DeviceKind(
    name="toy-device",
    needs="a toy box",
    hardware=lambda _: "a wooden toy",
    driver=lambda _: driver,
    provider=None,
)


class ToyDeviceRuntime(Runtime):
    """Runs modules on the toy device, which is this processor."""

    name = "toy-device-runtime"
    factor = 1.0
    """What results are multiplied by: 1 is the truth."""

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Only fp32, only on the toy device."""
        return (Precision("fp32"),) if device_named(device).kind is TOY_DEVICE else ()

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Run the module as it is."""
        module = self.module_from(source)

        def compute(image: Image) -> Image:
            with torch.inference_mode():
                restored: Image = module(torch.from_numpy(image)).numpy()
            return restored * np.float32(self.factor)

        ran = {"library": "toy", "provider": "toy", "device": device, "threads": threads}
        return HostSession(compute, ran)


TOY_DEVICE_RUNTIME = ToyDeviceRuntime()
