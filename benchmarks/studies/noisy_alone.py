"""Learning from noisy images alone: its gain on noises unlike the simulated ones.

    python -m benchmarks.studies.noisy_alone [--steps N]

writes benchmarks/results/noisy-alone.json and, of each camera that the model gained on,
docs/pictures/learned-CAMERA.png. Two cameras record simulated stacks: one with a gain and a read
noise of its own in each pixel, as sCMOS sensors have, and one of whose pixels some flash at random
in each plane, as telegraph noise and radiation make them. To the noisy images of some stacks the
embedded model is adapted; others are restored before and after and compared with their truths. The
same is asked of images whose noise neighbouring pixels share, which must be refused.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import scipy.ndimage
import tifffile
from jaxtyping import Float64, UInt8

from unifmir.benchmarks.studies.result_files import REPO, origin, provenance, write_result
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.errors import ImageError, NotHelpedError
from unifmir.images.png import write_grey
from unifmir.metrics.error_picture import CONTRAST
from unifmir.metrics.scores import score
from unifmir.networks.base import Network
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks.denoise import DENOISE
from unifmir.text_tables import markdown_rows
from unifmir.training.configuration import preset_path, read_config
from unifmir.training.evaluation import make_runner, restore_scene
from unifmir.training.training_record import read_training_record, record_path
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.load import load

RESULT = "noisy-alone.json"
PICTURES = REPO / "docs" / "pictures"
GAP_PX = 2
SIDE = 96
LEARNED, JUDGED = 24, 6
PATCH_PX = 32
"""Side of a patch in pixels: nine of them are in a stack, and a tenth of the stacks is held out."""
GAIN_SPREAD = 0.3
"""Standard deviation of the logarithm of a pixel's gain."""
READ_NOISE = 5.0
"""Median of a pixel's read noise, electrons; its logarithm has a standard deviation of 1."""
OFFSET, QUIET = 100.0, 2.0
"""Offset of both sensors, and the read noise of the even one, electrons."""


FLASHES, FLASH = 0.05, 200.0
"""Share of the pixels that flash in a plane, and the mean of a flash, electrons (exponential)."""

Photons = Float64[np.ndarray, "z y x"]
Sensor = Callable[[Photons], Photons]
"""Makes of the photons that are expected what it reads, in electrons."""


def main() -> None:
    """Learn, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    chosen = parser.parse_args()
    start = prune(load(EMBEDDED), DENOISE.name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [
            {"camera": camera, **measured(camera, start, folder / camera, chosen.steps)}
            for camera in CAMERAS
        ]
        smoothed = [
            scipy.ndimage.gaussian_filter(one.image, (0, 0.8, 0.8)).astype(np.float32)
            for one in recorded(uneven(), 0, LEARNED)
        ]
        try:
            adapted(smoothed, folder / "smoothed", chosen.steps)
            refusal = "none"
        except (ImageError, NotHelpedError) as error:
            refusal = str(error)
    document: dict[str, Any] = {
        **provenance(f"python -m benchmarks.studies.noisy_alone --steps {chosen.steps}"),
        "steps": chosen.steps,
        "cases": cases,
        "refusal": refusal,
    }
    write_result(RESULT, document)
    print(noisy_alone_table(document))


def uneven() -> Sensor:
    """A sensor whose pixels are not alike."""
    rng = np.random.default_rng(0)
    gain = np.exp(GAIN_SPREAD * rng.standard_normal((SIDE, SIDE)))
    spread = READ_NOISE * np.exp(rng.standard_normal((SIDE, SIDE)))
    return lambda photons: (
        gain * rng.poisson(photons) + spread * rng.standard_normal(photons.shape) + OFFSET
    )


def flashing() -> Sensor:
    """A sensor with an even read noise, of whose pixels some flash."""
    rng = np.random.default_rng(1)

    def record(photons: Photons) -> Photons:
        even = rng.poisson(photons) + QUIET * rng.standard_normal(photons.shape) + OFFSET
        return even + (rng.random(photons.shape) < FLASHES) * rng.exponential(FLASH, photons.shape)

    return record


CAMERAS: dict[str, tuple[str, Callable[[], Sensor]]] = {
    "uneven": ("a gain and a read noise of its own in each pixel", uneven),
    "flashing": (
        f"flashes of {FLASH:.0f} electrons in {FLASHES:.0%} of the pixels of each plane",
        flashing,
    ),
}
"""Noise of each sensor that no simulated camera has, and what makes the sensor."""


def recorded(record: Sensor, first: int, count: int) -> list[SimulatedPair]:
    """Simulated stacks as a sensor records them, with their truths."""
    pairs = []
    for number in range(first, first + count):
        truth = simulate_pair(
            DENOISE.name, generator(DENOISE.name, 3, "sensor", number), SIDE
        ).target
        photons = np.clip(truth - truth.min(), 0, None).astype(np.float64)
        pairs.append(SimulatedPair(DENOISE.name, record(photons).astype(np.float32), truth, truth))
    return pairs


def measured(camera: str, start: Network, folder: Path, steps: int) -> dict[str, Any]:
    """Adapt to noisy images of a sensor, and measure others before and after, in dB."""
    record = CAMERAS[camera][1]()
    learned, judged = recorded(record, 0, LEARNED), recorded(record, LEARNED, JUDGED)
    tuned, evidence = adapted([one.image for one in learned], folder, steps)
    before, after = psnr_db(start, judged), psnr_db(tuned, judged) if tuned else []
    if tuned:
        write_grey(PICTURES / f"learned-{camera}.png", sheet(judged, start, tuned))
    return {
        "input_db": [float(score(one.image, one.target)["psnr_db"]) for one in judged],
        "before_db": before,
        "after_db": after,
        "gain_db": mean(after) - mean(before) if after else None,
        "evidence": evidence,
    }


def sheet(judged: list[SimulatedPair], *networks: Network) -> UInt8[np.ndarray, "rows columns"]:
    """A column for each stack's middle plane: noisy, restored by each network, and the truth.

    All are fitted to the truth by scale and offset, and have its contrast.
    """
    runs = [(make_runner(network), network.config) for network in networks]
    columns = []
    for one in judged:
        low, high = np.percentile(one.target, CONTRAST)
        tiles = []
        for image in (one.image, *(restore_scene(run, one, config) for run, config in runs)):
            slope, offset = np.polyfit(image.ravel(), one.target.ravel(), 1)
            tiles.append(slope * image + offset)
        tiles.append(one.target)
        greys = [(stack[len(stack) // 2] - low) / (high - low) for stack in tiles]
        columns.append(np.vstack([np.pad(grey, (0, GAP_PX), constant_values=1) for grey in greys]))
    shown: UInt8[np.ndarray, "rows columns"] = np.clip(255 * np.hstack(columns), 0, 255).astype(
        np.uint8
    )
    return shown.repeat(2, axis=0).repeat(2, axis=1)


def adapted(
    images: list[np.ndarray[Any, Any]], folder: Path, steps: int, *, repeats: bool = False
) -> tuple[Network | None, str]:
    """The embedded model adapted to noisy stacks, and what was told; None if it has not helped."""
    lab, store, out = folder / "lab", folder / "noisy.zarr", folder / "model.safetensors"
    (lab / "noisy").mkdir(parents=True)
    for number, image in enumerate(images):
        tifffile.imwrite(
            lab / "noisy" / f"{number}.tif", image, imagej=True, metadata={"axes": "ZYX"}
        )
    request = PreparationRequest(
        folder=lab, out=store, task=DENOISE.name, rules=(PairRule("noisy"),), patch=PATCH_PX
    )
    prepare(request)
    changes: dict[str, Any] = {"data": [str(store)], "steps": steps}
    if repeats:
        changes["supervision"] = "repeats"
    config = read_config(preset_path("small-self-supervised"), changes)
    watch = TrainingCallbacks(lambda _: None, lambda *_: None)
    try:
        train(TrainingRequest(out, config, load(EMBEDDED)), watch)
    except NotHelpedError as error:
        return None, str(error).replace(str(store), store.name)
    return load_file(out), read_training_record(record_path(out)).data


def psnr_db(network: Network, scenes: list[SimulatedPair]) -> list[float]:
    """PSNR of restored scenes, fitted by scale and offset."""
    run = make_runner(network)
    return [
        float(score(restore_scene(run, one, network.config), one.target)["psnr_db"])
        for one in scenes
    ]


def noisy_alone_table(document: dict[str, Any]) -> str:
    """Table of what was gained on each sensor, what was told of it, and what was refused."""
    rows, told = [], []
    for case in document["cases"]:
        camera = f"{case['camera']}: {CAMERAS[case['camera']][0]}"
        after = f"{mean(case['after_db']):.2f}" if case["after_db"] else "no model"
        gain = f"{case['gain_db']:+.2f}" if case["after_db"] else ""
        rows.append(
            [camera, *(f"{mean(case[key]):.2f}" for key in ("input_db", "before_db")), after, gain]
        )
        told.append(f'{case["camera"].capitalize()}: "{case["evidence"]}".')
    columns = ["noise that no simulated image had", "noisy, dB", "embedded", "adapted", "gain"]
    return (
        f"{markdown_rows(columns, rows)}\n\n{document['steps']} steps on {LEARNED} noisy stacks; "
        f"{JUDGED} others restored and held against their truths: PSNR fitted by scale and offset. "
        f"{' '.join(told)} Smoothed images of the first sensor are refused: "
        f'"{document["refusal"]}". {origin(document)}'
    )


if __name__ == "__main__":
    main()
