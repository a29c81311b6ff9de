"""Simulated filaments, blurred and noisy, by their seed, and what packages measure of them.

The packages are nanopyx 2.1.5 and microssim 0.0.5, whose sixty packages are none of ours:
`make metrics-check` takes these figures again in an environment of its own
(tests/unit/metrics/test_metric_packages.py).
"""

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 192
NANOPYX = {
    0: (1.5, 3.8898, 3.3838, (7.6674, 0.9935, 5.4410), (16.0822, 0.9708, 7.1387)),
    1: (2.5, 6.7011, 5.2105, (9.6867, 0.9938, 6.9333), (27.3985, 0.9495, 11.4225)),
    2: (4.0, 10.5899, 7.7861, (11.1251, 0.9946, 8.0069), (27.1947, 0.9673, 12.5738)),
}
"""Blur in pixels, resolution by decorrelation and by FRC of two recordings, and RSE, RSP and mean
of the error map of a sharp image, as it is and with a square turned upside down, by seed."""
MICROSSIM = {0: (0.967658, 0.638716, 0.773735), 1: (0.962381, 0.635120, 0.781455)}
"""Of the images of `microssim_images`, by seed."""


def lines(seed: int, blur_px: float, read_noise: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the points of 25 filaments, and their blurred image with noise, float32."""
    rng = np.random.default_rng(seed)
    points = np.zeros((SIDE, SIDE))
    for _ in range(25):
        place, angle = rng.uniform(0, SIDE, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(300):
            angle += rng.normal(0, 0.05)
            place = place + 0.5 * np.array([np.sin(angle), np.cos(angle)])
            y, x = np.floor(place).astype(int)
            if 0 <= y < SIDE and 0 <= x < SIDE:
                points[y, x] += 1
    return points, _recorded(points, blur_px, read_noise, rng)


def recorded_twice(seed: int, blur_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Two blurred images of the same filaments, each with a noise of its own, float32."""
    points, image = lines(seed, blur_px)
    return image, _recorded(points, blur_px, 1.5, np.random.default_rng(100 + seed))


def sharp_images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sharp image of the filaments, and the same with a square turned upside down, float32."""
    restored = gaussian_filter(lines(seed, 1.0)[0], 0.8).astype(np.float32)
    wrong = restored.copy()
    wrong[60:100, 60:100] = wrong[60:100, 60:100][::-1].copy()
    return restored, wrong


def microssim_images(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three pairs of an image and its truth: sharp, blurred, and blurred beside a noisy truth."""
    points, image = lines(seed, 2.0)
    truth = 500 * gaussian_filter(points, 1.2) + 100
    blurred = image.astype(np.float64)
    grainy = lines(seed, 1.2, 3.0)[1].astype(np.float64)
    return [(300 * gaussian_filter(points, 1.5) + 50, truth), (blurred, truth), (blurred, grainy)]


def _recorded(
    points: np.ndarray, blur_px: float, read_noise: float, rng: np.random.Generator
) -> np.ndarray:
    blurred = gaussian_filter(points, blur_px)
    blurred = blurred / blurred.max() * 500 + 20
    noisy = rng.poisson(blurred).astype(np.float32) + rng.normal(0, read_noise, blurred.shape)
    image: np.ndarray = noisy.astype(np.float32)
    return image
