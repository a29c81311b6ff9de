"""Compiling the C sources, and what can be called in them."""

import ctypes
import hashlib
import logging
from ctypes import POINTER, c_float, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unifmir.atomic import temporary_folder, working_folder
from unifmir.errors import ExportError, MissingExtraError, UntrustedError
from unifmir.machine import processor_features
from unifmir.native.compilers import Compiler, find_compiler
from unifmir.trusted_files import is_trusted, remember_own
from unifmir.user_folders import OTHERS_WRITE, make_private_folder, require_private, user_folder

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
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
        ("centre", c_void_p),
        ("proj_exact", c_void_p),
    )


class Conv(ctypes.Structure):
    """One convolution, as in conv.h."""

    _fields_ = (
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("weights", c_void_p),
        ("bias", c_void_p),
        ("after", c_int64),
        ("slope", c_float),
    )


class Planes(ctypes.Structure):
    """Channels of an image, as in resampling.c."""

    _fields_ = (
        ("first", c_void_p),
        ("plane", c_int64),
        ("channels", c_int64),
        ("height", c_int64),
        ("width", c_int64),
    )


class AttentionShape(ctypes.Structure):
    """Images whose windows attend, as in attention.c."""

    _fields_ = tuple(
        (name, c_int64)
        for name in ("images", "height", "width", "heads", "head_width", "shift", "bf16")
    )


@cache
def load_library(architecture: str = "native", options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Load the library, compiled if it has not been for this source, compiler and processor.

    Parameters
    ----------
    architecture : str
        `-march` of the compiler; `native` is the processor at hand.
    options : tuple of str
        Further ones of the compiler. `-DEMULATE_AMX` makes the library of tests, whose products in
        bf16 are AMX's in plain C.

    Raises
    ------
    MissingExtraError
        There is no C compiler.
    ExportError
        The compiler refuses the source.
    """
    compiler = find_compiler()
    arguments = [*_OPTIONS, compiler.target(architecture), *options]
    sources = sorted(SOURCES.glob("*.[ch]"))
    # Machines that share a home folder may differ in what `native` means.
    identity = [*compiler.command, *arguments, compiler.version, processor_features()]
    digest = hashlib.sha256("\0".join(identity).encode())
    for source in sources:
        digest.update(source.read_bytes())
    name = f"unifmir-{digest.hexdigest()[:24]}.so"
    build = _Build(compiler, [*arguments, *(str(one) for one in sources if one.suffix == ".c")])
    return _declared(_kept(name, build) or _passing(name, build))


@dataclass(frozen=True, slots=True)
class _Build:
    """How the library is made."""

    compiler: Compiler
    arguments: list[str]

    def run(self, out: Path) -> None:
        logger.info(
            "compiling the kernels for the CPU with %s, once on this machine", self.compiler.name
        )
        _compile(self.compiler, self.arguments, out)
        logger.debug("the kernels are compiled")


def _kept(name: str, build: _Build) -> ctypes.CDLL | None:
    """The library from the user's folder, made there where it is not; None if it cannot be kept.

    It is native code: only what this user's own record names, by its hash, is loaded. The record
    holds the name too, so that no other library of this user serves in its place.
    """
    path = user_folder(CACHE, "cache", "kernels") / name
    try:
        make_private_folder(path.parent)
        if not _is_own(path):
            with working_folder(path.parent) as folder:
                made = folder / name
                build.run(made)
                made.chmod(0o600)
                remember_own(_mark(made))
                made.replace(path)
        return ctypes.CDLL(str(path))
    except (OSError, UntrustedError) as error:
        logger.warning(
            "the kernels are compiled again in every process: %s. The environment variable %s "
            "names another folder for them",
            error,
            CACHE,
        )
        return None


def _is_own(path: Path) -> bool:
    """Whether a library was compiled by this user, and is as it was then."""
    try:
        require_private(path, OTHERS_WRITE)
        return is_trusted(_mark(path))
    except FileNotFoundError:
        return False
    except UntrustedError as error:
        logger.info("%s; the kernels are compiled anew", error)
        return False


def _mark(path: Path) -> str:
    """SHA-256 of a library and its name, which says of what source, compiler and processor."""
    return hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest()


def _passing(name: str, build: _Build) -> ctypes.CDLL:
    """The library for this process alone: its file is gone once it is loaded."""
    try:
        with temporary_folder() as folder:
            path = folder / name
            build.run(path)
            return ctypes.CDLL(str(path))
    except OSError as error:
        raise ExportError(
            f"the compiled kernels cannot be loaded ({error}); use another runtime, or set "
            f"{CACHE} to a folder of a disk that programs may be run from"
        ) from error


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


def instructions_of_bf16() -> str:
    """Name of the instructions that multiply in bf16 here, as /proc/cpuinfo has it.

    `amx_bf16` where the processor has it and the system lets this process use it, else
    `avx512_bf16`.

    Raises
    ------
    MissingExtraError
        The processor does not multiply in bf16, or there is no C compiler.
    """
    require("bf16")
    return "amx_bf16" if load_library().has_amx() else "avx512_bf16"


def compiler_version() -> str:
    """First line of what the C compiler says of its version."""
    return find_compiler().version


def _compile(compiler: Compiler, arguments: list[str], out: Path) -> None:
    with temporary_folder(otherwise=out.parent) as folder:
        result = compiler.run([*arguments, "-o", str(out)], folder)
    if result.returncode:
        raise ExportError(
            f"{compiler.name} cannot compile the native kernels; expected GCC 10, Clang 12 or Zig "
            f"0.13 or newer. Use another runtime, or report this:\n{result.stderr[:2000]}"
        )


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Types of the functions, so that calls cannot pass something else."""
    images = (c_void_p, c_int64, c_int64, c_int64, c_int64)  # pointer, plane, n, height, width
    lib.swin_work.argtypes = (POINTER(Block),)
    lib.conv_work.argtypes = (POINTER(Conv),)
    lib.swin_work.restype = lib.conv_work.restype = c_int64
    lib.has_bf16.restype = lib.has_amx.restype = c_int64
    lib.swin_block.argtypes = (POINTER(Block), *images, c_int64, c_void_p, c_void_p, c_void_p)
    lib.norm_images.argtypes = (
        c_void_p, c_int64, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_void_p,
    )  # fmt: skip
    rest = (*images, c_void_p, c_void_p, c_int64, c_void_p, c_void_p)
    lib.conv_images.argtypes = (POINTER(Conv), *rest)
    lib.winograd_images.argtypes = (POINTER(Conv), c_void_p, *rest)
    lib.winograd_kernel.argtypes = (POINTER(Conv), c_void_p, c_void_p)
    lib.winograd_kernel_size.argtypes = (POINTER(Conv),)
    lib.winograd_work.argtypes = (POINTER(Conv), c_int64)
    lib.winograd_kernel_size.restype = lib.winograd_work.restype = c_int64
    lib.winograd_images.restype = lib.winograd_kernel.restype = None
    if lib.has_bf16():
        lib.winograd_bf16_work.argtypes = (POINTER(Conv),)
        lib.winograd_bf16_work.restype = c_int64
        lib.winograd_bf16_images.argtypes = (POINTER(Conv), c_void_p, *rest)
        lib.amx_product.argtypes = (c_void_p, c_void_p, c_void_p)
        lib.winograd_bf16_images.restype = lib.amx_product.restype = None
    lib.prefer_large_pages.argtypes = (c_void_p, c_int64)
    lib.prefer_large_pages.restype = None
    planes = POINTER(Planes)
    lib.pool_images.argtypes = (planes, planes, planes, c_void_p, c_void_p)
    lib.resize_work.argtypes = (c_int64, c_int64)
    lib.resize_work.restype = c_int64
    lib.resize_images.argtypes = (planes, c_void_p, c_void_p, planes, c_void_p, c_void_p)
    lib.pool_images.restype = lib.resize_images.restype = None
    shape = POINTER(AttentionShape)
    lib.attention_work.argtypes = ()
    lib.attention_work.restype = c_int64
    lib.attend_images.argtypes = (shape, *[c_void_p] * 4)
    lib.attend_images_back.argtypes = (shape, *[c_void_p] * 6)
    lib.attend_images.restype = lib.attend_images_back.restype = None
    lib.swin_block.restype = lib.norm_images.restype = lib.conv_images.restype = None
    return lib
