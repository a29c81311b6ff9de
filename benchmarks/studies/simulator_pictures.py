"""Draw the simulator's structures and scenes for docs/simulator.md.

    python -m benchmarks.studies.simulator_pictures [FOLDER]

writes FOLDER/simulated-structures.png, docs/pictures if none is given: each structure as a
super-resolution scene shows it, recorded above and truth below; and simulated-scenes.png: scenes of
each task as training draws them. Of a stack one plane is shown: the middle one, the section along z
for isotropic, the maximum for surfaces and light fields. All scenes are of a split of their own.
"""

import io
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from unifmir.atomic import writing
from unifmir.benchmarks.studies.result_files import REPO
from unifmir.export.formats.bioimageio.cover import shown_plane
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.simulate.structures import STRUCTURES
from unifmir.tasks import TASKS
from unifmir.zoo.site.sample_pictures import shown_greys

PICTURES = REPO / "docs" / "pictures"
SPLIT = "pictures"
TILE_PX = 112
COLUMNS = 9
SCENES = 6
CONTRAST_PERCENT = (0.5, 99.8)
"""Percentiles of each image that are shown as black and white."""
CAPTION_PX = 12


def main() -> None:
    """Draw both pictures."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    save_greys(folder / "simulated-structures.png", _structures())
    save_greys(folder / "simulated-scenes.png", _scenes())


def _structures() -> Image.Image:
    """One scene of each kind, by looking for it among the scenes of super-resolution."""
    found: dict[str, SimulatedPair] = {}
    index = 0
    while len(found) < len(STRUCTURES):
        scene = simulate_pair("sr", generator("sr", 0, SPLIT, index), 96)
        found.setdefault(scene.kind, scene)
        index += 1
    tiles = [(name, found[name].image, found[name].target) for name in STRUCTURES]
    return _sheet(tiles, COLUMNS)


def _scenes() -> Image.Image:
    tiles = []
    for task, spec in TASKS.items():
        for index in range(SCENES):
            rng = generator(task, 0, SPLIT, index)
            scene = simulate_pair(task, rng, spec.training.scene_size)
            above, below = (shown_plane(image, task) for image in (scene.image, scene.target))
            tiles.append((f"{task}: {scene.kind}", above, below))
    return _sheet(tiles, SCENES)


def _sheet(tiles: list[tuple[str, np.ndarray, np.ndarray]], columns: int) -> Image.Image:
    rows = -(-len(tiles) // columns)
    height = 2 * TILE_PX + CAPTION_PX + 2
    whole = Image.new("L", (columns * (TILE_PX + 2), rows * height), 255)
    pen = ImageDraw.Draw(whole)
    for number, (caption, above, below) in enumerate(tiles):
        x, y = (number % columns) * (TILE_PX + 2), (number // columns) * height
        pen.text((x + 1, y), caption, fill=0)
        for place, image in enumerate((above, below)):
            whole.paste(_grey(image), (x, y + CAPTION_PX + place * TILE_PX))
    return whole


def _grey(image: Float[np.ndarray, "y x"]) -> Image.Image:
    grey = shown_greys(image, np.percentile(image, CONTRAST_PERCENT))
    size = (TILE_PX, TILE_PX)
    return Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)


def save_greys(path: Path, picture: Image.Image) -> None:
    """Write a picture of a few greys, which are enough to see what is shown."""
    data = io.BytesIO()
    picture.quantize(32).save(data, "PNG", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as aside:
        aside.write_bytes(data.getvalue())


if __name__ == "__main__":
    main()
