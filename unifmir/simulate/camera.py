"""Cameras: shot noise, read noise, saturation, and pixels that are not alike."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32

from unifmir.simulate.scene_ranges import draw, happens


@dataclass(frozen=True, slots=True)
class Camera:
    """Sensor that counts photons: by default an even one, with read noise alone."""

    read_noise: float = 1.5
    """Standard deviation, photoelectrons."""
    offset: float = 100.0
    """Added to every pixel, as cameras do so that noise does not go below zero."""
    gain_spread: float = 0.0
    """Standard deviation of the pixels' gains, whose mean is 1 (sCMOS)."""
    offset_spread: float = 0.0
    """Standard deviation of the pixels' offsets, photoelectrons (sCMOS)."""
    line_noise: float = 0.0
    """Standard deviation of the noise that the pixels of a row have in common."""
    multiplies: bool = False
    """Whether electrons are multiplied before they are read (EMCCD): twice the shot variance."""
    noise_blur: float = 0.0
    """Sigma in pixels over which resampling has correlated the noise."""
    full_well: float = np.inf
    """Photoelectrons that a pixel holds."""
    hot_pixels: int = 0
    """Pixels that are as bright as the brightest of the image, or less."""

    def expose(
        self, photons: Float[np.ndarray, "*axes"], rng: np.random.Generator
    ) -> Float32[np.ndarray, "*axes"]:
        """One exposure of each plane of the expected `photons`, all by the same pixels; >= 0."""
        expected = np.maximum(photons, 0)
        counts = rng.poisson(expected).astype(np.float32)
        if self.multiplies:
            # Each electron becomes an exponentially distributed number (Hirsch et al. 2013).
            counts = rng.standard_gamma(counts, dtype=np.float32)
        counts = np.minimum(counts, np.float32(self.full_well))
        chip = counts.shape[-2:]
        if self.gain_spread:
            gains = 1 + self.gain_spread * rng.standard_normal(chip, dtype=np.float32)
            counts *= gains
        noise = rng.standard_normal(counts.shape, dtype=np.float32) * np.float32(self.read_noise)
        if self.offset_spread:
            noise += rng.standard_normal(chip, dtype=np.float32) * np.float32(self.offset_spread)
        if self.line_noise:
            lines = rng.standard_normal((*counts.shape[:-1], 1), dtype=np.float32)
            noise += lines * np.float32(self.line_noise)
        if self.noise_blur:
            well = np.minimum(expected, self.full_well).astype(np.float32)
            sigmas = (0.0,) * (counts.ndim - 2) + (self.noise_blur,) * 2
            noise = scipy.ndimage.gaussian_filter(counts + noise - well, sigmas)
            counts = well
        image = counts + noise + np.float32(self.offset)
        if self.hot_pixels:
            rows, columns = (rng.integers(side, size=self.hot_pixels) for side in chip)
            hot = np.float32(self.offset + rng.uniform(0.2, 1) * float(expected.max()))
            image[..., rows, columns] = np.maximum(image[..., rows, columns], hot)
        result: np.ndarray = np.maximum(image, 0)
        return result


def drawn_camera(rng: np.random.Generator, peak: float, *, offset: float = 100.0) -> Camera:
    """A camera of the documented ranges, for an image whose brightest structure has `peak`."""
    mapped = happens(rng, "gain map")
    return Camera(
        read_noise=draw(rng, "read noise"),
        offset=offset,
        gain_spread=draw(rng, "gain spread") if mapped else 0.0,
        offset_spread=draw(rng, "offset spread") if mapped else 0.0,
        line_noise=draw(rng, "line noise") if happens(rng, "line noise") else 0.0,
        multiplies=happens(rng, "multiplication"),
        noise_blur=draw(rng, "noise blur") if happens(rng, "noise blur") else 0.0,
        full_well=draw(rng, "full well") * peak if happens(rng, "saturation") else np.inf,
        hot_pixels=int(rng.integers(1, 4)) if happens(rng, "hot pixels") else 0,
    )
