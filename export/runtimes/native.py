"""The CPU kernels of `unifmir.native`, in fp32 and in bf16."""

import logging
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from unifmir import native
from unifmir.compare import LOW_PRECISION, compare
from unifmir.devices import device_named
from unifmir.errors import ExportError
from unifmir.export.cases import calibration_inputs
from unifmir.export.runtimes.base import STORED, Runtime, Session
from unifmir.export.runtimes.pytorch import prepare_device, session_of
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.samples import sample

logger = logging.getLogger(__name__)


class NativeRuntime(Runtime):
    """A module with its slow parts in C.

    In bf16 it is held to the acceptance of low precision when it is opened, on crops of the task's
    sample that the weights were not rounded for: what a kernel computes in is its own, so no plan
    made for another runtime speaks for it. Where convolutions in bf16 miss it, they stay in fp32.
    """

    body_maps = 6

    def __init__(self, name: str, arithmetic: str, *, cpu_rank: int) -> None:
        self.name = name
        self.arithmetic = arithmetic
        self.own_arithmetic = arithmetic != "fp32"
        # Where a tile lies is told to the fp32 network only.
        self.places_tiles = not self.own_arithmetic
        self.cpu_rank = cpu_rank

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Weights in any precision and fp32 arithmetic, or bf16 arithmetic; nothing on GPUs."""
        if not device_named(device).is_cpu:
            return ()
        return (Precision(self.arithmetic, self.arithmetic),) if self.own_arithmetic else STORED

    def require(self) -> None:
        """Compile the kernels; MissingExtraError where there is no compiler, or no bf16."""
        native.require(self.arithmetic)

    def instructions(self) -> str:
        """`amx_bf16` or `avx512_bf16`; in fp32 the compiler chooses."""
        return native.instructions_of_bf16() if self.own_arithmetic else ""

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Pack the weights."""
        module = self.module_from(source)
        self.require_cpu(device)
        prepare_device(device, threads)
        network = module if isinstance(module, Network) else cast(Network, module.network)
        fast = cast(Network, self.prepare(network))
        known = {
            "library": "unifmir.native",
            # Other instructions sum in another order: they are part of what ran.
            "provider": ", ".join(filter(None, (native.compiler_version(), self.instructions()))),
            "element_type": self.arithmetic,
        }
        return session_of(fast if module is network else image_interface(fast), device, known)

    def prepare(self, module: nn.Module) -> nn.Module:
        """The network with its kernels; ExportError where bf16 is not the same picture."""
        network = cast(Network, module)
        if not self.own_arithmetic:
            return native.accelerate(network)
        task = network.config.task
        crops = calibration_inputs(network.config, "network", [sample(task).image])
        example, others = torch.cat(crops[::2]), crops[1::2]
        for convolutions in ("bf16", "fp32"):
            fast = native.accelerate(
                network, precision=self.arithmetic, convolutions=convolutions, example=example
            )
            failures = _failures(network, fast, others)
            if not failures:
                return fast
            logger.debug("%s: %s, with convolutions in %s", task, failures[0], convolutions)
        raise ExportError(
            f"{task} in {self.arithmetic} is not the same picture as in fp32 on the task's "
            f"sample: {'; '.join(failures)}. Use fp32"
        )


def _failures(network: Network, fast: Network, images: list[Float32[Tensor, "..."]]) -> list[str]:
    """Find what is wrong with the first image that is not the same picture; empty where all are."""
    with torch.inference_mode():
        for image in images:
            found = compare(network(image).numpy(), fast(image).numpy())
            if failures := LOW_PRECISION.failures(found):
                return failures
    return []


NATIVE = NativeRuntime("native", "fp32", cpu_rank=0)
NATIVE_BF16 = NativeRuntime("native-bf16", "bf16", cpu_rank=1)
