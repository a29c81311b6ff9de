"""One error for what each library raises when memory is short."""

from collections.abc import Callable

from unifmir.export.runtimes.base import Image, is_cuda

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "failed to allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
)
"""What PyTorch, ONNX Runtime, OpenVINO, cuDNN and cuBLAS say, in lower case."""


def with_memory_errors(run: Callable[[Image], Image], device: str) -> Callable[[Image], Image]:
    """The same function, with MemoryError for what each library raises when memory is short."""

    def guarded(image: Image) -> Image:
        try:
            return run(image)
        except Exception as error:  # the libraries' exceptions share no base but Exception
            told = str(error)
            if not isinstance(error, MemoryError) and not _is_memory(told):
                raise
        # Here the error is gone, and with it the tensors that its traceback held.
        if is_cuda(device):
            import torch

            torch.cuda.empty_cache()
        shape = "x".join(map(str, image.shape))
        raise MemoryError(f"{device} has too little memory for an input of {shape}: {told}")

    return guarded


def _is_memory(told: str) -> bool:
    lower = told.lower()
    return any(part in lower for part in _OUT_OF_MEMORY)
