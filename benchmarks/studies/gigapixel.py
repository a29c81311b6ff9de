"""An image that no memory holds: peak memory, and what is left after kill -9.

    python -m benchmarks.studies.gigapixel [--gigapixels 20] [--kills 3] [--folder FOLDER]

restores a synthetic OME-Zarr image whose chunks, but for a few, are absent (they read as zeros and
take no room), tile by tile with a stand-in for the network that gives its input back, so that
reading, planning, writing and resuming are what is measured. The process is killed at random and
started again. Writes benchmarks/results/gigapixel.json. Zeros are not written either, so that the
result takes no more room than the source.
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import unifmir
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.pruning import prune
from unifmir.images.base import ImageInfo, Region, Shape
from unifmir.images.open_files import create_sink, open_source
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import RestorationProgress
from unifmir.restoration.restoration_options import Options
from unifmir.zoo import EMBEDDED
from unifmir.zoo.restore.files import restore_file
from unifmir.zoo.restore.outputs import Job, journal_path

CHUNK = 1024
TILE = 2048 + 2 * 16
BRIGHT = 64
"""Chunks that hold something, in a row along the diagonal and evenly."""
SEED = 0


def main() -> None:
    """The parent: makes the image, starts and kills the child, looks at the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigapixels", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        child(chosen.child)
        return
    with tempfile.TemporaryDirectory(prefix="unifmir-gigapixel-", dir=chosen.folder) as folder:
        document = measured(Path(folder), chosen.gigapixels, chosen.kills)
    write_result("gigapixel.json", document)
    print(json.dumps(document["runs"][-1]), f"largest difference {document['largest_difference']}")


def measured(folder: Path, gigapixels: float, kills: int) -> dict[str, Any]:
    """Restore with interruptions, then compare what was written with what was read."""
    side = math.ceil(math.sqrt(gigapixels * 1e9) / CHUNK) * CHUNK
    source = folder / "in.ome.zarr"
    write_sparse(source, side)
    rng = random.Random(SEED)
    attempts: list[dict[str, Any]] = []
    while True:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.studies.gigapixel", "--child", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        if len(attempts) < kills:
            finished = journal_lines(folder)
            while process.poll() is None and journal_lines(folder) <= finished:
                time.sleep(0.2)
            time.sleep(rng.uniform(0, 5))
            os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        if process.returncode == 0:
            attempts.append(json.loads(out))
            break
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"the child ended with {process.returncode}")
        attempts.append({"killed": True, "tiles_finished": journal_lines(folder)})
    return {
        **provenance(
            f"python -m benchmarks.studies.gigapixel --gigapixels {gigapixels:g} --kills {kills}"
        ),
        "shape": [side, side],
        "gigapixels": side * side / 1e9,
        "source_bytes_if_dense": side * side * 2,
        "runs": attempts,
        "largest_difference": largest_difference(folder, side),
    }


def child(folder: Path) -> None:
    """One run, until it is killed or done; prints what it found."""
    config = prune(unifmir.load(EMBEDDED), "denoise").config
    stand_in = Predictor(
        # Five slices around each, the middle one back: the identity of the task's interface.
        run=lambda image: np.ascontiguousarray(image[:, image.shape[1] // 2][:, None]),
        config=config,
        bytes_per_pixel=64.0,
        ran={"runtime": "stand-in"},
    )
    seen: list[RestorationProgress] = []
    job = Job(folder / "in.ome.zarr", folder / "out.ome.zarr")
    done = restore_file(
        job,
        stand_in,
        Options(tile=TILE, halo=16),
        on_progress=lambda _, progress: seen.append(progress) if not seen else None,
    )
    print(
        json.dumps(
            {
                "killed": False,
                "tiles": done.tiles,
                "tiles_resumed": done.tiles_resumed,
                "seconds": done.seconds,
                "megapixels_per_second": done.megapixels_per_second,
                "peak_memory_bytes": done.peak_memory_bytes,
            }
        )
    )


def write_sparse(path: Path, side: int) -> None:
    """An image of one plane of which only some chunks are there."""
    shape: Shape = (1, 1, 1, side, side)
    info = ImageInfo(path.name, "zyx", pixel_size_um=(0.1, 0.1), z_step_um=1.0)
    chunks = (1, 1, 1, CHUNK, CHUNK)
    sink = create_sink(path, shape, np.dtype(np.uint16), info, chunks=chunks)
    rng = np.random.default_rng(SEED)
    for region in bright_regions(side):
        sink.write(region, rng.integers(1, 4000, (1, 1, 1, CHUNK, CHUNK)).astype(np.uint16))
    # Not `publish`: its pyramid would go over every pixel.
    aside = next(p for p in path.parent.iterdir() if p.name.endswith(path.name) and p.is_dir())
    group = zarr.open_group(store=str(aside), mode="r+")
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.1, 0.1]}],
                }
            ],
        }
    ]
    aside.rename(path)


def bright_regions(side: int) -> list[Region]:
    """Regions of the image that hold something; the rest is background."""
    count = side // CHUNK
    step = max(1, count // BRIGHT)
    return [
        (slice(0, 1), slice(0, 1), slice(0, 1), slice(i, i + CHUNK), slice(i, i + CHUNK))
        for i in range(0, side, step * CHUNK)
    ]


def journal_lines(folder: Path) -> int:
    """Finished tiles."""
    path = journal_path(folder / "out.ome.zarr")
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def largest_difference(folder: Path, side: int) -> float:
    """Largest difference between input and output, in the bright chunks and their neighbours.

    The stand-in changes nothing: what is left is rounding, there and back to the image's range.
    """
    before, after = (open_source(folder / name) for name in ("in.ome.zarr", "out.ome.zarr"))
    worst = 0.0
    for region in bright_regions(side):
        beside = slice(max(0, region[3].start - CHUNK), region[3].stop)
        wider: Region = (*region[:4], beside)
        found = np.abs(after.read(wider) - before.read(wider).astype(np.float32))
        worst = max(worst, float(found.max()))
    return worst


if __name__ == "__main__":
    main()
