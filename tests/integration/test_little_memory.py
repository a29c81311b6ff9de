"""`unifmir restore` with 3 GiB of address space: smaller tiles or a clear error."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers import tiff_bytes

LIMIT = 3 * 2**30
SIDE = 900


def restored(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What came of `unifmir restore` of a file in a folder, within the limit."""
    command = [sys.executable, "-m", "unifmir", "restore", *arguments, "--task", "denoise"]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["native", pytest.param("eager", marks=pytest.mark.long)])
def test_an_image_is_restored_within_3_gib(runtime, tmp_path):
    image = np.random.default_rng(3).integers(100, 900, (SIDE, SIDE), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image)
    done = restored(tmp_path, "a.tif", "--runtime", runtime)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    result = tifffile.imread(tmp_path / "a.denoise.tif")
    assert result.shape == image.shape
    assert np.isfinite(result).all()
    # The same intensities, with less noise.
    assert abs(float(result.mean()) / float(image.mean()) - 1) < 0.05
    assert result.std() < image.std()


@pytest.mark.slow
def test_a_strip_that_3_gib_do_not_hold_is_told(tmp_path):
    side = 60_000  # one strip of 3.6 GB, of which enough is there that it may be compressed
    noise = np.random.default_rng(3).bytes(side * side // 1900)
    page = tiff_bytes.Page([noise], (side, side), np.dtype(np.uint8), compression=8)
    (tmp_path / "a.tif").write_bytes(tiff_bytes.tiff(page))
    done = restored(tmp_path, "a.tif")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "must be decoded at once, and this process may take" in " ".join(done.stderr.split())
    assert not (tmp_path / "a.denoise.tif").exists()
