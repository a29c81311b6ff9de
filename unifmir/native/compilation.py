"""Compiling the C sources, and what can be called in them."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from ctypes import POINTER, c_float, c_int64, c_void_p
from functools import cache
from pathlib import Path

from unifmir.atomic import writing
from unifmir.errors import ExportError, MissingExtraError
from unifmir.machine import processor_features
from unifmir.user_folders import user_folder

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
COMPILERS = ("cc", "gcc", "clang")
"""Tried in this order; the environment variable CC goes before them."""
CACHE = "UNIFMIR_NATIVE_CACHE"
"""Environment variable: folder of the compiled libraries, the user's cache folder otherwise."""
# No -ffast-math: NaN stays NaN. Contraction makes one rounding of a product and a sum.
_OPTIONS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared")


class Matrix(ctypes.Structure):
    """Packed weights and bias, as in swin.c."""

    _fields_ = (("weights", c_void_p), ("bias", c_void_p))


class Block(ctypes.Structure):
    """One Swin block, as in swin.c."""

    _fields_ = (
        ("channels", c_int64),
        ("heads", c_int64),
        ("width", c_int64),
        ("hidden", c_int64),
        ("bf16", c_int64),
        ("norm1", c_void_p),
        ("norm2", c_void_p),
        ("qkv", Matrix),
        ("proj", Matrix),
        ("fc1", Matrix),
        ("fc2", Matrix),
        ("position", c_void_p),
    )


class Conv(ctypes.Structure):
    """One convolution, as in conv.c."""

    _fields_ = (
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("weights", c_void_p),
        ("bias", c_void_p),
        ("bf16", c_int64),
        ("after", c_int64),
        ("slope", c_float),
    )


@cache
def load_library(architecture: str = "native") -> ctypes.CDLL:
    """Load the library, compiled if it has not been for this source, compiler and processor.

    Parameters
    ----------
    architecture : str
        `-march` of the compiler; `native` is the processor at hand.

    Raises
    ------
    MissingExtraError
        There is no C compiler.
    ExportError
        The compiler refuses the source.
    """
    compiler = _compiler()
    command = [compiler, *_OPTIONS, *_target(architecture)]
    sources = sorted(SOURCES.glob("*.[ch]"))
    # Machines that share a home folder may differ in what `native` means.
    identity = [*command, _version(compiler), processor_features()]
    digest = hashlib.sha256("\0".join(identity).encode())
    for source in sources:
        digest.update(source.read_bytes())
    path = user_folder(CACHE, "cache", "native") / f"unifmir-{digest.hexdigest()[:24]}.so"
    if not path.exists():
        logger.info("compiling the kernels for the CPU with %s, once on this machine", compiler)
        with writing(path) as aside:
            units = [str(source) for source in sources if source.suffix == ".c"]
            _compile([*command, *units, "-o", str(aside)])
        logger.debug("the kernels are in %s", path)
    return _declared(ctypes.CDLL(str(path)))


def require(precision: str = "fp32") -> None:
    """Compile, or raise what is missing.

    Raises
    ------
    MissingExtraError
        There is no C compiler; for "bf16", the processor does not multiply in it.
    """
    if not load_library().has_bf16() and precision == "bf16":
        raise MissingExtraError(
            "native kernels in bf16 need a processor with AVX512_BF16 (Intel from Cooper Lake or "
            "Sapphire Rapids on, AMD from Zen 4 on), which this one lacks: use fp32"
        )


def compiler_version() -> str:
    """First line of what the C compiler says of its version."""
    return _version(_compiler()).splitlines()[0]


def _compiler() -> str:
    wanted = [os.environ["CC"]] if os.environ.get("CC") else list(COMPILERS)
    for name in wanted:
        if found := shutil.which(name):
            return found
    raise MissingExtraError(
        f"the native kernels need a C compiler, and {' or '.join(wanted)} is not on PATH: install "
        "one (Debian: apt install gcc; macOS: xcode-select --install), or use another runtime"
    )


def _target(architecture: str) -> list[str]:
    # Clang on Apple's and other ARM processors knows the processor only by -mcpu.
    is_arm = platform.machine().lower() in ("arm64", "aarch64")
    return [f"-mcpu={architecture}" if is_arm else f"-march={architecture}"]


@cache
def _version(compiler: str) -> str:
    result = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return result.stdout


def _compile(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ExportError(
            f"{Path(command[0]).name} cannot compile the native kernels; expected GCC 10 or Clang "
            f"12 or newer. Use another runtime, or report this:\n{result.stderr[:2000]}"
        )


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Types of the functions, so that calls cannot pass something else."""
    images = (c_void_p, c_int64, c_int64, c_int64, c_int64)  # pointer, plane, n, height, width
    lib.swin_work.argtypes = (POINTER(Block),)
    lib.conv_work.argtypes = (POINTER(Conv),)
    lib.swin_work.restype = lib.conv_work.restype = lib.has_bf16.restype = c_int64
    lib.swin_block.argtypes = (POINTER(Block), *images, c_int64, c_void_p, c_void_p, c_void_p)
    lib.norm_images.argtypes = (
        c_void_p, c_int64, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_void_p,
    )  # fmt: skip
    lib.conv_images.argtypes = (
        POINTER(Conv), *images, c_void_p, c_void_p, c_int64, c_void_p, c_void_p,
    )  # fmt: skip
    lib.swin_block.restype = lib.norm_images.restype = lib.conv_images.restype = None
    return lib
