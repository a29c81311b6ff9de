"""A toy format and a toy runtime: all that adding one of each takes, for tests."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.base import HostSession, Image, Runtime, Session, is_cuda
from unifmir.model import image_interface
from unifmir.precision.element_types import Precision

HERE = "tests.helpers.new_format_and_runtime"
SHORT_OF_MEMORY = "the toy box is full"


class ToyFormat(Exporter):
    """Weights under another name."""

    name = "toy-format"
    suffix = ".toy"
    runtime = "toy-runtime"

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Save the weights with the lineage beside them."""
        save(job.network, path, metadata=job.lineage.to_strings())
        return {"toy": True}

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the file's metadata."""
        with safe_open(path, "pt") as file:
            return Lineage.from_strings(file.metadata() or {}, path.name)


class ToyRuntime(Runtime):
    """Runs the files of the toy format."""

    name = "toy-runtime"
    format = "toy-format"
    body_maps = 5
    out_of_memory = (SHORT_OF_MEMORY,)
    gain = 1.0
    """Factor of the result, to make it wrong."""

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Nothing but fp32 on the CPU."""
        return () if is_cuda(device) else (Precision("fp32"),)

    def open(self, source: nn.Module | Path, *, device: str, threads: int) -> Session:
        """Load the weights."""
        path = self.file_from(source)
        lineage = TOY_FORMAT.lineage(path)
        network = load_file(path, task=lineage.task)
        module = image_interface(network) if lineage.interface == "image" else network

        def compute(image: Image) -> Image:
            if image.size > 10**6:
                raise ExportError(f"sorry, {SHORT_OF_MEMORY}")
            with torch.inference_mode():
                restored: Image = module(torch.from_numpy(image)).numpy() * self.gain
            return restored

        ran = {"library": "toy", "version": "1", "provider": "toy", "device": device}
        facts = {"threads": threads, "tf32": False, "element_type": "float32"}
        return HostSession(compute, ran | facts)


TOY_FORMAT, TOY_RUNTIME = ToyFormat(), ToyRuntime()
