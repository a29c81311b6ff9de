"""Options of an engine beyond the model, its precision and its interface."""

from dataclasses import dataclass, field
from pathlib import Path

from unifmir.errors import ExportError
from unifmir.export.runtimes.tensorrt.library import TARGETS

LEVELS = range(6)


def _option(flag: str, text: str) -> dict[str, str]:
    """Metadata of a field that is also an option of `unifmir export`."""
    return {"flag": flag, "help": text}


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of the `tensorrt` format."""

    profile: str = field(
        default="",
        metadata=_option(
            "--profile",
            "MIN,OPT,MAX shapes of the input, such as "
            "1x1x8x8,1x1x128x128,4x1x256x256; the task's own if not given.",
        ),
    )
    """`MIN,OPT,MAX`, three shapes of the whole input; the task's own when empty."""
    builder_level: int = field(
        default=3,
        metadata=_option(
            "--builder-level",
            "0 to 5, how long kernels are searched for; 3 if not given.",
        ),
    )
    """0 to 5: how long kernels are searched for. 3 is TensorRT's own choice."""
    timing_cache: Path | None = field(
        default=None,
        metadata=_option(
            "--timing-cache", "File of kernel timings, made or taken up and added to."
        ),
    )
    """Kernel timings to start from, and to write back: a second build takes a fraction of the
    time. Of `tensorrt`; `tensorrt-rtx` has none."""
    workspace_mib: int | None = field(
        default=None,
        metadata=_option("--workspace", "MiB that a kernel may use; all if not given."),
    )
    """Memory that a kernel may use beside its data; the GPU's when None."""
    targets: tuple[str, ...] = field(
        default=(),
        metadata=_option(
            "--target", "tensorrt-rtx: compute capability to build for, such as 8.6; repeatable."
        ),
    )
    """Compute capabilities to build for, such as `8.6`, on any machine: `tensorrt-rtx` only."""
    unverified: bool = field(
        default=False,
        metadata=_option(
            "--unverified-engine",
            "tensorrt-rtx: build an engine without running it, on any machine. It is "
            "verified when it is first loaded on the GPU.",
        ),
    )
    """Publish an engine that was not run: it is verified where it is first loaded."""

    def __post_init__(self) -> None:
        if self.builder_level not in LEVELS:
            raise ExportError(
                f"builder level {self.builder_level}: expected {LEVELS[0]} to {LEVELS[-1]}"
            )
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise ExportError(f"workspace {self.workspace_mib} MiB: expected 1 or more")
        for target in self.targets:
            if target not in TARGETS:
                raise ExportError(
                    f"target {target!r}: tensorrt-rtx builds for compute capability "
                    f"{', '.join(TARGETS)}"
                )

    def arguments(self) -> list[str]:
        """The options of `unifmir export` that ask for the same, without the profile."""
        found = ["--builder-level", str(self.builder_level)]
        if self.workspace_mib is not None:
            found += ["--workspace", str(self.workspace_mib)]
        if self.timing_cache is not None:
            found += ["--timing-cache", str(self.timing_cache)]
        for target in self.targets:
            found += ["--target", target]
        return [*found, "--unverified-engine"] if self.unverified else found
