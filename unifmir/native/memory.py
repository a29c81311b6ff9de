"""Memory and threads of the C code."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from unifmir.native.compilation import Matrix, load_library

GAP = 272
"""Floats between two channels of an image: 17 lines of a cache."""
LARGE = 1 << 22
"""Bytes from which memory is asked for in large pages."""
Images = Float32[Tensor, "n c h w"]
_memory = threading.local()


class Packed(nn.Module):
    """Holds packed weights as buffers, so that they are copied and pickled like others."""

    def __init__(self, parts: dict[str, Tensor]) -> None:
        super().__init__()
        for name, values in parts.items():
            self.register_buffer(name, values.detach(), persistent=False)

    def pointer(self, name: str) -> int:
        """Address of a buffer."""
        return cast(Tensor, getattr(self, name)).data_ptr()

    def matrix(self, name: str) -> Matrix:
        """A matrix with its bias."""
        return Matrix(self.pointer(name), self.pointer(f"{name}_bias"))


def empty(shape: Sequence[int] | int) -> Float32[Tensor, "..."]:
    """Memory for images, any values in it, in large pages where the system has them.

    A volume's features of 75 MB, touched for the first time in pages of 4 KB, took a quarter of the
    time of the convolution that wrote them. PyTorch can do so itself (`THP_MEM_ALLOC_ENABLE`), but
    by a variable of the whole process, which has to be set before it allocates anything.
    """
    images = torch.empty(shape)
    if images.nbytes >= LARGE:
        load_library().prefer_large_pages(images.data_ptr(), images.nbytes)
    return images


def empty_planes(shape: Sequence[int]) -> Images:
    """Memory for images, any values in it, with a gap between two channels.

    Without it, at sides that are powers of two, the channels of a pixel fall into the same few
    lines of a cache, which then holds none of them.
    """
    n, channels, height, width = shape
    plane = height * width + GAP
    flat = empty(n * channels * plane)
    return flat.as_strided((n, channels, height, width), (channels * plane, plane, width, 1))


def lies_in_planes(image: Images) -> bool:
    """Whether an image of any range lies as the C code reads it.

    That is, with its channels at equal distances, and rows joined.
    """
    n, channels, _, width = image.shape
    plane = image.stride(1)
    return image.stride() == (channels * plane, plane, width, 1) and n > 0


def floats(count: int, use: str = "work") -> int:
    """Address of memory for this thread and use, kept from call to call."""
    held: Tensor | None = getattr(_memory, use, None)
    if held is None or held.numel() < count:
        held = torch.empty(count)
        setattr(_memory, use, held)
    return held.data_ptr()


def on_all_threads(work: Callable[[], None]) -> None:
    """Call `work` on as many threads as PyTorch would use; they share a counter of what is done.

    ctypes gives the interpreter's lock back while C runs.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        work()
        return
    for done in [_pool(threads).submit(work) for _ in range(threads)]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="unifmir-native")
