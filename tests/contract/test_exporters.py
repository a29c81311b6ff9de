"""What every export format promises; a new format inherits these tests."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import unifmir
from tests.compat.packages import TINY, network
from tests.golden.weights import filled
from unifmir.checkpoint.saving import save
from unifmir.config import BodyConfig
from unifmir.errors import ExportError, MissingExtraError, UnifmirError
from unifmir.export.base import Artifact
from unifmir.export.formats import FORMATS
from unifmir.export.recorded_report import REPORT_SUFFIX
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession
from unifmir.export.runtimes.tensorrt.library import library
from unifmir.export.runtimes.torchscript import load_torchscript
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS

Single = Callable[[str], Network]


LONG = (pytest.mark.slow, pytest.mark.long)
Made = tuple[Artifact, ...]
Once = Callable[..., Made]

COMPILED = ("tensorrt", "aotinductor")
"""Formats of native code, of which no two files are the same bytes."""
TOGETHER = tuple(
    name
    for name in FORMATS
    if name not in COMPILED
    and not FORMATS[name].wrapped_only
    and (name != "openvino" or find_spec("openvino") is not None)
)
"""Formats that one export writes beside each other."""
ELSEWHERE = ("onnx", "torchscript", "safetensors", "openvino")
"""Formats that one other process writes, where it can."""
PACKAGED = (
    *(name for name in FORMATS if FORMATS[name].wrapped_only),
    *TOGETHER,
)
"""The same after a package, which takes in the reports of those before it: it knows none."""


USUAL = replace(TINY, body=BodyConfig(embed_dim=12, depths=(2, 1), num_heads=(2, 2), mlp_hidden=24))
"""Windows of 8 pixels in two groups of blocks, as the published networks have them."""


def usual(task: str) -> Network:
    """A single-task network of `USUAL`."""
    module = build(USUAL.single(task))
    module.load_state_dict(filled(module.state_dict(), seed=0))
    return module


def compiled(task: str) -> Network:
    """A network of one block, its windows not shifted."""
    config = replace(TINY, body=replace(TINY.body, depths=(1,), num_heads=(2,)))
    module = build(config.single(task))
    module.load_state_dict(filled(module.state_dict(), seed=0))
    return module


@cache
def sha256_elsewhere(source: Path, formats: tuple[str, ...]) -> dict[str, str]:
    """Hash by format of what another process exports, in one run."""
    command = [sys.executable, "-m", "unifmir", "export", "--task", "sr", "--json"]
    command += ["--checkpoint", str(source), "--out", str(source.parent / "elsewhere")]
    for name in formats:
        command += ["--format", name]
    done = subprocess.run(command, capture_output=True, check=True)
    artifacts = json.loads(done.stdout)["artifacts"]
    return {artifact["format"]: artifact["sha256"] for artifact in artifacts}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Single, str], Path]:
    """Function that saves a task's network, once for all formats."""
    made: dict[tuple[Single, str], Path] = {}

    def of(single: Single, task: str) -> Path:
        if (single, task) not in made:
            made[single, task] = tmp_path_factory.mktemp(task) / "source.safetensors"
            save(single(task), made[single, task])
        return made[single, task]

    return of


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Function that exports a file to formats when it is asked the first time."""
    made: dict[tuple[object, ...], Made] = {}

    def of(source: Path, formats: tuple[str, ...], *, again: bool, **options: Any) -> Made:
        asked = (source, formats, again, *options.items())
        if asked not in made:
            out = tmp_path_factory.mktemp("exports") / "out"
            made[asked] = unifmir.export(unifmir.load(source), out, formats=formats, **options)
        return made[asked]

    return of


class ExporterContract:
    """Inherit, and set `format`.

    The quick tests take the smallest windows, whose images are small too, of sr, and for ONNX of
    one more task; the slow ones each task; `make test-all` takes usual windows as well.
    """

    format: str
    again: str = "sr"
    """Task whose file is made and verified again among the quick tests."""
    long: Collection[str] = ()
    """Tasks that only `make test-all` tests."""

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Give the tests of every task each of them, and mark as slow all but few."""
        tested = cast("type[ExporterContract]", metafunc.cls)
        again = tested.again
        for name, quick in (("task_made", {"sr", again}), ("task_again", {again})):
            if name in metafunc.fixturenames:
                marks: dict[str, tuple[pytest.MarkDecorator, ...]] = {
                    task: () if task in quick else (pytest.mark.slow,) for task in TASKS
                }
                marks |= dict.fromkeys(tested.long, LONG)
                rows = [pytest.param(task, marks=marks[task]) for task in TASKS]
                metafunc.parametrize(name, rows)

    @pytest.fixture(scope="class", params=["small", pytest.param("usual", marks=LONG)])
    @classmethod
    def single(cls, request: pytest.FixtureRequest) -> Single:
        """Function from a task to a single-task network."""
        return network if request.param == "small" else usual

    @pytest.fixture(scope="class")
    @classmethod
    def once(
        cls, single: Single, sources: Callable[[Single, str], Path], exports: Callable[..., Made]
    ) -> Once:
        """Function that exports a task's network when it is asked the first time."""

        def of(task: str, *, again: bool = False, **options: Any) -> Made:
            packaged = task == "sr" and not options
            formats = PACKAGED if packaged else TOGETHER
            alone = again or (task == cls.again and not packaged and not options)
            if alone or cls.format not in formats:
                formats = (cls.format,)
            made = exports(sources(single, task), formats, again=again, **options)
            return tuple(artifact for artifact in made if artifact.format == cls.format)

        return of

    def test_every_task_is_the_same_picture(self, task_made: str, once: Once):
        (artifact,) = once(task_made)
        assert artifact.path.is_file()
        assert artifact.report.passed
        shapes = {result.shape for result in artifact.report.results}
        assert {shape[0] for shape in shapes} == {1, 2, 3}
        assert len({shape[-2:] for shape in shapes}) >= 5
        assert {result.source for result in artifact.report.results} == {"real", "random"}

    def test_a_file_can_be_verified_again(self, task_again: str, once: Once):
        (artifact,) = once(task_again)
        again = unifmir.verify(artifact.path)
        assert again.passed
        assert again.sha256 == artifact.sha256

    def test_the_report_beside_the_file_says_what_was_measured(self, once: Once):
        (artifact,) = once("sr")
        report = json.loads(
            artifact.path.with_name(artifact.path.name + REPORT_SUFFIX).read_text("utf-8")
        )
        assert report["passed"] is True
        assert report["sha256"] == artifact.sha256
        assert {"max_abs", "where", "ppm", "psnr_db", "slope"} <= set(report["cases"][0])

    # How weights are stored is the format's matter: of the other tasks, one is enough for all.
    @pytest.mark.slow  # tests/integration/test_cli_export.py exports in fp16 among the quick tests
    @pytest.mark.parametrize("task", ["sr", pytest.param("denoise", marks=pytest.mark.long)])
    def test_fp16_storage_is_accepted_and_verified(self, task: str, once: Once):
        for artifact in once(task, precision="fp16"):
            assert artifact.precision == "fp16"
            assert artifact.report.passed
            assert unifmir.verify(artifact.path).passed

    def test_an_altered_file_does_not_pass(self, once: Once, tmp_path: Path):
        (artifact,) = once("sr")
        shutil.copytree(artifact.path.parent, tmp_path, dirs_exist_ok=True)
        altered = tmp_path / artifact.path.name
        content = bytearray(altered.read_bytes())
        # Flip bits all over: weights, structure and headers.
        for position in range(len(content) // 3, len(content), len(content) // 50):
            content[position] ^= 0x5A
        altered.write_bytes(content)
        try:
            report = unifmir.verify(altered)
        except UnifmirError:
            return
        assert not report.passed

    @pytest.mark.slow  # a process of its own
    def test_two_exports_in_two_processes_are_the_same_bytes(
        self, once: Once, single: Single, sources: Callable[[Single, str], Path]
    ):
        (artifact,) = once("sr")
        formats = tuple(name for name in ELSEWHERE if name in TOGETHER)
        formats = formats if self.format in formats else (self.format,)
        assert sha256_elsewhere(sources(single, "sr"), formats)[self.format] == artifact.sha256

    @pytest.mark.slow
    def test_the_network_interface_is_offered_unless_the_format_takes_images_only(self, once: Once):
        (artifact,) = once("denoise", interface="network")
        wrapped_only = FORMATS[self.format].wrapped_only
        assert artifact.interface == ("image" if wrapped_only else "network")
        axes = artifact.report.lineage.input_axes
        assert axes[1] == ("channel=1" if wrapped_only else "channel=5")


class TestOnnx(ExporterContract):
    format = "onnx"
    again = "isotropic"


class TestOpenVino(ExporterContract):
    format = "openvino"

    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip("openvino", reason="an extra, not installed here")


@pytest.mark.gpu
class TestTensorRt(ExporterContract):
    """On a machine that can run an engine; what can be tested elsewhere is in tests/unit."""

    format = "tensorrt"

    @pytest.fixture(autouse=True)
    def _library(self):
        try:
            library()
        except MissingExtraError as error:
            pytest.skip(str(error))

    def test_two_exports_in_two_processes_are_the_same_bytes(
        self, once: Once
    ):  # all in this process
        # Kernels are chosen by timing them: two engines differ, the graph they are made of may not.
        graphs = {once("sr", again=again)[0].companions[0].read_bytes() for again in (False, True)}
        assert len(graphs) == 1


class TestTorchScript(ExporterContract):
    format = "torchscript"

    def test_no_file_asks_for_gradients(self, task_made: str, once: Once):
        assert_no_gradients(once(task_made))

    def test_a_file_is_the_same_whatever_its_process_computes_by(
        self, once: Once, monkeypatch: pytest.MonkeyPatch
    ):
        # Each convolution keeps whether TF32 is allowed: it is not, fp32 means fp32.
        (artifact,) = once("sr")
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        (other,) = once("sr", again=True)
        assert other.sha256 == artifact.sha256

    @pytest.mark.slow  # with the exports of the test of fp16 storage
    def test_no_file_of_narrow_weights_asks_for_gradients(self, once: Once):
        assert_no_gradients(once("sr", precision="fp16"))


def assert_no_gradients(made: Made) -> None:
    """Whoever runs the files as they are gets plain numbers, and no graph behind them."""
    assert made
    for artifact in made:
        module = load_torchscript(artifact.path)
        assert not any(parameter.requires_grad for parameter in module.parameters())
        given = torch.zeros(artifact.report.results[0].shape)
        assert torch.is_grad_enabled()
        assert not module(given).requires_grad


@pytest.mark.slow  # each network is compiled, which takes more than a minute of a core
@pytest.mark.timeout(1800)  # a busy machine has less than a core for it
@pytest.mark.xdist_group("aotinductor")  # while the other process tests the other formats
class TestAotInductor(ExporterContract):
    format = "aotinductor"
    long = ("denoise", "isotropic", "projection", "volume")  # `sr` stays among the slow tests

    @pytest.mark.long
    @pytest.mark.parametrize("task", ["denoise"])  # compiled for it, so for one task
    def test_fp16_storage_is_accepted_and_verified(self, task: str, once: Once):
        super().test_fp16_storage_is_accepted_and_verified(task, once)

    @pytest.fixture(scope="class")
    @classmethod
    def single(cls) -> Single:
        """Networks of one block alone: each further one is compiled for as long again."""
        return compiled

    @pytest.mark.long  # compiled anew; tests/unit/export/test_aotinductor.py has both interfaces
    def test_the_network_interface_is_offered_unless_the_format_takes_images_only(self, once: Once):
        super().test_the_network_interface_is_offered_unless_the_format_takes_images_only(once)

    @pytest.mark.long  # compiled anew
    def test_two_exports_in_two_processes_are_the_same_bytes(
        self, once: Once
    ):  # all in this process
        # The compiler names what it builds by its folder and options: the files differ, and each
        # is verified by itself.
        one, other = (
            [
                result
                for result in once("sr", again=again)[0].report.results
                if result.sizing == "fixed"  # the others are filled anew in each report
            ]
            for again in (False, True)
        )
        assert len(one) >= 9
        assert one == other


class TestSafetensors(ExporterContract):
    format = "safetensors"


class TestBioimageio(ExporterContract):
    format = "bioimageio"
    long = ("denoise", "volume")  # test_bioimageio_package.py has theirs among the slow tests

    @pytest.mark.slow  # the library tests a package for seconds
    def test_the_network_interface_is_offered_unless_the_format_takes_images_only(self, once: Once):
        super().test_the_network_interface_is_offered_unless_the_format_takes_images_only(once)

    # That it passes for every task is among the tests of test_bioimageio_package.py.
    @pytest.mark.slow  # the library tests a package for seconds
    @pytest.mark.parametrize("task", ["sr", pytest.param("denoise", marks=pytest.mark.long)])
    def test_fp16_storage_is_accepted_and_verified(self, task: str, once: Once):
        super().test_fp16_storage_is_accepted_and_verified(task, once)


def test_every_format_inherits_the_contract():
    tested = {cls.format for cls in ExporterContract.__subclasses__()}
    assert tested == set(FORMATS)


def test_one_failing_format_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def constant(_path: Path, **_: Any) -> HostSession:
        return HostSession(lambda image: 0 * image[..., :1, :1], {})

    monkeypatch.setattr(RUNTIMES["torchscript"], "open", constant, raising=False)
    with pytest.raises(ExportError, match="a size was fixed"):
        unifmir.export(network("sr"), tmp_path / "out", formats=("safetensors", "torchscript"))
    assert not (tmp_path / "out").exists()


def test_a_wrong_picture_is_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    honest = RUNTIMES["onnxruntime"].open

    def off_by_a_thousandth(path: Path, **options: Any) -> HostSession:
        session = honest(path, **options)
        return HostSession(lambda image: session.run(image) * np.float32(1.001), session.ran)

    monkeypatch.setattr(RUNTIMES["onnxruntime"], "open", off_by_a_thousandth, raising=False)
    with pytest.raises(ExportError, match="not the same picture"):
        unifmir.export(network("sr"), tmp_path / "out", formats=("onnx",))
    assert not (tmp_path / "out").exists()
