"""AMX: its emulation against Intel's manual, the kernels on it, and which path is said to run."""

import ctypes
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.native_marks import compute_with, needs_bf16, needs_compiler
from unifmir import machine
from unifmir.compare import LOW_PRECISION, compare
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.export.runtimes import RUNTIMES
from unifmir.interfaces import shape_of
from unifmir.model import build
from unifmir.native import accelerate, compilation
from unifmir.native.compilers import find_compiler
from unifmir.native.convolutions import NativeWinogradBf16
from unifmir.native.memory import empty_planes
from unifmir.native.swin_body import NativeBlock
from unifmir.networks.swin import SwinBlock
from unifmir.tasks import TASKS
from unifmir.zoo.doctor import checkups
from unifmir.zoo.restore.restored_file import model_identity

TILE = 16
LEAST = np.finfo(np.float32).tiny
MADE_FOR_AMX = ("-mamx-tile", "-mamx-bf16")
KERNELS = sorted(str(path) for path in compilation.SOURCES.glob("*.c"))
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's way of signals")
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64")


def bf16(values):
    """Nearest bf16 numbers, as float32."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).bfloat16().float().numpy()


def flushed(values):
    return np.where(np.abs(values) < LEAST, np.copysign(np.float32(0), values), values)


def as_manual_says(a, b, sums):
    """Sums + a . b of (16, 32), (32, 16) and (16, 16) float32, rounded in the order of TDPBF16PS.

    In float64 a product of two bf16 numbers is exact, and so is its sum with a float32 number of
    about its size: rounding that is what a fused addition does.
    """
    a, b = flushed(a).astype(np.float64), flushed(b)
    parts = []
    for first in (0, 1):
        part = np.zeros((TILE, TILE), dtype=np.float32)
        for k in range(first, 2 * TILE, 2):
            part = flushed((a[:, k : k + 1] * b[k] + part).astype(np.float32))
        parts.append(part)
    return flushed(flushed(sums) + flushed(parts[0] + parts[1]))


def product(library, a, b, sums):
    """The library's product of these matrices."""
    # Pairs: two rows of b side by side.
    pairs = np.ascontiguousarray(b.reshape(TILE, 2, TILE).transpose(0, 2, 1))
    first, second = ((m.copy().view(np.uint32) >> 16).astype(np.uint16) for m in (a, pairs))
    out = np.array(sums, dtype=np.float32)
    library.amx_product(first.ctypes.data, second.ctypes.data, out.ctypes.data)
    return out


@pytest.fixture(params=["emulated", "processor"])
def library(request, emulated_amx):
    """The emulation; and the processor, on machines with AMX."""
    if request.param == "emulated":
        return emulated_amx
    if not compilation.load_library().has_amx():
        pytest.skip("this processor has no AMX")
    return compilation.load_library()


@needs_bf16
@pytest.mark.parametrize("seed", range(3))
def test_a_product_of_tiles_is_rounded_as_the_manual_says(library, seed):
    rng = np.random.default_rng(seed)
    a, b = (bf16(rng.normal(size=shape)) for shape in ((TILE, 2 * TILE), (2 * TILE, TILE)))
    sums = rng.normal(size=(TILE, TILE)).astype(np.float32)
    found = product(library, a, b, sums)
    np.testing.assert_array_equal(found, as_manual_says(a, b, sums))
    exact = a.astype(np.float64) @ b + sums
    assert (found != exact.astype(np.float32)).any(), "another order of sums would be seen"


@needs_bf16
def test_what_is_denormal_is_zero_and_what_is_no_number_stays_so(library):
    a, b = np.zeros((TILE, 2 * TILE), np.float32), np.zeros((2 * TILE, TILE), np.float32)
    sums = np.zeros((TILE, TILE), np.float32)
    b[0] = 1
    a[0, 0] = LEAST / 4  # an input that is denormal, times 2^40
    b[0, 0] = 2.0**40
    a[1, 0], sums[1] = LEAST, -LEAST * 1.5  # a result that is
    sums[2] = LEAST / 2  # what was there
    a[3, 0], a[4, 0], sums[5] = np.inf, np.nan, -np.inf
    a[6, 0], sums[6] = 2.0**-25, 1  # half of the last place: to even
    a[7, 0], sums[7] = 3 * 2.0**-24, 1
    found = product(library, a, b, sums)
    assert not found[0].any()
    assert not found[1, 1:].any()
    assert not found[2].any()
    assert (found[3] == np.inf).all()
    assert np.isnan(found[4]).all()
    assert (found[5] == -np.inf).all()
    assert (found[6, 1:] == 1).all()
    assert (found[7, 1:] == 1 + 2.0**-22).all()
    np.testing.assert_array_equal(
        found[[0, 1, 2, 6, 7]], as_manual_says(a, b, sums)[[0, 1, 2, 6, 7]]
    )


@needs_bf16
@pytest.mark.parametrize(
    "body",
    [
        BodyConfig(90, (2,), (6,), 8, 180),
        # Heads of more than a tile; an odd number of everything; less than a tile.
        BodyConfig(34, (1,), (1,), 8, 102),
        BodyConfig(15, (1,), (3,), 8, 35),
        BodyConfig(4, (1,), (2,), 8, 6),
    ],
)
def test_a_swin_block_differs_by_the_order_of_its_sums_alone(body, emulated_amx, monkeypatch):
    torch.manual_seed(0)
    network = build(SingleTaskConfig("sr", body))
    block = [part for part in network.modules() if isinstance(part, SwinBlock)][-1]
    image, results, here = torch.randn(1, body.embed_dim, 24, 16), [], compilation.load_library()
    for narrow, library in ((False, here), (True, here), (True, emulated_amx)):
        compute_with(library, monkeypatch)
        results.append(
            NativeBlock(block, narrow, {})(empty_planes(image.shape).copy_(image)).clone()
        )
    fp32, avx512, amx = results
    rounding = (avx512 - fp32).square().mean().sqrt()
    assert rounding > 1e-5, "products are in bf16"
    # Where a sum in fp32 lies at the border of two bf16 numbers, the other one is next.
    assert (amx - avx512).square().mean().sqrt() < 0.3 * rounding
    assert (amx - fp32).square().mean().sqrt() < 1.05 * rounding


@needs_bf16
@pytest.mark.parametrize("task", TASKS)
def test_a_small_network_of_each_task_is_the_same_picture(
    tiny_single, task, emulated_amx, monkeypatch
):
    network = tiny_single(task)
    shape = shape_of(network.config, "network", batch=1, size=(1, 16, 24))
    image = torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))
    fast = accelerate(network, precision="bf16", example=image)
    with torch.inference_mode():
        wanted, avx512 = network(image).numpy(), fast(image).numpy()
        compute_with(emulated_amx, monkeypatch)
        amx = fast(image).numpy()
    assert not LOW_PRECISION.failures(compare(wanted, amx))
    assert not np.array_equal(amx, avx512), "it is another path"
    # The same weights serve both, and err alike.
    assert abs(compare(wanted, amx).psnr_db - compare(wanted, avx512).psnr_db) < 1


@needs_bf16
def test_the_path_is_part_of_what_ran(tiny_single, instructions):
    session = RUNTIMES["native-bf16"].open(tiny_single("denoise"), device="cpu", threads=1)
    has_amx = instructions == "amx" or "amx_bf16" in machine.instructions()
    name = "amx_bf16" if has_amx else "avx512_bf16"
    assert session.ran["provider"] == f"{compilation.compiler_version()}, {name}"
    assert name in model_identity(session.ran), "work begun by one is not gone on with by another"
    found = next(one for one in checkups.runtimes() if one.name == "native-bf16")
    assert (found.state, found.detail) == ("usable", f"bf16-compute, {name}")


@needs_compiler
def test_the_path_is_what_the_processor_has():
    library, has = compilation.load_library(), machine.instructions()
    assert bool(library.has_bf16()) == ("avx512_bf16" in has)
    assert not library.has_amx() or "amx_bf16" in has
    assert RUNTIMES["native"].instructions() == ""


@needs_bf16
@pytest.mark.slow  # compiles
def test_where_the_system_grants_no_tiles_avx512_serves(monkeypatch):
    """A library with AMX in it, on a processor with or without."""
    both = compilation.load_library(options=MADE_FOR_AMX)
    assert bool(both.has_amx()) == ("amx_bf16" in machine.instructions())
    if both.has_amx():
        pytest.skip("this processor has AMX, and the system grants it")
    network = build(SingleTaskConfig("sr", BodyConfig(28, (2,), (2,), 8, 50)))
    block = next(part for part in network.modules() if isinstance(part, SwinBlock))
    image, results = torch.randn(1, 28, 16, 16), []
    for library in (compilation.load_library(), both):
        compute_with(library, monkeypatch)
        results.append(NativeBlock(block, True, {})(empty_planes(image.shape).copy_(image)).clone())
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def trapped(tmp_path_factory):
    """The kernels with AMX's own instructions, each of which the signal of its absence emulates."""
    folder, compiler = tmp_path_factory.mktemp("traps"), find_compiler()
    out = folder / "trapped.so"
    traps = Path(__file__).parents[2] / "helpers" / "amx_traps.c"
    options = (*MADE_FOR_AMX, "-Dsyscall=always_granted", f"-I{compilation.SOURCES}")
    made = [*compilation._OPTIONS, compiler.target("native"), *options, *KERNELS, str(traps)]
    done = compiler.run([*made, "-o", str(out)], folder)
    assert done.returncode == 0, done.stderr
    library = compilation._declared(ctypes.CDLL(str(out)))
    library.begin_traps()
    yield library
    library.end_traps()


@needs_bf16
@needs_linux
@pytest.mark.slow  # compiles
@pytest.mark.skipif("amx_tile" in machine.instructions(), reason="AMX itself is here")
@pytest.mark.parametrize(("channels", "heads", "hidden"), [(90, 6, 180), (34, 1, 102), (15, 3, 35)])
def test_what_the_compiler_makes_of_amx_is_what_is_emulated(
    channels, heads, hidden, trapped, emulated_amx, monkeypatch
):
    torch.manual_seed(0)
    network = build(SingleTaskConfig("sr", BodyConfig(channels, (2,), (heads,), 8, hidden)))
    block = [part for part in network.modules() if isinstance(part, SwinBlock)][-1]
    conv = NativeWinogradBf16(nn.Conv2d(channels, channels, 3, padding=1))
    image, results = torch.randn(1, channels, 16, 24), []
    for library in (emulated_amx, trapped):
        compute_with(library, monkeypatch)
        begun = ctypes.c_int64.in_dll(trapped, "trapped").value
        planes = empty_planes(image.shape).copy_(image)
        results.append(conv(NativeBlock(block, True, {})(planes)))
    assert ctypes.c_int64.in_dll(trapped, "trapped").value > begun + 1000
    assert torch.equal(*results)


@needs_compiler
@needs_x86
@pytest.mark.slow  # compiles
def test_for_sapphire_rapids_it_is_amx_that_multiplies(tmp_path):
    if shutil.which("objdump") is None:
        pytest.skip("no objdump on PATH")
    out = tmp_path / "kernels.so"
    compiler = find_compiler()
    options = [*compilation._OPTIONS, compiler.target("sapphirerapids")]
    done = compiler.run([*options, *KERNELS, "-o", str(out)], tmp_path)
    if "sapphirerapids" in done.stderr:
        pytest.skip("the compiler does not know Sapphire Rapids")
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(["objdump", "-d", str(out)], capture_output=True, text=True, check=True)
    words = shown.stdout.split()
    # Products of one to four tiles of Winograd's, and of a matrix and a window with four.
    assert words.count("tdpbf16ps") >= 1 + 2 + 3 + 4 + 4
    # Each function that begins with tiles ends with them: blocks, convolutions, one product.
    assert words.count("ldtilecfg") == words.count("tilerelease") == 3
