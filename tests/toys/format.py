"""An export format: the weights as a NumPy archive, for the toy runtime."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.toys.runtime import read_toy
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.lineage import Lineage
from unifmir.hashing import sha256_of
from unifmir.trusted_files import remember_own


class ToyExporter(Exporter):
    """Writes every weight in float32, with the lineage as strings beside them."""

    name = "toy-format"
    suffix = ".toy.npz"
    runtime = "toy-runtime"

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the archive."""
        weights = {f"weight {k}": v.numpy() for k, v in job.network.state_dict().items()}
        lineage = {f"lineage {k}": np.array(v) for k, v in job.lineage.to_strings().items()}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **weights, **lineage)
        remember_own(sha256_of(path))
        return {"weights": len(weights)}

    def lineage(self, path: Path) -> Lineage:
        """Lineage in the archive."""
        return read_toy(path)[0]


TOY_FORMAT = ToyExporter()
