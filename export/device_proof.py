"""Proof that a device gives the pictures of fp32 on the CPU, before one is trusted to it.

Each model is looked at once on each device, by each runtime. What passed is remembered, signed with
the user's key, by the hash of all that decides it: the model, the runtime and the versions of its
libraries, the device and the hardware behind it. What failed is looked at again the next time:
nothing but a picture tells that a driver was mended.
"""

import json
import logging
from collections.abc import Callable
from hashlib import sha256

import numpy as np

from unifmir import machine
from unifmir.compare import Tolerance, compare
from unifmir.config import SingleConfig
from unifmir.devices import Device
from unifmir.errors import ExportError
from unifmir.export.case_sizes import SizedCase, verified_shapes
from unifmir.export.cases import Case, cases
from unifmir.export.runtimes.base import Image, Runtime, Session
from unifmir.export.runtimes.out_of_memory import with_memory_errors
from unifmir.interfaces import InputKind, interface_of
from unifmir.samples import sample
from unifmir.trusted_files import remember_verified, was_verified

logger = logging.getLogger(__name__)


class DeviceProof:
    """A model's pictures in fp32 on the CPU, and whether a device gives the same.

    Parameters
    ----------
    model : str
        What tells it from others: hash of its weights or file, and in which form they are run.
    config : SingleConfig
    interface : {"network", "image", "raw"}
        What the model takes.
    tolerance : Tolerance
        Bars of its precision.
    on_cpu : callable
        Gives the function that computes an image on the CPU. Called where it is needed, before the
        model is opened on a device, which may move its weights there.
    """

    def __init__(
        self,
        model: str,
        config: SingleConfig,
        interface: InputKind,
        tolerance: Tolerance,
        on_cpu: Callable[[], Callable[[Image], Image]],
    ) -> None:
        self._model, self._config, self._interface = model, config, interface
        self._tolerance, self._on_cpu = tolerance, on_cpu
        self._expected: list[tuple[Case, Image]] | None = None

    def opened(self, runtime: Runtime, device: Device, opened: Callable[[], Session]) -> Session:
        """Open a session, and hold it against the CPU where that was not done on this machine.

        Parameters
        ----------
        runtime : Runtime
        device : Device
        opened : callable
            Opens the session.

        Returns
        -------
        Session
            One that does not compute on the device says so in its `fallbacks`, and is not looked
            at: what runs on the CPU was verified there.

        Raises
        ------
        ExportError
            It gives another picture on this device, or none; the message has the figure.
        """
        if device.is_cpu or runtime.carries_proof:
            return opened()
        device.require()
        key = self._key(runtime, device)
        if was_verified(key):
            return opened()
        expected = self._pictures()
        session = opened()
        if session.fallbacks:
            return session
        logger.info("%s by %s: first used here, held against the CPU", device.name, runtime.name)
        for case, picture in expected:
            self._require_same(case, picture, session, runtime, device)
        remember_verified(key)
        return session

    def _key(self, runtime: Runtime, device: Device) -> str:
        described = machine.description()
        facts = {
            "model": self._model,
            "interface": self._interface,
            "tolerance": self._tolerance.name,
            "runtime": runtime.name,
            "versions": machine.versions("unifmir", "torch", *runtime.distributions),
            "device": device.name,
            "hardware": device.kind.hardware(device.index),
            "machine": [described[name] for name in ("processor", "system", "gpu", "driver")],
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _pictures(self) -> list[tuple[Case, Image]]:
        if self._expected is None:
            compute = self._on_cpu()
            shapes = verified_shapes(self._config, self._interface)
            # A batch of odd sizes, and the largest.
            sized = (SizedCase("fixed", shapes[2], ("random",)), SizedCase("fixed", shapes[-1]))
            real = sample(self._config.task).image
            self._expected = [
                (case, compute(case.image))
                for case in cases(self._config, self._interface, real, sized)
            ]
        return self._expected

    def _require_same(
        self, case: Case, expected: Image, session: Session, runtime: Runtime, device: Device
    ) -> None:
        try:
            run = with_memory_errors(session.run, device.name, runtime.out_of_memory)
            found = run(case.image)
        except NotImplementedError as error:  # PyTorch, of an operation that the device has not
            raise ExportError(f"{device.name} by {runtime.name} cannot run it: {error}") from error
        if found.shape != expected.shape:
            why = f"shape {found.shape}, on the CPU {expected.shape}"
        else:
            why = "; ".join(self._failures(expected, found))
        if why:
            shape = "x".join(map(str, case.image.shape))
            raise ExportError(
                f"{device.name} by {runtime.name} gives another picture than fp32 on the CPU for a "
                f"{case.source} image of {shape}: {why}. Nothing is restored with it: use --device "
                "cpu, or update its driver and libraries"
            )

    def _failures(self, expected: Image, found: Image) -> list[str]:
        row = interface_of(self._config)
        if row.axial and self._interface != "network":
            # The mean of two passes is a root, whose slope is infinite at 0.
            expected, found = np.square(expected), np.square(found)
        return self._tolerance.failures(compare(expected, found))
