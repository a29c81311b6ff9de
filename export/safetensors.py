"""safetensors: the single-task weights themselves, no code. The parent of every other artifact."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from unifmir import checkpoint
from unifmir.errors import ExportError
from unifmir.export.base import ExportJob, Lineage, Runner, Variant
from unifmir.model import image_interface

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class SafetensorsExporter:
    """Weights in the precision's type; loading casts them to fp32 again."""

    name = "safetensors"
    suffix = ".safetensors"
    variants: tuple[Variant, ...] = ("stored",)
    wrapped_only = False

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the network's weights with the lineage beside the configuration."""
        checkpoint.save(
            job.network,
            path,
            dtype=DTYPES[job.plan.precision],
            metadata=job.lineage.to_strings(),
        )

    def runner(self, path: Path) -> Runner:
        """PyTorch on the CPU, in fp32."""
        lineage = self.lineage(path)
        network = checkpoint.load_file(path, task=lineage.task)
        module = image_interface(network) if lineage.interface == "image" else network

        def run(image: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                restored: np.ndarray = module(torch.from_numpy(image)).numpy()
            return restored

        return run

    def lineage(self, path: Path) -> Lineage:
        """From the file's metadata."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise ExportError(f"{path.name}: not a safetensors file ({error})") from error
        return Lineage.from_strings(metadata, path.name)


SAFETENSORS = SafetensorsExporter()
