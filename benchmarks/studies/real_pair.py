"""A real pair, TIRF and STORM of one cell: the TIRF image restored by sr, held against the STORM.

    python -m benchmarks.studies.real_pair FOLDER [--rival sr=FILE]

FOLDER is `nanopyx/data/examples` of the package nanopyx 2.1.5 (CC-BY-4.0; `pip download --no-deps`,
it need not be installed). A rival is a checkpoint to stand beside the embedded model. Both images
are thumbnails: 8 bit, contrast stretched, JPEG. Writes benchmarks/results/real-pair.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from jaxtyping import Float32
from PIL import Image
from skimage.registration import phase_cross_correlation
from skimage.transform import resize

from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.benchmarks.studies.rivals import add_rivals, rivals_told
from unifmir.metrics import FILE_METRICS, METRICS
from unifmir.metrics.scores import score
from unifmir.metrics.squirrel import squirrel
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.files import restore

TIRF, STORM = "Cell2_TIRF_COS7_IC/thumbnail.jpg", "Cell2_STORM_COS7_IC/thumbnail.jpg"
SCALE = 2
MARGIN_PX = 16
"""Pixels at the edges that are left out: the shift has moved nothing into some of them."""
SMOOTHED_PX = 3.0
"""Gaussian of both images before their shift is measured."""
SHOWN = ("rsp", "frc_px", "decorrelation_px", "fwhm_px", "psnr_db", "ssim", "nrmse")

Plane = Float32[np.ndarray, "y x"]


def main() -> None:
    """Restore, register and measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    add_rivals(parser)
    asked = parser.parse_args()
    recorded, fine = (_read(asked.folder / name) for name in (TIRF, STORM))
    shape = (SCALE * recorded.shape[0], SCALE * recorded.shape[1])
    bicubic = resize(recorded, shape, order=3, anti_aliasing=False)
    coarse = resize(fine, shape, order=1, anti_aliasing=True)
    shift = _shift(bicubic, coarse)
    truth = scipy.ndimage.shift(coarse, shift, order=1, mode="nearest")
    inside = (slice(MARGIN_PX, -MARGIN_PX), slice(MARGIN_PX, -MARGIN_PX))
    models: dict[str, str | Path] = {EMBEDDED: EMBEDDED}
    models |= {path.stem: path for task, path in asked.rivals if task == "sr"}
    restored = {
        name: restore(recorded, model, task="sr", device="cpu") for name, model in models.items()
    }
    candidates = {"bicubic": bicubic, **restored}
    told = rivals_told(asked.rivals)
    document = {
        **provenance(f"python -m benchmarks.studies.real_pair FOLDER{told}"),
        "pair": [TIRF, STORM],
        "shift_px": [float(one) for one in shift],
        "storm_explains_tirf_rsp": squirrel(truth[inside], bicubic[inside]).rsp,
        "rows": [
            {"name": name, **_measured(image[inside], truth[inside])}
            for name, image in candidates.items()
        ],
    }
    write_result("real-pair.json", document)


def _measured(image: Plane, truth: Plane) -> dict[str, Any]:
    found = score(image.astype(np.float64), truth.astype(np.float64), {**METRICS, **FILE_METRICS})
    return {name: found[name] for name in SHOWN}


def _read(path: Path) -> Plane:
    with Image.open(path) as image:
        plane: Plane = np.asarray(image.convert("L"), np.float32)
    return plane


def _shift(first: Plane, second: Plane) -> "np.ndarray":
    """Rows and columns by which the second is moved to lie on the first."""
    smooth = [scipy.ndimage.gaussian_filter(one, SMOOTHED_PX) for one in (first, second)]
    found: np.ndarray = phase_cross_correlation(*smooth, upsample_factor=20, normalization=None)[0]
    return found


if __name__ == "__main__":
    main()
