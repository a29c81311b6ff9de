"""Learning from noisy images alone: its gain on a noise unlike the simulated one.

    python -m benchmarks.studies.noisy_alone [--steps N]

writes benchmarks/results/noisy-alone.json. A camera with a gain and a read noise of its own in each
pixel, as sCMOS sensors have, records simulated stacks; the embedded model is adapted to the noisy
images of some, and others are restored before and after and compared with their truths. The same is
asked of images whose noise neighbouring pixels share, which must be refused.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import scipy.ndimage
import tifffile

from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.errors import ImageError, NotHelpedError
from unifmir.metrics.scores import score
from unifmir.networks.base import Network
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks.denoise import DENOISE
from unifmir.training.configuration import preset_path, read_config
from unifmir.training.evaluation import make_runner, restore_scene
from unifmir.training.training_record import read_training_record, record_path
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.load import load

RESULT = "noisy-alone.json"
SIDE = 96
LEARNED, JUDGED = 24, 6
PATCH_PX = 32
"""Side of a patch in pixels: nine of them are in a stack, and a tenth of the stacks is held out."""
GAIN_SPREAD = 0.3
"""Standard deviation of the logarithm of a pixel's gain."""
READ_NOISE = 5.0
"""Median of a pixel's read noise, electrons; its logarithm has a standard deviation of 1."""


def main() -> None:
    """Learn, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    gain = np.exp(GAIN_SPREAD * rng.standard_normal((SIDE, SIDE)))
    spread = READ_NOISE * np.exp(rng.standard_normal((SIDE, SIDE)))

    def recorded(number: int) -> SimulatedPair:
        scene = simulate_pair(DENOISE.name, generator(DENOISE.name, 3, "sensor", number), SIDE)
        photons = np.clip(scene.target - scene.target.min(), 0, None)
        image = gain * rng.poisson(photons) + spread * rng.standard_normal(photons.shape) + 100
        return SimulatedPair(DENOISE.name, image.astype(np.float32), scene.target, scene.target)

    learned = [recorded(number) for number in range(LEARNED)]
    judged = [recorded(LEARNED + number) for number in range(JUDGED)]
    shared = [
        scipy.ndimage.gaussian_filter(one.image, (0, 0.8, 0.8)).astype(np.float32)
        for one in learned
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tuned, evidence = adapted([one.image for one in learned], folder / "own", chosen.steps)
        try:
            adapted(shared, folder / "shared", chosen.steps)
            refusal = "none"
        except (ImageError, NotHelpedError) as error:
            refusal = str(error)
    start = prune(load(EMBEDDED), DENOISE.name)
    before, after = psnr_db(start, judged), psnr_db(tuned, judged) if tuned else []
    document: dict[str, Any] = {
        **provenance(f"python -m benchmarks.studies.noisy_alone --steps {chosen.steps}"),
        "steps": chosen.steps,
        "input_db": [float(score(one.image, one.target)["psnr_db"]) for one in judged],
        "before_db": before,
        "after_db": after,
        "gain_db": mean(after) - mean(before) if after else None,
        "evidence": evidence,
        "refusal": refusal,
    }
    write_result(RESULT, document)
    print({key: document[key] for key in ("gain_db", "evidence", "refusal")})


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
    """Sentences on what was gained, and what was refused."""
    before = mean(document["before_db"])
    told = document["evidence"]
    if document["after_db"]:
        told = told.split("; ")[-1]
        after = mean(document["after_db"])
        gained = (
            f"took others from {before:.2f} to {after:.2f} dB ({document['gain_db']:+.2f} dB; "
            f"{_noisy(document)}). {told.capitalize()}."
        )
    else:
        gained = (
            f"gave no model: the embedded one, with {before:.2f} dB on others "
            f'({_noisy(document)}), serves as well. "{told}"'
        )
    return (
        "A simulated camera with a gain and a read noise of its own in each pixel, unlike any that "
        f"the embedded model has seen: {document['steps']} steps on a dataset of {LEARNED} noisy "
        f'stacks {gained} The same images smoothed are refused: "{document["refusal"]}".'
    )


def _noisy(document: dict[str, Any]) -> str:
    noisy = mean(document["input_db"])
    return f"the noisy images have {noisy:.2f} dB; PSNR fitted by scale and offset"


if __name__ == "__main__":
    main()
