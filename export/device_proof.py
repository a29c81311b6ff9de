"""Proof that a device gives the pictures of the CPU, before one is trusted to it.

Each model is looked at once on each device, by each runtime. What passed is remembered, signed with
the user's key, by the hash of all that decides it: the model, the runtime and the versions of its
libraries, the device, the hardware behind it and its driver. Where nothing tells the driver's
version, what passed is remembered for the week. What failed is looked at again the next time:
nothing but a picture tells that a driver was mended.
"""

import json
import logging
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np

from unifmir import machine
from unifmir.compare import RealImage, Tolerance, compare
from unifmir.config import SingleConfig
from unifmir.devices import Device
from unifmir.errors import ExportError
from unifmir.export.case_sizes import SizedCase, verified_shapes
from unifmir.export.cases import Case, cases
from unifmir.export.runtimes.base import Image, Runtime, Session
from unifmir.export.runtimes.out_of_memory import with_memory_errors
from unifmir.interfaces import InputKind, interface_of
from unifmir.restoration.base import Placement
from unifmir.samples import sample
from unifmir.trusted_files import remember_verified, was_verified

logger = logging.getLogger(__name__)

PlacedRun = Callable[[Image, Placement], Image]
"""Function of a tile and its place in the whole image, as `Predictor.run_placed`."""


class DeviceProof:
    """A model's pictures on the CPU, and whether a device gives the same.

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
        Gives the function that computes an image on the CPU, in fp64 where it can. Called where it
        is needed, before the model is opened on a device, which may move its weights there.
    """

    def __init__(
        self,
        model: str,
        config: SingleConfig,
        interface: InputKind,
        tolerance: Tolerance,
        on_cpu: Callable[[], Callable[[Image], RealImage]],
    ) -> None:
        self._model, self._config, self._interface = model, config, interface
        self._tolerance, self._on_cpu = tolerance, on_cpu
        self._expected: list[tuple[Case, RealImage]] | None = None

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
            self._require_same(case, picture, session.run, runtime, device)
        remember_verified(key)
        return session

    def require_placed(
        self,
        runtime: Runtime,
        device: Device,
        run: PlacedRun,
        on_cpu: Callable[[], Callable[[Image, Placement], RealImage]],
    ) -> None:
        """Hold a tile of a light field, told where it lies, against the CPU, as `opened` does.

        Tiles go through a module of their own, so that `opened` has seen none.

        Parameters
        ----------
        runtime : Runtime
        device : Device
        run : callable
            Computes a tile on the device.
        on_cpu : callable
            Gives the function that computes it on the CPU.

        Raises
        ------
        ExportError
            As of `opened`.
        """
        if device.is_cpu or runtime.carries_proof:
            return
        key = self._key(runtime, device, "placed tile")
        if was_verified(key):
            return
        whole = self._cases()[-1].image
        # Even numbers of lenses, other ones along each axis.
        tile = Case("real", np.ascontiguousarray(whole[..., 4:, 2:]), "fixed")
        place = Placement((4, 2), (whole.shape[-2], whole.shape[-1]))
        expected = on_cpu()(tile.image, place)
        self._require_same(tile, expected, lambda image: run(image, place), runtime, device)
        remember_verified(key)

    def _key(self, runtime: Runtime, device: Device, what: str = "whole images") -> str:
        year, week, _ = _today().isocalendar()
        facts = {
            "model": self._model,
            "what": what,
            "interface": self._interface,
            "tolerance": self._tolerance.name,
            "runtime": runtime.name,
            "versions": machine.versions("unifmir", "torch", *runtime.distributions),
            "device": device.name,
            "hardware": device.kind.hardware(device.index),
            "driver": device.kind.driver(device.index) or f"unknown, week {week} of {year}",
            "machine": [machine.processor(), platform.platform(), platform.version()],
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _pictures(self) -> list[tuple[Case, RealImage]]:
        if self._expected is None:
            compute = self._on_cpu()
            self._expected = [(case, compute(case.image)) for case in self._cases()]
        return self._expected

    def _cases(self) -> list[Case]:
        shapes = verified_shapes(self._config, self._interface)
        # A batch of odd sizes, and the largest.
        sized = (SizedCase("fixed", shapes[2], ("random",)), SizedCase("fixed", shapes[-1]))
        return cases(self._config, self._interface, sample(self._config.task).image, sized)

    def _require_same(
        self,
        case: Case,
        expected: RealImage,
        run: Callable[[Image], Image],
        runtime: Runtime,
        device: Device,
    ) -> None:
        try:
            found = with_memory_errors(run, device.name, runtime.out_of_memory)(case.image)
        except NotImplementedError as error:  # PyTorch, of an operation that the device has not
            raise ExportError(f"{device.name} by {runtime.name} cannot run it: {error}") from error
        if found.shape != expected.shape:
            why = f"shape {found.shape}, on the CPU {expected.shape}"
        else:
            why = "; ".join(self._failures(expected, found))
        if why:
            shape = "x".join(map(str, case.image.shape))
            raise ExportError(
                f"{device.name} by {runtime.name} gives another picture than the CPU for a "
                f"{case.source} image of {shape}: {why}. Nothing is restored with it: use --device "
                "cpu, or update its driver and libraries"
            )

    def _failures(self, expected: RealImage, found: Image) -> list[str]:
        row = interface_of(self._config)
        if row.axial and self._interface != "network":
            # The mean of two passes is a root, whose slope is infinite at 0.
            expected, found = np.square(expected), np.square(found)
        return self._tolerance.failures(compare(expected, found))


def _today() -> datetime:
    return datetime.now(UTC)
