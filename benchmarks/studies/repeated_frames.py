"""Learning from repeated frames: its gain on noise that neighbouring pixels share.

    python -m benchmarks.studies.repeated_frames [--steps N...]

writes benchmarks/results/repeated-frames.json; each number of steps is a training of its own.
Fields that do not change are recorded several times by a camera that smooths what it sends, so that
hidden pixels (Noise2Void) would teach the noise. The embedded model is adapted to the frames of
some (Noise2Noise); those of others are restored before and after and compared with the same fields
without noise, beside the mean of the frames.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import scipy.ndimage
from jaxtyping import Float32

from unifmir.benchmarks.studies.noisy_alone import READ_NOISE, SIDE, adapted, psnr_db
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.pruning import prune
from unifmir.metrics.scores import score
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks.denoise import DENOISE
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.load import load

RESULT = "repeated-frames.json"
LEARNED, JUDGED = 8, 6
FRAMES = 8
SMOOTHED_PX = 0.8
"""Standard deviation of the Gaussian that the camera smooths its frames by."""

Frames = Float32[np.ndarray, "frames y x"]


def recorded(number: int) -> SimulatedPair:
    """Frames of one field, and the field without noise as often."""
    scene = simulate_pair(DENOISE.name, generator(DENOISE.name, 4, "frames", number), SIDE)
    photons = np.clip(scene.target - scene.target.min(), 0, None)
    plane = photons[len(photons) // 2]
    rng = np.random.default_rng([4, number])
    counted = rng.poisson(np.broadcast_to(plane, (FRAMES, *plane.shape)))
    noisy = counted + READ_NOISE * rng.standard_normal(counted.shape) + 100
    image, truth = (
        scipy.ndimage.gaussian_filter(one, (0, SMOOTHED_PX, SMOOTHED_PX)).astype(np.float32)
        for one in (noisy, np.broadcast_to(plane, noisy.shape).astype(np.float64))
    )
    return SimulatedPair(DENOISE.name, image, truth, truth)


def main() -> None:
    """Learn, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[300])
    steps: list[int] = parser.parse_args().steps
    learned = [recorded(number).image for number in range(LEARNED)]
    judged = [recorded(LEARNED + number) for number in range(JUDGED)]
    told = " ".join(map(str, steps))
    document: dict[str, Any] = {
        **provenance(f"python -m benchmarks.studies.repeated_frames --steps {told}"),
        "input_db": [float(score(one.image, one.target)["psnr_db"]) for one in judged],
        "mean_of_frames_db": [
            float(score(one.image.mean(axis=0), one.target[0])["psnr_db"]) for one in judged
        ],
        "before_db": psnr_db(prune(load(EMBEDDED), DENOISE.name), judged),
        "runs": [run(learned, judged, count) for count in steps],
    }
    write_result(RESULT, document)
    print({key: document[key] for key in ("mean_of_frames_db", "before_db", "runs")})


def run(learned: list[Frames], judged: list[SimulatedPair], steps: int) -> dict[str, Any]:
    """One training: figures of the fields that it has not seen (none if refused), its evidence."""
    with tempfile.TemporaryDirectory() as name:
        tuned, evidence = adapted(learned, Path(name), steps, repeats=True)
    after = psnr_db(tuned, judged) if tuned else []
    found = {"steps": steps, "after_db": after, "evidence": evidence.replace(f"{name}/", "")}
    print(found, flush=True)
    return found


def repeated_frames_table(document: dict[str, Any]) -> str:
    """Sentences on what frames taught."""
    found = {name: mean(document[f"{name}_db"]) for name in ("input", "mean_of_frames", "before")}
    return (
        f"Fields recorded {FRAMES} times by a simulated camera whose noise neighbouring pixels "
        f"share, which hidden pixels would learn: single frames have {found['input']:.2f} dB, "
        f"their mean {found['mean_of_frames']:.2f} dB, frames that the embedded model restored "
        f"{found['before']:.2f} dB (PSNR fitted by scale and offset). "
        + " ".join(_told(one, found["before"]) for one in document["runs"])
    )


def _told(one: dict[str, Any], before: float) -> str:
    start = f"{one['steps']:,} steps on {LEARNED} of them "
    if not one["after_db"]:
        told = one["evidence"].partition(": ")[2].partition(". ")[0]
        return f"{start}gave no model: {told}."
    after = mean(one["after_db"])
    return (
        f"{start}took restored frames of others to {after:.2f} dB ({after - before:+.2f} dB); "
        f"{one['evidence'].split('; ')[-1]}."
    )


if __name__ == "__main__":
    main()
