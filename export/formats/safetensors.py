"""safetensors: the single-task weights themselves, no code. The parent of every other artifact."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.config import MultiTaskConfig
from unifmir.errors import ExportError
from unifmir.export.base import Exporter, ExportJob
from unifmir.export.lineage import Lineage, lineage_of
from unifmir.hashing import sha256_of
from unifmir.model import Provenance, in_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.variants import stored_dtypes


class SafetensorsExporter(Exporter):
    """Weights in the precision's type, but for its islands; loading casts them to fp32 again."""

    name = "safetensors"
    suffix = ".safetensors"
    runtime = "eager"
    lacks_raw = "the file holds weights alone, and no scaling"

    def write(self, job: ExportJob, path: Path) -> dict[str, Any]:
        """Write the weights with the lineage beside the configuration.

        In fp32 and without an interface around it that is the parent of all artifacts, which
        lies in place already.
        """
        if not path.exists():
            dtypes = stored_dtypes(job.network, job.recipe)
            save(job.network, path, dtype=dtypes, metadata=job.lineage.to_strings())
        return {}

    @property
    def runnable_format(self) -> None:
        """Runtimes are given the module: None."""
        return

    @contextmanager
    def runnable(self, path: Path) -> Iterator[nn.Module]:
        """Yield the network, in fp32 and in the interface that the lineage names."""
        lineage = self.lineage(path)
        network = load_file(path, task=lineage.task)
        yield in_interface(network, lineage.interface)

    def lineage(self, path: Path) -> Lineage:
        """Lineage from the file's metadata; a pruned fp32 file is its own parent."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise ExportError(f"{path.name}: not a safetensors file ({error})") from error
        if "parent" in metadata:
            return Lineage.from_strings(metadata, path.name)
        config = load_file(path).config
        if isinstance(config, MultiTaskConfig):
            raise ExportError(f"{path.name} is a multi-task model; expected one that is pruned")
        parent = Provenance(path.name, sha256_of(path))
        return lineage_of(config, "image", Precision("fp32"), parent)


SAFETENSORS = SafetensorsExporter()
