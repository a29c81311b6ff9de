"""The CPU kernels of `unifmir.native`, in fp32 and in bf16."""

from pathlib import Path
from typing import cast

import torch
from torch import nn

from unifmir import native
from unifmir.compare import LOW_PRECISION, compare
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.cases import calibration_inputs
from unifmir.export.runtimes.base import HostSession, Image, Session, is_cuda
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.samples import sample

_STORED = ("fp32", "fp16", "bf16")


class NativeRuntime:
    """A module with its slow parts in C.

    In bf16 it is held to the acceptance of low precision on the task's sample when it is opened:
    what a kernel computes in is its own, so no plan made for another runtime speaks for it.
    """

    format = None

    def __init__(self, name: str, arithmetic: str) -> None:
        self.name = name
        self.arithmetic = arithmetic
        self.own_arithmetic = arithmetic != "fp32"

    def precisions(self, device: str) -> tuple[str, ...]:
        """Weights in any precision and fp32 arithmetic, or bf16 arithmetic; nothing on GPUs."""
        if is_cuda(device):
            return ()
        return (f"{self.arithmetic}-compute",) if self.own_arithmetic else _STORED

    def require(self) -> None:
        """Compile the kernels; MissingExtraError where there is no compiler, or no bf16."""
        native.require(self.arithmetic)

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Pack the weights."""
        if not isinstance(source, nn.Module):
            raise BenchmarkError(f"{self.name} runs a module, not a file: {source.name}")
        if is_cuda(device):
            raise BenchmarkError(f"{self.name} does not run on {device}: use --device cpu")
        torch.set_num_threads(threads)
        network = source if isinstance(source, Network) else cast(Network, source.network)
        fast = self._accelerated(network)
        module = fast if source is network else image_interface(fast)

        def compute(image: Image) -> Image:
            with torch.inference_mode():
                restored: Image = module(torch.from_numpy(image)).numpy()
            return restored

        ran = {
            "library": "unifmir.native",
            "version": torch.__version__,
            "provider": native.compiler(),
            "device": "cpu",
            "threads": threads,
            "tf32": False,
            "element_type": self.arithmetic,
        }
        return HostSession(compute, ran)

    def _accelerated(self, network: Network) -> Network:
        if not self.own_arithmetic:
            return native.accelerate(network)
        task = network.config.task
        inputs = calibration_inputs(network.config, "network", [sample(task).image])
        fast = native.accelerate(network, precision=self.arithmetic, example=torch.cat(inputs))
        with torch.inference_mode():
            for image in inputs:
                found = compare(network(image).numpy(), fast(image).numpy())
                if failures := LOW_PRECISION.failures(found):
                    raise ExportError(
                        f"{task} in {self.arithmetic} is not the same picture as in fp32 on the "
                        f"task's sample: {'; '.join(failures)}. Use fp32"
                    )
        return fast


NATIVE = NativeRuntime("native", "fp32")
NATIVE_BF16 = NativeRuntime("native-bf16", "bf16")
