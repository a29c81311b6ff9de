"""A runtime: reads the toy format and runs it in PyTorch on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unifmir.config import config_from_dict
from unifmir.devices import device_named
from unifmir.errors import ExportError
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.base import HostSession, Image, Runtime, Session
from unifmir.model import build, image_interface
from unifmir.precision.element_types import Precision


class ToyRuntime(Runtime):
    """Runs a file of the toy format."""

    name = "toy-runtime"
    format = "toy-format"

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Only fp32, only on the CPU."""
        return (Precision("fp32"),) if device_named(device).is_cpu else ()

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Build the network of the lineage and fill it."""
        lineage, weights = read_toy(self.file_from(source))
        network = build(config_from_dict(lineage.config))
        network.load_state_dict(weights)
        module = image_interface(network) if lineage.interface == "image" else network

        def compute(image: Image) -> Image:
            with torch.inference_mode():
                restored: Image = module(torch.from_numpy(image)).numpy()
            return restored

        ran: dict[str, Any] = {
            "library": "toy",
            "version": "1",
            "provider": "toy",
            "device": device,
            "threads": threads,
            "tf32": False,
            "element_type": "float32",
        }
        return HostSession(compute, ran)


def read_toy(path: Path) -> tuple[Lineage, dict[str, Tensor]]:
    """Lineage and weights of an archive; ExportError if it is none."""
    try:
        with np.load(path) as archive:
            content = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise ExportError(f"{path.name}: not a NumPy archive ({error})") from error
    strings = {k.partition(" ")[2]: str(v) for k, v in content.items() if k.startswith("lineage ")}
    weights = {
        k.partition(" ")[2]: torch.from_numpy(v)
        for k, v in content.items()
        if k.startswith("weight ")
    }
    return Lineage.from_strings(strings, path.name), weights


TOY_RUNTIME = ToyRuntime()
