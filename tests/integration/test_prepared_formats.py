"""`unifmir data prepare` from every format of image, and in a memory that images do not fill."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.lab_folders import noisy, structure, write
from tests.helpers.microscope_files import multiscales, zarr_image
from tests.hostile.header_array_inputs import mrc, nifti
from unifmir.cli.main import app
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.restoration import resampling

STACK, PLANE = (4, 16, 16), (1, 16, 16)
KNOWN = (0.5, 0.1, 0.1)
UNKNOWN = (None, None, None)


def ome_tiff(path: Path, stack: np.ndarray) -> None:
    sizes: dict[str, object] = {f"PhysicalSize{axis}": 0.1 for axis in "XY"}
    sizes |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5, **sizes})


def ome_zarr(path: Path, stack: np.ndarray) -> None:
    zarr_image(path, stack, multiscales("zyx", KNOWN))


def packed_nifti(path: Path, stack: np.ndarray) -> None:
    path.write_bytes(gzip.compress(nifti(stack)))


Format = tuple[Callable[[Path, np.ndarray], object], tuple[int, ...], tuple[float | None, ...]]
FORMATS: dict[str, Format] = {
    "png": (lambda path, stack: Image.fromarray(stack[0]).save(path), PLANE, UNKNOWN),
    "ome.tif": (ome_tiff, STACK, KNOWN),
    "ome.zarr": (ome_zarr, STACK, KNOWN),
    "nii": (lambda path, stack: path.write_bytes(nifti(stack)), STACK, KNOWN),
    "nii.gz": (packed_nifti, STACK, KNOWN),
    "mrc": (lambda path, stack: path.write_bytes(mrc(stack)), STACK, UNKNOWN),
}
"""End of the name -> how a file is written, its shape, and the sampling that it says."""


@pytest.mark.parametrize("end", FORMATS)
def test_pairs_of_every_format_become_a_dataset(end: str, tmp_path: Path) -> None:
    save, shape, sampling = FORMATS[end]
    pairs: dict[str, list[np.ndarray]] = {}
    for number in range(5):
        rng = np.random.default_rng(number)
        truth = structure(rng, shape).astype(np.uint16)
        for part, image in (("low", noisy(rng, truth)), ("high", truth)):
            path = tmp_path / "lab" / part / f"{number}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, image)
            pairs.setdefault(f"low/{number}.{end}", []).append(image)
    out = tmp_path / "a.zarr"
    arguments = ["data", "prepare", tmp_path / "lab", "--task", "denoise", "--out", out, "--json"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["set_aside"] == {}
    files = [document["splits"][split]["files"] for split in ("train", "validation", "test")]
    assert files == [3, 1, 1]
    dataset = StoredDataset(out)
    for pair in dataset.manifest.pairs:
        assert pair.truth is not None
        for record in (pair.input, pair.truth):
            assert record.shape == shape
            assert record.pixel_size_um == pytest.approx(sampling)
    for split in ("train", "validation", "test"):
        for patch in dataset.patches(split):
            for found, expected in zip(
                dataset.recorded(patch), pairs[patch.pair.input.name], strict=True
            ):
                np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_six_times_as_many_planes_are_prepared_in_the_same_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "BLOCK_PIXELS", 2**16)
    tile = structure(np.random.default_rng(0), (4, 64, 64)).astype(np.uint16)

    def peak_bytes(planes: int) -> int:
        lab = tmp_path / f"{planes}"
        image = np.tile(tile, (planes // 4, 4, 4))
        write(lab / "high/a.tif", image, "zyx")
        write(lab / "low/a.tif", noisy(np.random.default_rng(1), image), "zyx")
        del image
        request = PreparationRequest(
            lab, lab.with_suffix(".zarr"), "denoise", patch=32, planes=4, patches=4
        )
        tracemalloc.start()
        try:
            prepare(request)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak_bytes(16), peak_bytes(96)
    assert many < 1.1 * few
    assert many < 96 * 256 * 256 * 2, "less than one of the two images"
