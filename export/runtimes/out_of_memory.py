"""One error for what each library raises when memory is short, and one when it fails."""

from collections.abc import Callable, Sequence

from unifmir.devices import device_named
from unifmir.errors import ExportError, TooLittleMemoryError, UnifmirError
from unifmir.export.runtimes.base import Image


def is_out_of_memory(error: Exception, told_by: Sequence[str]) -> bool:
    """Whether an error says that memory was short, by its class or by parts of its text."""
    return isinstance(error, MemoryError) or any(part in str(error).lower() for part in told_by)


def with_memory_errors(
    run: Callable[[Image], Image], device: str, told_by: Sequence[str]
) -> Callable[[Image], Image]:
    """Wrap a function: short memory is a TooLittleMemoryError, whatever library tells it.

    What else a library raises becomes an ExportError; errors of Python's own, which are ours or
    faults, stay what they are.

    Parameters
    ----------
    run : callable
        Restores an image.
    device : str
        A name in full.
    told_by : sequence of str
        Parts of the errors, in lower case: `Runtime.out_of_memory`.
    """

    def guarded(image: Image) -> Image:
        try:
            return run(image)
        except Exception as error:  # the libraries' exceptions share no base but Exception
            told = str(error)
            if not is_out_of_memory(error, told_by):
                of_library = type(error) is RuntimeError or type(error).__module__ != "builtins"
                if isinstance(error, UnifmirError) or not of_library:
                    raise
                shape = "x".join(map(str, image.shape))
                raise ExportError(
                    f"the model failed on an input of {shape} on {device}: {told[:500]}"
                ) from error
        # Here the error is gone, and with it the tensors that its traceback held.
        device_named(device).empty_cache()
        shape = "x".join(map(str, image.shape))
        raise TooLittleMemoryError(
            f"{device} has too little memory for an input of {shape}: {told}"
        )

    return guarded
