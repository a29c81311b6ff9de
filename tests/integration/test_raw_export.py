"""`--interface raw`: one file that takes an image as it was recorded and gives its intensities."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

import unifmir
from tests.compat.packages import network
from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import options_for
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.errors import ExportError, UnifmirError
from unifmir.export.formats import FORMATS
from unifmir.export.pipeline import raw_formats
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession
from unifmir.samples import sample
from unifmir.tasks import TASKS

SIZES = {
    "sr": ((40, 56), (33, 45)),
    "denoise": ((6, 24, 40), (3, 27, 19)),
    "isotropic": ((24, 16, 24), (13, 21, 18)),
    "projection": ((6, 32, 24), (6, 27, 37)),
    "volume": ((48, 72), (45, 51)),
}
"""Two images of each task: of whole windows, and of sizes that nothing divides."""
BAR = 1e-4
"""Largest difference from restoring, over the range of the result."""
EVERY_TASK = pytest.mark.parametrize("task", few_quick(TASKS, ("sr",)))  # a file takes seconds
Exported = Callable[[str], Path]


def recorded(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Blobs on a camera's offset of 100, with shot noise: whole counts up to some thousands."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(0, 1, length) for length in shape), indexing="ij")
    blobs = np.zeros(shape)
    for _ in range(6):
        centre, width = rng.random(len(shape)), rng.uniform(0.05, 0.2)
        squares = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        blobs += rng.uniform(300, 3000) * np.exp(-squares / (2 * width**2))
    noisy: np.ndarray = rng.poisson(100 + blobs).astype(np.uint16)
    return noisy


def restored(task: str, image: np.ndarray) -> np.ndarray:
    """What `unifmir restore` makes of an image without tiles, its low frequencies left out."""
    matched = TASKS[task].normalization.invertible and TASKS[task].intensity != "percentile"
    options = options_for(task, intensity="matched" if matched else None)
    result: np.ndarray = unifmir.restore(image, network(task), options=options, runtime="eager")
    return result


def run(path: Path, *images: np.ndarray) -> np.ndarray:
    """The file in ONNX Runtime, on a batch of images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batch = np.stack([image[None] for image in images]).astype(np.float32)
    (result,) = session.run(None, {"image": batch})
    return np.asarray(result)[:, 0]


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference over the range."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max()) / float(np.ptp(expected))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Function that has the command export a task's small network, the first time it is asked."""
    made: dict[str, Path] = {}

    def of(task: str) -> Path:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            save(network(task), folder / "source.safetensors")
            command = ["export", "--task", task, "--interface", "raw", "--json"]
            command += ["--checkpoint", str(folder / "source.safetensors")]
            done = CliRunner().invoke(app, [*command, "--out", str(folder / "out")])
            assert done.exit_code == 0, done.output
            (artifact,) = json.loads(done.stdout)["artifacts"]
            assert (artifact["format"], artifact["interface"]) == ("onnx", "raw")
            made[task] = Path(artifact["path"])
        return made[task]

    return of


@EVERY_TASK
def test_a_file_gives_what_restoring_gives(task: str, exported: Exported):
    for shape in SIZES[task]:
        image = recorded(shape)
        assert difference(restored(task, image), run(exported(task), image)[0]) < BAR


@EVERY_TASK
def test_each_image_of_a_batch_has_its_own_scaling(task: str, exported: Exported):
    first = recorded(SIZES[task][1], seed=1)
    second = (recorded(SIZES[task][1], seed=2) // 7 + 40).astype(np.uint16)
    for image, found in zip((first, second), run(exported(task), first, second), strict=True):
        assert difference(restored(task, image), found) < BAR


@EVERY_TASK
def test_a_constant_image_is_what_restoring_makes_of_it(task: str, exported: Exported):
    image = np.full(SIZES[task][1], 137, dtype=np.uint16)
    expected = restored(task, image)
    (found,) = run(exported(task), image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=BAR * float(np.abs(expected).max()))


@EVERY_TASK
def test_the_file_is_verified_on_raw_counts_and_again(task: str, exported: Exported):
    assert exported(task).name == f"unifmir-{task}.raw.onnx"
    report = unifmir.verify(exported(task))
    assert report.passed
    assert report.lineage.interface == "raw"
    assert len({result.shape for result in report.results}) >= 5


@pytest.mark.slow  # two files of an isotropic network's passes
def test_a_file_that_is_off_by_a_thousandth_does_not_pass(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
):
    # isotropic: its root is taken out of the line before it is held to the bar of its passes.
    path, honest = exported("isotropic"), RUNTIMES["onnxruntime"].open

    def off(file: Path, **options: Any) -> HostSession:
        session = honest(file, **options)

        def run(image: np.ndarray) -> np.ndarray:
            result = session.run(image)
            middle = result.mean(axis=(1, 2, 3, 4), keepdims=True)
            steeper: np.ndarray = middle + (result - middle) * np.float32(1.001)
            return steeper

        return HostSession(run, session.ran)

    monkeypatch.setattr(RUNTIMES["onnxruntime"], "open", off, raising=False)
    report = unifmir.verify(path)
    assert len(report.failures) >= len(report.results)


@pytest.mark.parametrize("task", few_quick(("sr", "denoise"), ("sr",)))
def test_an_image_that_cannot_be_scaled_gives_nan_and_not_a_picture(task: str, exported: Exported):
    good = recorded(SIZES[task][1])
    sparse = np.zeros(good.shape, dtype=np.float32)
    sparse.flat[5] = 1000
    broken = good.astype(np.float32)
    broken.flat[7] = np.nan
    results = run(exported(task), good, sparse, broken)
    assert np.isfinite(results[0]).all()
    assert np.isnan(results[2]).all()
    # sr scales by the brightest pixel, however few there are.
    assert np.isnan(results[1]).all() == (task == "denoise")


@pytest.mark.slow  # tests/contract/test_exporters.py has fp16 storage among the quick tests
def test_fp16_storage_is_the_same_picture(tmp_path: Path):
    made = unifmir.export(
        network("denoise"), tmp_path, formats=("onnx",), interface="raw", precision="fp16"
    )
    assert [artifact.variant for artifact in made] == ["stored", "computing"]
    image = recorded(SIZES["denoise"][1])
    for artifact in made:
        assert artifact.report.passed
        assert artifact.path.name.endswith(".raw.onnx")
        assert difference(restored("denoise", image), run(artifact.path, image)[0]) < 0.01


@pytest.mark.parametrize(
    "name", few_quick([name for name in raw_formats() if name != "onnx"], ("torchscript",))
)
def test_other_formats_that_can_are_verified_too(name: str, tmp_path: Path):
    if name == "openvino":
        pytest.importorskip("openvino", reason="an extra, not installed here")
    (artifact,) = unifmir.export(network("sr"), tmp_path, formats=(name,), interface="raw")
    assert artifact.report.passed


def test_a_format_that_cannot_is_refused_before_anything_is_done(tmp_path: Path):
    refused = set(FORMATS) - set(raw_formats())
    assert {"bioimageio", "tensorrt"} <= refused
    for name in refused:
        with pytest.raises(ExportError, match=rf"{name} cannot.*Formats that can: .*onnx"):
            unifmir.export(network("sr"), tmp_path / "o", formats=("onnx", name), interface="raw")
    assert not (tmp_path / "o").exists()


def test_restoring_with_such_a_file_is_refused_with_advice(exported: Exported):
    with pytest.raises(UnifmirError, match=r"whole images.*--interface image"):
        unifmir.restore(recorded(SIZES["sr"][0]), exported("sr"))


def test_a_file_needs_nothing_of_ours(exported: Exported, tmp_path: Path):
    image = sample("sr").image
    np.save(tmp_path / "image.npy", image)
    alone = """
import sys
import numpy as np
import onnxruntime
image = np.load(sys.argv[2]).astype(np.float32)
session = onnxruntime.InferenceSession(sys.argv[1])
(restored,) = session.run(None, {"image": image[None, None]})
assert not {"torch", "unifmir"} & set(sys.modules)
np.save(sys.argv[3], restored[0, 0])
"""
    files = [str(exported("sr")), str(tmp_path / "image.npy"), str(tmp_path / "restored.npy")]
    subprocess.run([sys.executable, "-c", alone, *files], check=True, cwd=tmp_path)
    assert difference(restored("sr", image), np.load(files[2])) < BAR
