"""Which TensorRT there is, and whether this project can use it."""

import importlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unifmir.errors import MissingExtraError

logger = logging.getLogger(__name__)

FULL, RTX = "tensorrt", "tensorrt_rtx"
OLDEST = {FULL: (10, 12), RTX: (1, 7)}
"""tensorrt 10.12 is the first whose parser types a network by its ONNX file as version 11 does;
tensorrt-rtx is tested from 1.7 on."""
TARGETS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that tensorrt-rtx 1.7 builds for. Hopper (9.0) is not among them."""
RTX_DEFAULT = ("8.0", "8.6", "8.9", "12.0")
"""Targets of tensorrt-rtx when none is named: these and, says NVIDIA, later ones."""
INSTALL = {
    FULL: "pip install 'unifmir[tensorrt]' on a machine with an NVIDIA GPU",
    RTX: "pip install 'unifmir[tensorrt-rtx]'",
}


@dataclass(frozen=True, slots=True)
class Library:
    """A TensorRT that can be imported."""

    name: str
    """`tensorrt` or `tensorrt_rtx`: the module."""
    version: str
    api: Any
    """The module itself. Published without type information."""

    @property
    def rtx(self) -> bool:
        """Whether it builds for GPUs that are not there, and has no timing cache."""
        return self.name == RTX


class Log:
    """Log of a library while it works: its errors go into ours.

    Use `Log(api).handle` where TensorRT wants a logger.
    """

    def __init__(self, api: Any) -> None:
        self.errors: list[str] = []
        said, severities = self.errors, (api.ILogger.ERROR, api.ILogger.INTERNAL_ERROR)

        class Handle(api.ILogger):  # type: ignore[misc]  # its base is known at run time only
            def __init__(self) -> None:
                api.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if severity in severities:
                    said.append(msg.strip())
                logger.debug("%s: %s", api.__name__, msg)

        self.handle = Handle()

    @property
    def text(self) -> str:
        """The errors as one text; what to say when there are none."""
        return "; ".join(dict.fromkeys(self.errors)) or "it gave no reason"


def library(*names: str) -> Library:
    """The first usable library.

    Parameters
    ----------
    *names : str
        `tensorrt`, `tensorrt_rtx`, in the order of preference; both if none is given.

    Raises
    ------
    MissingExtraError
        None can be used: says why of each, and what to install.
    """
    problems: list[str] = []
    for found in _found(names or (FULL, RTX), problems):
        return found
    raise MissingExtraError("no usable TensorRT:\n  " + "\n  ".join(problems))


def _found(names: tuple[str, ...], problems: list[str]) -> Iterator[Library]:
    for name in names:
        try:
            api = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            # OSError: the bindings without the library; RuntimeError: PyPI's placeholder.
            problems.append(f"{name}: {_one_line(error)}; {INSTALL[name]}")
            continue
        version = str(getattr(api, "__version__", "0"))
        oldest = OLDEST[name]
        if _numbers(version) < oldest:
            wanted = ".".join(map(str, oldest))
            problems.append(f"{name} {version}: expected {wanted} or newer; {INSTALL[name]}")
            continue
        yield Library(name, version, api)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
