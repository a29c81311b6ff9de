"""The subject: what one row of a benchmark times."""

from dataclasses import dataclass
from math import prod

from unifmir.json_values import JsonValues


@dataclass(frozen=True, slots=True)
class Subject(JsonValues):
    """One thing that is timed: a model for a task, on one image size, in one runtime."""

    model: str
    """Zoo id, name of a reference model, or file name."""
    task: str
    runtime: str
    """Name in `unifmir.export.runtimes.RUNTIMES`."""
    precision: str
    """`fp32`, `fp16` (weights in two bytes, fp32 arithmetic), `fp16-compute`, `bf16`..."""
    device: str
    """`cpu` or `cuda:0`."""
    workload: str
    """`patch`, `batch` of them, `image`, `paper`, or `sweep-N` for the Nth size of a sweep."""
    input_shape: tuple[int, ...]
    """Shape that the image interface reads, batch first."""

    @property
    def key(self) -> str:
        """Unique in a results file, and the same in another run of the same plan."""
        shape = "x".join(map(str, self.input_shape))
        how = f"{self.model}/{self.runtime}/{self.precision}/{self.device}"
        return f"{self.task}/{self.workload}/{shape}/{how}"

    @property
    def pixels(self) -> int:
        """Pixels (or voxels) of the images that go in."""
        return prod(self.input_shape)
