"""The roof of the roofline: the best of what is tried, and nothing where nothing is fast."""

import pytest
import torch

from unifmir.benchmarks.measure import peaks

PRODUCT = 2 * peaks.SIDE**3
CONVOLUTION = 2 * 9 * peaks.CHANNELS**2 * peaks.PIXELS**2


def timed(monkeypatch: pytest.MonkeyPatch, *, product_s: float, convolution_s: float) -> None:
    """Have both kernels take so long at full size."""

    def product(device, dtype, side, seconds):
        return product_s * (side / peaks.SIDE) ** 3

    def convolution(dtype, seconds):
        return convolution_s

    monkeypatch.setattr(peaks, "_product_s", product)
    monkeypatch.setattr(peaks, "_convolution_s", convolution)


@pytest.mark.parametrize(
    ("product_s", "convolution_s", "best"),
    [(0.1, 0.1, PRODUCT / 0.1), (0.5, 0.05, CONVOLUTION / 0.05)],
)
def test_the_cpus_roof_is_the_better_of_product_and_convolution(
    monkeypatch, product_s, convolution_s, best
):
    timed(monkeypatch, product_s=product_s, convolution_s=convolution_s)
    assert peaks.gflops_per_s("cpu", torch.float32, 0.0) == pytest.approx(best / 1e9)


def test_a_gpus_roof_is_the_product_alone(monkeypatch):
    # Its convolutions may be Winograd's, which do less than is counted.
    timed(monkeypatch, product_s=0.1, convolution_s=1e-9)
    found = peaks.gflops_per_s("cuda:0", torch.float32, 0.0)
    assert found == pytest.approx(PRODUCT / 0.1 / 1e9)


def test_a_precision_without_fast_kernels_has_no_roof(monkeypatch):
    timed(monkeypatch, product_s=100.0, convolution_s=0.1)
    assert peaks.gflops_per_s("cpu", torch.float16, 0.0) is None
