"""How much faster two workers are than one, one thread each, on one OME-Zarr image.

    python -m benchmarks.studies.scaling [--side PIXELS] [--rounds N]

writes benchmarks/results/scaling.json. Rounds alternate, so that a machine that slows down does
so for both; starting the workers is not counted, as a run of hours does not notice it.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.images.base import ImageInfo
from unifmir.images.open_files import create_sink
from unifmir.restoration.restoration_options import Options
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.cluster.dask_run import restore_on_cluster
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job
from unifmir.zoo.restore.restored_file import RestoredFile

TASK, TILE = "sr", 256
SEED = 0


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1536, help="pixels of the image along y and x")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unifmir-scaling-") as folder:
        source = Path(folder, "in.ome.zarr")
        write_image(source, chosen.side)
        rounds = [
            {str(workers): seconds(source, workers) for workers in (1, 2)}
            for _ in range(chosen.rounds)
        ]
    efficiencies = [one["1"] / one["2"] / 2 for one in rounds]
    document = {
        **provenance(
            f"python -m benchmarks.studies.scaling --side {chosen.side} --rounds {chosen.rounds}"
        ),
        "model": EMBEDDED,
        "task": TASK,
        "side": chosen.side,
        "tile": TILE,
        "seconds_by_workers": rounds,
        "efficiencies": efficiencies,
        "efficiency": median(efficiencies),
    }
    write_result("scaling.json", document)
    print(f"efficiency {document['efficiency']:.3f}")


def write_image(path: Path, side: int) -> None:
    """Noise: what a network computes does not depend on what it sees."""
    values = np.random.default_rng(SEED).integers(100, 4000, (1, 1, 1, side, side))
    shape = (1, 1, 1, side, side)
    sink = create_sink(path, shape, np.dtype(np.uint16), ImageInfo(path.name, "yx"))
    one, full = slice(0, 1), slice(0, side)
    sink.write((one, one, one, full, full), values.astype(np.uint16))
    sink.publish()


def seconds(source: Path, workers: int) -> float:
    """Seconds from the plan to the published image, with so many workers of one thread."""
    target = source.with_name("out.ome.zarr")
    choice = ModelChoice(task=TASK, device="cpu", threads=1)
    options = Options(tile=TILE)
    (done,) = restore_on_cluster(
        [Job(source, target)], choice, options, workers=workers, fail_fast=True
    )
    assert isinstance(done, RestoredFile)  # what is refused is raised
    shutil.rmtree(target)
    return done.seconds


if __name__ == "__main__":
    main()
