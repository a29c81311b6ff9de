"""Images that Python restores with toy networks: the browser is held against it."""

import json
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from unifmir.checkpoint.header import recorded_configuration
from unifmir.config import MultiTaskConfig, SingleTaskConfig
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo
from unifmir.json_values import json_form
from unifmir.normalize import FloatImage, normalize
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options
from unifmir.tasks.base import Normalization
from unifmir.zoo.site.browser_network import browser_network, site_interface

Toy = Any
CASES: dict[str, dict[str, Any]] = {
    # name: task, scaling of truths, shape, axes, type, options of both sides
    "planes": {"task": "denoise", "shape": (7, 40, 56), "axes": "zyx", "dtype": "uint16"},
    "tiles": {"task": "denoise", "shape": (6, 72, 104), "axes": "zyx", "dtype": "uint16"}
    | {"options": {"tile": 48}},
    "line": {"task": "denoise", "own": True, "shape": (5, 40, 56), "axes": "zyx"}
    | {"dtype": "float32", "options": {"intensity": "matched"}},
    "low": {"task": "denoise", "own": True, "shape": (5, 72, 56), "axes": "zyx", "dtype": "int16"}
    | {"options": {"tile": 48, "intensity": "local"}},
    "pieces": {"task": "denoise", "own": True, "shape": (2, 5, 360, 330), "axes": "tzyx"}
    | {"dtype": "uint8", "options": {"intensity": "matched"}},
    "movie": {"task": "denoise", "shape": (2, 3, 2, 24, 32), "axes": "tzcyx", "dtype": "uint16"},
    "finer": {"task": "sr", "own": True, "shape": (72, 56), "axes": "yx", "dtype": "uint16"}
    | {"options": {"tile": 48, "intensity": "local"}},
    "cubes": {"task": "isotropic", "own": True, "shape": (9, 32, 40), "axes": "zyx"}
    | {"dtype": "uint16", "options": {"z_factor": 3.0, "intensity": "local"}},
    "cut cubes": {"task": "isotropic", "shape": (40, 72, 80), "axes": "zyx", "dtype": "uint16"}
    | {"options": {"z_factor": 1.0, "tile": 56}},
    "surface": {"task": "projection", "shape": (20, 104, 72), "axes": "zyx", "dtype": "float32"}
    | {"options": {"tile": 64}},
    "lenses": {"task": "volume", "shape": (88, 99), "axes": "yx", "dtype": "uint16"},
}
SCALED = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def restorations(folder: Path) -> dict[str, Any]:
    """Write images and their results as TIFF; for each the facts of its toy and the options."""
    rng = np.random.default_rng(11)
    found = {}
    for name, case in CASES.items():
        config = toy_config(case["task"], own=case.get("own", False))
        kind = site_interface(config)
        predictor = Predictor(TOYS[case["task"]], config, kind, bytes_per_pixel=1.0)
        image = _image(rng, case["shape"], case["dtype"])
        options = case.get("options", {})
        made = restore_array(image, predictor, axes=case["axes"], options=Options(**options))
        said = {"axes": case["axes"].upper()}
        if case["dtype"] == "int16":
            tifffile.imwrite(folder / f"{name}.tif", image, ome=True, metadata=said)
        else:
            tifffile.imwrite(folder / f"{name}.tif", image, imagej=True, metadata=said)
        network = browser_network(predictor, ArraySource(image, case["axes"], _info(case)))
        # Toys take any memory; what fits is the option's alone.
        facts = replace(network, bytes_per_pixel=1.0)
        result = made.astype("<f4")
        (folder / f"{name}.result").write_bytes(result.tobytes())
        found[name] = {
            "facts": json_form(facts),
            "options": options,
            "shape": list(made.shape),
        }
    return found


def scalings() -> list[dict[str, Any]]:
    """Numbers of every type, how they are scaled, and by what."""
    rng = np.random.default_rng(3)
    found = []
    for dtype in SCALED:
        values = _image(rng, (37, 29), dtype).ravel()
        by = Normalization("percentile", 2.0, 99.8, clip=dtype == "uint8")
        scaled, scaling = normalize(values, by)
        found.append(
            {
                "dtype": dtype,
                "values": values.tolist(),
                "by": json_form({**asdict(by), "scaled_inside": by.inside}),
                "low": scaling.low,
                "span": scaling.span,
                "scaled": scaled.tolist(),
                "percentiles": [float(p) for p in np.percentile(values, (0, 0.1, 50, 77.7, 100))],
            }
        )
    return found


def _info(case: dict[str, Any]) -> ImageInfo:
    return ImageInfo(name="toy", axes=case["axes"])


def toy_config(task: str, *, own: bool = False) -> SingleTaskConfig:
    """Configuration of the embedded model, with truths scaled by themselves if `own`."""
    weights = Path(str(files("unifmir"))) / "zoo" / "catalogue" / "weights"
    config = recorded_configuration(weights / "unifmir-small-sim.safetensors")
    assert isinstance(config, MultiTaskConfig)
    return replace(config, intensities="own" if own else "shared").single(task)


def _image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Blobs with noise, above an offset."""
    rough = rng.gamma(2.0, 60.0, shape)
    for axis in range(len(shape) - 2, len(shape)):
        rough = (rough + np.roll(rough, 1, axis) + np.roll(rough, 2, axis)) / 3
    if dtype in ("uint8", "int8"):
        return (rough / 6).clip(0, 127).astype(dtype)
    offset = -300 if dtype in ("int16", "int32") else 100
    return (rough * 7 + offset).astype(dtype)


def _smoothed(image: FloatImage) -> FloatImage:
    """Mean of each pixel, the one before it and the one above it; at the edges, itself."""
    left = np.concatenate([image[..., :1], image[..., :-1]], -1)
    above = np.concatenate([image[..., :1, :], image[..., :-1, :]], -2)
    found: FloatImage = ((image + left + above) / np.float32(3)).astype(np.float32)
    return found


def _denoised(image: FloatImage) -> FloatImage:
    before = np.concatenate([image[:, :, :1], image[:, :, :-1]], 2)
    return _smoothed(((image + before) / np.float32(2)).astype(np.float32))


def _enlarged(image: FloatImage) -> FloatImage:
    return _smoothed(image).repeat(2, -1).repeat(2, -2)


def _lenses(image: FloatImage) -> FloatImage:
    share = np.arange(31, dtype=np.float32)[:, None, None] / np.float32(31)
    found: FloatImage = (_smoothed(image)[:, :, None] / np.float32(1000) * share).astype(np.float32)
    return found


TOYS: dict[str, Toy] = {
    "denoise": _denoised,
    "sr": _enlarged,
    "isotropic": _smoothed,
    "projection": lambda image: _smoothed(image.max(2)),
    "volume": _lenses,
}


def write_restorations(folder: Path) -> None:
    """Write everything, with the facts as restorations.json."""
    facts = {"cases": restorations(folder), "scalings": scalings()}
    (folder / "restorations.json").write_text(json.dumps(facts), "utf-8")
