"""Folders as a lab has them: pairs of images that look alike, small enough for a test."""

from pathlib import Path

import numpy as np
import scipy.ndimage
import tifffile


def structure(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth structure of 100 to some 1,000, of the shape asked for."""
    noise = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), 2.0)
    noise -= noise.min()
    found: np.ndarray = (100 + 900 * noise / noise.max()).astype(np.float32)
    return found


def noisy(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    return rng.poisson(truth / 4).astype(np.uint16)


def write(
    path: Path,
    image: np.ndarray,
    axes: str,
    pixel_um: float | None = 0.1,
    step_um: float = 0.5,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, object] = {"axes": axes.upper()}
    resolution = None
    if pixel_um is not None:
        metadata |= {"unit": "um", "spacing": step_um}
        resolution = (1 / pixel_um, 1 / pixel_um)
    tifffile.imwrite(path, image, imagej=True, metadata=metadata, resolution=resolution)


def lab_folder(
    folder: Path,
    *,
    pairs: int = 6,
    shape: tuple[int, ...] = (4, 24, 24),
    magnification: int = 1,
    names: tuple[str, str] = ("low", "high"),
) -> Path:
    """Pairs of noisy stacks or planes and what they should have shown."""
    axes = "zyx"[-len(shape) :]
    for number in range(pairs):
        rng = np.random.default_rng(number)
        large = (*shape[:-2], shape[-2] * magnification, shape[-1] * magnification)
        truth = structure(rng, large)
        small = truth
        if magnification > 1:
            rows = large[-2] // magnification, magnification
            columns = large[-1] // magnification, magnification
            small = truth.reshape(*shape[:-2], *rows, *columns).mean(axis=(-3, -1))
        write(folder / names[0] / f"{number:02d}.tif", noisy(rng, small), axes, 0.1)
        high = truth.round().astype(np.uint16)
        write(folder / names[1] / f"{number:02d}.tif", high, axes, 0.1 / magnification)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
