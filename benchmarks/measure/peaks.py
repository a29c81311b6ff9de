"""Peaks that the machine reaches: the roof of the roofline plot."""

import time
from collections.abc import Callable
from typing import Any

import torch

from unifmir.devices import device_named
from unifmir.export.runtimes.pytorch import prepare_device
from unifmir.precision.variants import DTYPES

SIDE = 2048
"""Side of the matrices: 48 MB in fp32, too large for most caches, small enough for a second."""
COPIED_BYTES = 256 * 2**20
"""Larger than the last cache of current processors and GPUs, stacked caches (96 MB) included."""
CHANNELS, PIXELS = 256, 64
"""Channels and side of the convolution: 3 x 3, 4.8 GFLOP; weights and image fit the last cache."""
_SMALL = 256
_TOO_SLOW_S = 2.0
"""A precision whose one product would take longer has no kernel of its own, and no roof."""


def measured(device: str, threads: int, seconds: float) -> list[dict[str, Any]]:
    """Fields of `results.Peak` for each precision that the device computes in.

    Parameters
    ----------
    device : str
    threads : int
        On the CPU.
    seconds : float
        For each figure; the best is kept.
    """
    prepare_device(device, threads)
    with torch.inference_mode():
        copied = gbytes_per_s(device, seconds)
        products = {name: gflops_per_s(device, dtype, seconds) for name, dtype in DTYPES.items()}
    return [
        {"device": device, "precision": name, "gflops_per_s": rate, "gbytes_per_s": copied}
        for name, rate in products.items()
        if rate is not None
    ]


def gflops_per_s(device: str, dtype: torch.dtype, seconds: float) -> float | None:
    """Best rate of a matrix product, and on the CPU of a convolution; None where none is fast.

    On the CPU both, because matrix libraries do not use every processor's widest registers: on an
    AMD EPYC with AVX-512, MKL and OpenBLAS stop at 109 and 127 GFLOP/s a core, and oneDNN's direct
    convolution reaches 242. GPU libraries convolve by Winograd's method, with fewer operations
    than are counted: there the product alone is the roof.
    """
    try:
        if _product_s(device, dtype, _SMALL, 0.0) * (SIDE / _SMALL) ** 3 > _TOO_SLOW_S:
            return None
        rate = 2 * SIDE**3 / _product_s(device, dtype, SIDE, seconds)
        if device_named(device).is_cpu:
            operations = 2 * 9 * CHANNELS**2 * PIXELS**2
            rate = max(rate, operations / _convolution_s(dtype, seconds))
        return rate / 1e9
    except RuntimeError:
        return None


def gbytes_per_s(device: str, seconds: float) -> float:
    """Best rate of a copy, bytes read plus bytes written."""
    there = torch.ones(COPIED_BYTES // 4, dtype=torch.float32, device=device)
    here = torch.zeros_like(there)
    return 2 * COPIED_BYTES / _best_s(lambda: here.copy_(there), device, seconds) / 1e9


def _product_s(device: str, dtype: torch.dtype, side: int, seconds: float) -> float:
    generator = torch.Generator(device).manual_seed(0)
    left, right = (
        torch.rand(side, side, device=device, generator=generator).to(dtype) for _ in range(2)
    )
    out = torch.empty_like(left)
    return _best_s(lambda: torch.mm(left, right, out=out), device, seconds)


def _convolution_s(dtype: torch.dtype, seconds: float) -> float:
    layer = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, dtype=dtype)
    image = torch.ones(1, CHANNELS, PIXELS, PIXELS, dtype=dtype)
    return _best_s(lambda: layer(image), "cpu", seconds)


def _best_s(run: Callable[[], object], device: str, seconds: float) -> float:
    """Shortest of at least three runs after a first one."""
    wait = torch.get_device_module(torch.device(device)).synchronize
    run()
    wait()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < seconds:
        started = time.perf_counter()
        run()
        wait()
        taken.append(time.perf_counter() - started)
    return min(taken)
