"""Light: the point-spread function of a lens, and blur.

The point-spread function is the scalar pupil-function model (Hanser et al., Journal of Microscopy
2004; Goodman, Introduction to Fourier Optics): an aplanatic pupil of radius NA / wavelength,
a phase for each defocus, a Fourier transform, and the squared modulus.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import scipy.fft
from jaxtyping import Float, Float32


@dataclass(frozen=True, slots=True)
class Optics:
    """An objective and how its image is sampled."""

    numerical_aperture: float = 1.2
    wavelength_um: float = 0.52
    """Wavelength of the emission in vacuum."""
    refractive_index: float = 1.33
    pixel_um: float = 0.1
    """Side of a pixel in the sample."""
    z_step_um: float = 0.2
    confocal: bool = False
    """Excitation and pinhole as sharp as the emission: the square of the widefield function."""

    @property
    def lateral_fwhm_um(self) -> float:
        """Rule of thumb for the widefield image of a point, 0.51 wavelength / NA."""
        return 0.51 * self.wavelength_um / self.numerical_aperture


def psf(optics: Optics, *, planes: int, size: int) -> Float32[np.ndarray, "z y x"]:
    """Point-spread function of `optics`.

    Parameters
    ----------
    optics : Optics
    planes : int
        Odd; the middle one is in focus.
    size : int
        Side in pixels, odd.

    Returns
    -------
    ndarray, shape (planes, size, size), float32
        Normalised: sums to 1. Planes of a widefield function have equal sums, but for what leaves
        the sides.
    """
    if planes % 2 == 0 or size % 2 == 0:
        raise ValueError(f"planes and size must be odd to have a middle: {planes}, {size}")
    cutoff = optics.numerical_aperture / optics.wavelength_um
    # The intensity's band is twice the pupil's: finer sampling than 1 / (4 cutoff), then binning.
    fine = ceil(4 * cutoff * optics.pixel_um)
    fine += 1 - fine % 2
    # Twice the field, so that defocused light that leaves it does not come back on the other side.
    grid = scipy.fft.next_fast_len(2 * size * fine)
    frequency = np.fft.fftfreq(grid, optics.pixel_um / fine)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    axial = np.sqrt(np.maximum((optics.refractive_index / optics.wavelength_um) ** 2 - squared, 0))
    cosine = axial * optics.wavelength_um / optics.refractive_index
    pupil = np.where(squared <= cutoff**2, 1 / np.sqrt(np.maximum(cosine, 1e-3)), 0)
    half = size * fine // 2
    kernel = np.empty((planes, size, size))
    for index in range(planes):
        depth = (index - planes // 2) * optics.z_step_um
        field = scipy.fft.fft2(pupil * np.exp(2j * np.pi * depth * axial))
        intensity = np.abs(scipy.fft.fftshift(field)) ** 2
        middle = grid // 2
        cut = slice(middle - half, middle - half + size * fine)
        kernel[index] = intensity[cut, cut].reshape(size, fine, size, fine).sum(axis=(1, 3))
    if optics.confocal:
        kernel = kernel**2
    result: np.ndarray = (kernel / kernel.sum()).astype(np.float32)
    return result


def blur(
    density: Float[np.ndarray, "*axes"], kernel: Float[np.ndarray, "..."]
) -> Float32[np.ndarray, "*axes"]:
    """Convolve an image or stack with a kernel of as many axes; edges are mirrored. >= 0.

    Mirrored edges keep the light of an image, and structures that reach over its border do not
    fade there.
    """
    (result,) = blurs(density, (kernel,))
    return result


def blurs(
    density: Float[np.ndarray, "*axes"], kernels: Sequence[Float[np.ndarray, "..."]]
) -> list[Float32[np.ndarray, "*axes"]]:
    """Convolve with each of several kernels of odd sides, as `blur` does with one; units stay."""
    reach = [max(kernel.shape[axis] for kernel in kernels) // 2 for axis in range(density.ndim)]
    padded = np.pad(density.astype(np.float32), [(r, r) for r in reach], mode="symmetric")
    shape = [scipy.fft.next_fast_len(side, real=True) for side in padded.shape]
    spectrum = scipy.fft.rfftn(padded, shape)
    inside = tuple(slice(r, r + n) for r, n in zip(reach, density.shape, strict=True))
    found = []
    for kernel in kernels:
        centred = np.zeros(shape, dtype=np.float32)
        centred[tuple(slice(n) for n in kernel.shape)] = kernel
        shift = tuple(-(n // 2) for n in kernel.shape)
        centred = np.roll(centred, shift, axis=tuple(range(kernel.ndim)))
        blurred = scipy.fft.irfftn(spectrum * scipy.fft.rfftn(centred), shape)[inside]
        found.append(np.maximum(blurred, 0).astype(np.float32))
    return found


def gaussian_kernel(sigmas: tuple[float, ...]) -> Float32[np.ndarray, "..."]:
    """Normalised separable Gaussian, sigmas in pixels, cut at four sigmas."""
    kernel = np.ones(())
    for sigma in sigmas:
        reach = max(1, ceil(4 * sigma))
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernel = kernel[..., None] * (line / line.sum())
    return kernel.astype(np.float32)
