"""Results on several numbers of threads."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def on_threads(call: Callable[[], Tensor], counts: Sequence[int]) -> list[Tensor]:
    """What a call gives on each number of PyTorch's threads, without gradients."""
    before, results = torch.get_num_threads(), []
    try:
        for threads in counts:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append(call())
    finally:
        torch.set_num_threads(before)
    return results
