"""The GPU an engine is built or run on, as far as it decides whether the engine fits."""

import platform
from dataclasses import dataclass

from unifmir.errors import BenchmarkError
from unifmir.json_values import JsonValues
from unifmir.machine import nvidia_driver


@dataclass(frozen=True, slots=True)
class Host(JsonValues):
    """A machine; what it does not have or does not tell is None."""

    system: str
    """`Linux` or `Windows`: engines of the full library do not travel between them."""
    gpu: str | None = None
    gpu_id: str | None = None
    """UUID of the card: two of one model may compute differently."""
    compute_capability: str | None = None
    """`8.6`."""
    cuda: str | None = None
    """Version that PyTorch, whose memory and streams the engine uses, was built for."""
    driver: str | None = None


def host() -> Host:
    """The machine this runs on, with its first GPU: CUDA_VISIBLE_DEVICES chooses which."""
    import torch

    system = platform.system()
    if not torch.cuda.is_available():
        return Host(system)
    card = torch.cuda.get_device_properties(0)
    return Host(
        system=system,
        gpu=card.name,
        gpu_id=str(getattr(card, "uuid", "")) or None,
        compute_capability=f"{card.major}.{card.minor}",
        cuda=torch.version.cuda,
        driver=nvidia_driver(),
    )


def require_gpu(here: Host, what: str) -> None:
    """Refuse to go on without a GPU.

    Raises
    ------
    BenchmarkError
        There is none. `what` says what needs it.
    """
    if here.gpu is None:
        raise BenchmarkError(
            f"{what} needs an NVIDIA GPU, and PyTorch finds no CUDA device here: run it on the "
            "machine that has one, with a PyTorch built for it"
        )
