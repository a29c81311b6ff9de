"""Outputs of the fp32 PyTorch module for the cases of a verification."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from unifmir.export.case_sizes import SizedCase, usual_cases
from unifmir.export.cases import Case, cases
from unifmir.export.verification_report import CaseResult
from unifmir.interfaces import InputKind
from unifmir.model import in_fp64, in_interface
from unifmir.networks.base import Network
from unifmir.networks.interface import IsotropicInterface
from unifmir.precision.planning import Trial
from unifmir.restoration.raw_interface import RawInterface


@dataclass(frozen=True, slots=True)
class Expected:
    """Output of the fp32 module for one case."""

    case: Case
    output: np.ndarray
    deviation: np.ndarray | None = None
    """isotropic: what a deviation of one in each pass makes of the output's square, per voxel."""
    offset: np.ndarray | float = 0.0
    """isotropic: what was added to the output's root, per image."""


class ExpectedOutputs:
    """The fp32 module and its outputs, computed once for all artifacts that share an interface.

    Parameters
    ----------
    network : Network
        In fp32, of a single task.
    real : ndarray
        A raw image in the task's input axes.
    seed : int, optional
        From which new sizes are drawn; None: one that nobody knew before.
    """

    def __init__(self, network: Network, real: np.ndarray, *, seed: int | None = None) -> None:
        self.network = network
        self.real = real
        self.seed = secrets.randbits(32) if seed is None else seed
        self._done: dict[tuple[InputKind, tuple[SizedCase, ...]], list[Expected]] = {}
        self.results: dict[tuple[object, ...], tuple[CaseResult, ...]] = {}
        """Comparisons of files that were run, by all that decides them, for artifacts that hold
        the very same file."""

    def outputs(
        self,
        interface: InputKind,
        sized: Sequence[SizedCase],
        ran: Callable[[Case], None] = lambda _: None,
    ) -> list[Expected]:
        """Each verification case with what the fp32 module makes of it; `ran` is told of each."""
        fixed = tuple(one for one in sized if one.sizing == "fixed")
        others = tuple(one for one in sized if one.sizing != "fixed")
        return [*self._outputs(interface, fixed, ran), *self._outputs(interface, others, ran)]

    def trials(self, interfaces: Iterable[InputKind]) -> tuple[Trial, ...]:
        """Trials of a precision plan: the cases that are the same in every verification.

        Those of new sizes are left out, so that an export of one network has one plan.
        """
        return tuple(
            Trial(partial(in_interface, kind=interface), one.case.image, one.output)
            for interface in dict.fromkeys(interfaces)
            for one in self.outputs(interface, usual_cases(self.network.config, interface))
        )

    def _outputs(
        self, interface: InputKind, sized: tuple[SizedCase, ...], ran: Callable[[Case], None]
    ) -> list[Expected]:
        if (interface, sized) not in self._done:
            module = in_interface(self.network, interface)
            found = []
            for case in cases(self.network.config, interface, self.real, sized, seed=self.seed):
                found.append(expected_output(module, case))
                ran(case)
            self._done[interface, sized] = found
        return self._done[interface, sized]


def expected_output(module: nn.Module, case: Case) -> Expected:
    """Run a module on a case, on the device that the module is on."""
    with torch.inference_mode():
        device = next((one.device for one in module.parameters()), None)
        image = torch.from_numpy(case.image).to(device)
        if isinstance(module, IsotropicInterface):
            return Expected(case, *_root_of_passes(module, image))
        if isinstance(module, RawInterface) and isinstance(module.interface, IsotropicInterface):
            normalised, low, span = module.scaled(image)
            restored, deviation = _root_of_passes(module.interface, normalised)
            gain, offset = (
                value.cpu().numpy()[..., None, None, None]
                for value in module.line(
                    torch.from_numpy(restored).to(device), normalised, low, span
                )
            )
            return Expected(case, gain * restored + offset, np.square(gain) * deviation, offset)
        return Expected(case, module(image).cpu().numpy())


def exact_output(module: nn.Module, case: Case) -> Expected:
    """Run a copy of a module on a case in fp64 on the CPU, which rounds nothing that shows."""
    found = expected_output(in_fp64(module), replace(case, image=case.image.astype(np.float64)))
    return replace(found, case=case)


def _root_of_passes(
    module: IsotropicInterface, image: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """The interface's output, and its `Expected.deviation`."""
    passes = module.passes(image)
    first, second = (one.cpu().numpy()[:, None] for one in passes)
    deviation = np.abs(first) * second.std() + np.abs(second) * first.std()
    return module.mean(*passes).cpu().numpy(), deviation
