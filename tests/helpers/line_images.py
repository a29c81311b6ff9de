"""Simulated filaments, blurred and noisy, by their seed: the references of metrics are of them."""

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 192


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
    blurred = gaussian_filter(points, blur_px)
    blurred = blurred / blurred.max() * 500 + 20
    noisy = rng.poisson(blurred).astype(np.float32) + rng.normal(0, read_noise, blurred.shape)
    return points, noisy.astype(np.float32)
