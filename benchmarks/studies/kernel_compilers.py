"""How fast the native kernels are by each of several compilers, in one interleaved run.

    python -m benchmarks.studies.kernel_compilers gcc clang "python-zig cc" [--rounds N]

writes benchmarks/results/kernel-compilers.json. Compilers are named as the environment variable CC
names them; the first is what the others are held against. Each kernel at the shape that the
full-size networks have, and the small embedded networks, compute the same image by each compiler
in turn, on one thread. Ratios are medians over the rounds of the CPU time of one and the other.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unifmir.benchmarks.studies.measured_tables import KERNEL_COMPILERS, kernel_compilers_table
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.compare import compare
from unifmir.config import BodyConfig
from unifmir.export.cases import calibration_inputs
from unifmir.export.runtimes import RUNTIMES
from unifmir.native import compiler_version
from unifmir.native.compilation import load_library
from unifmir.native.convolutions import NativeConv, NativeWinograd, NativeWinogradBf16
from unifmir.native.memory import empty_planes
from unifmir.native.swin_body import NativeBlock, NativeNorm
from unifmir.native.window_attention import WindowAttentionInC
from unifmir.networks.swin import SwinBlock
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.load import load

Work = Callable[[], Tensor | np.ndarray[Any, Any]]

PIXELS = 128
"""Sides of the image that a kernel computes."""
PROJECTOR = 256
"""Channels of the convolutions that the projector's residual blocks have."""
TURN_S = 0.15
"""CPU time of a turn, about: as many calls as it takes."""


def choose(compiler: str) -> None:
    """Take another compiler's kernels from now on."""
    os.environ["CC"] = compiler
    load_library.cache_clear()
    load_library()


def kernels(has_bf16: bool) -> Iterator[tuple[str, Work]]:
    """Kernels that are measured, by name."""
    body = BodyConfig()
    wide, heads = body.embed_dim, body.num_heads[0]
    images = empty_planes((1, wide, PIXELS, PIXELS)).copy_(torch.randn(1, wide, PIXELS, PIXELS))
    swin = SwinBlock(wide, heads, body.window_size, body.mlp_hidden, True)
    projected = torch.randn(1, PROJECTOR, PIXELS // 2, PIXELS // 2)
    residual = nn.Conv2d(PROJECTOR, PROJECTOR, 3, padding=1)
    first, last = nn.Conv2d(5, wide, 3, padding=1), nn.Conv2d(wide, 1, 3, padding=1)

    def block(bf16: bool) -> Work:
        native = NativeBlock(swin, bf16, {})
        room = empty_planes(images.shape)
        return lambda: native(room.copy_(images))

    def called(module: nn.Module, image: Tensor) -> Work:
        return lambda: module(image)

    yield "Swin block", block(False)
    if has_bf16:
        yield "Swin block, bf16", block(True)
    yield "LayerNorm", called(NativeNorm(nn.LayerNorm(wide)), images)
    yield f"convolution, 5 to {wide}", called(NativeConv(first), torch.randn(1, 5, PIXELS, PIXELS))
    yield f"convolution, {wide} to 1", called(NativeConv(last), images)
    yield f"Winograd, {wide}", called(NativeWinograd(nn.Conv2d(wide, wide, 3, padding=1)), images)
    yield f"Winograd, {PROJECTOR}", called(NativeWinograd(residual), projected)
    if has_bf16:
        yield f"Winograd, {PROJECTOR}, bf16", called(NativeWinogradBf16(residual), projected)
    qkv = torch.randn(1, PIXELS // 2, PIXELS // 2, 3 * wide, requires_grad=True)
    bias = torch.randn(heads, body.window_size**2, body.window_size**2)
    wanted = torch.randn(1, PIXELS // 2, PIXELS // 2, wide)

    def trained() -> Tensor:
        with torch.enable_grad():
            out = WindowAttentionInC.apply(qkv, bias, 4)  # type: ignore[no-untyped-call]
            return torch.autograd.grad(out, qkv, wanted)[0]

    yield "window attention and gradients", trained


def networks(has_bf16: bool) -> Iterator[tuple[str, Work]]:
    """Embedded networks that are measured, by name; each on its task's sample."""
    import unifmir

    model = load(EMBEDDED)
    for task in TASKS:
        network = unifmir.prune(model, task).eval()
        image = calibration_inputs(network.config, "network", [sample(task).image])[0].numpy()
        for runtime in ("native", "native-bf16") if has_bf16 else ("native",):
            session = RUNTIMES[runtime].open(network, device="cpu", threads=1)
            yield f"`{task}`, {runtime}", partial(session.run, image)


def turn(work: Work, calls: int) -> tuple[float, Any]:
    """CPU time of one of several calls in a row, in seconds, and what the last gave."""
    begun = time.process_time()
    for _ in range(calls):
        found = work()
    return (time.process_time() - begun) / calls, found


def measured(what: str, work: Work, compilers: Sequence[str], rounds: int) -> dict[str, Any]:
    """One row: each compiler's ratio to the first, and how far its result is from the first's."""
    spent: dict[str, list[float]] = {name: [] for name in compilers}
    results: dict[str, Any] = {}
    calls = 1
    for index in range(rounds + 1):
        for name in compilers:
            choose(name)
            work()  # its code and memory are warm, then
            seconds, found = turn(work, calls)
            if index:
                spent[name].append(seconds)
            results[name] = torch.as_tensor(found).numpy().copy()
        if not index:
            calls = max(1, math.ceil(TURN_S / seconds))
    base = compilers[0]
    row: dict[str, Any] = {"what": what, "calls": calls, "compilers": {}}
    for name in compilers[1:]:
        ratios = [a / b for a, b in zip(spent[name], spent[base], strict=True)]
        row["compilers"][name] = {
            "ratio": median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "max_abs_over_std": compare(results[base], results[name]).max_abs_over_std,
        }
    return row


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("compilers", nargs="+", help="as CC names them")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    versions = {}
    for name in options.compilers:
        choose(name)
        versions[name] = compiler_version()
    has_bf16 = bool(load_library().has_bf16())
    rows = []
    with torch.no_grad():
        for part in (kernels, networks):
            for what, work in part(has_bf16):
                rows.append(measured(what, work, options.compilers, options.rounds))
                told = {name: f"{one['ratio']:.2f}" for name, one in rows[-1]["compilers"].items()}
                print(what, told, flush=True)
    named = " ".join(f'"{name}"' if " " in name else name for name in options.compilers)
    command = f"python -m benchmarks.studies.kernel_compilers {named} --rounds {options.rounds}"
    document = {
        **provenance(command),
        "compilers": versions,
        "rounds": options.rounds,
        "rows": rows,
    }
    write_result(KERNEL_COMPILERS, document)
    print(kernel_compilers_table(document))


if __name__ == "__main__":
    main()
