"""Networks whose truths shared the scaling of their inputs: photons go in, photons come out."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tifffile

import unifmir
from tests.compat.canned import untested_package
from tests.compat.packages import inputs, network
from tests.helpers.identity_networks import identity_network
from tests.helpers.restoration_cases import SMALL, options_for, predictor_of
from tests.helpers.small_models import add_own_model
from unifmir.checkpoint.header import recorded_configuration
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.checkpoint.saving import save
from unifmir.config import ReferenceConfig, config_from_dict
from unifmir.errors import CheckpointError
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.formats.bioimageio.package import read_lineage
from unifmir.export.formats.bioimageio.rdf import FILES
from unifmir.export.lineage import Lineage, lineage_of
from unifmir.export.numpy_recipe import numpy_recipe
from unifmir.metrics.intensity_slope import intensity_slope
from unifmir.model import Provenance, build
from unifmir.precision.element_types import Precision
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.simulate import generator, normalize_pair, simulate_pair
from unifmir.tasks import TASKS
from unifmir.tasks.base import SHARED_OUTPUT, TruthScaling
from unifmir.training.evaluation import make_runner, restore_scene
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.schema import normalisation_of

KINDS: tuple[tuple[TruthScaling, bool], ...] = (("own", True), ("shared", False))
"""Scalings of truths, and whether sr clips."""
SHAPES = {"sr": (20, 24), "denoise": (3, 20, 24), "isotropic": (8, 20, 24)}


def counts(task: str) -> np.ndarray:
    """Counts on a camera's offset, few of them far brighter than the rest."""
    rng = np.random.default_rng(1)
    image: np.ndarray = rng.poisson(rng.gamma(1.0, 400.0, SHAPES[task]) + 100).astype(np.uint16)
    return image


def at_result(task: str, image: np.ndarray) -> np.ndarray:
    """The image itself, at the sampling of the result."""
    if not TASKS[task].shape.magnifies:
        return image.astype(np.float32)
    wide = np.pad(image.astype(np.float32), 1, mode="edge")
    for axis in (0, 1):
        before, after = np.split(wide, [-1], axis)[0], np.split(wide, [1], axis)[1]
        parts = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis + 1)
        length = 2 * before.shape[axis]
        shape = list(before.shape)
        shape[axis] = length
        wide = np.take(parts.reshape(shape), range(1, length - 1), axis)
    return wide


@pytest.mark.parametrize("task", SHAPES)
def test_an_identity_gives_back_the_photons(task: str):
    image, network = counts(task), identity_network(task, "shared")
    restored = restore_array(image, predictor_of(network), options=options_for(task))
    expected = at_result(task, image)
    if TASKS[task].isotropic_sampling:
        # The geometric mean of two passes has nothing below the lower percentile.
        expected = np.maximum(expected, np.float32(np.percentile(image, 2)))
    np.testing.assert_allclose(restored, expected, rtol=3e-6)
    assert intensity_slope(restored, expected) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("task", SHAPES)
def test_what_is_brighter_than_the_image_is_kept(task: str):
    image = counts(task)
    low, high = np.percentile(image, (0, 100) if task == "sr" else (2, 99.8))
    bright = {}
    for intensities, _ in KINDS:
        network = identity_network(task, intensities, added=0.5)
        options = options_for(task, intensity="percentile")
        bright[intensities] = restore_array(image, predictor_of(network), options=options).max()
    brightest = at_result(task, image).max() + 0.5 * (high - low)
    assert bright["shared"] == pytest.approx(brightest, rel=1e-3)
    assert bright["own"] == pytest.approx(image.max() if task == "sr" else brightest, rel=1e-3)


def test_percentiles_of_the_user_lose_nothing_either():
    image = counts("sr")
    options = Options(percentiles=(1.0, 95.0))
    network = identity_network("sr", "shared")
    restored = restore_array(image, predictor_of(network), options=options)
    np.testing.assert_allclose(restored, at_result("sr", image), rtol=3e-6)


def test_intensities_come_back_exactly_unless_the_user_says_otherwise():
    for task in SHAPES:
        own, shared = (ReferenceConfig("care-2d", task, (), kind) for kind, _ in KINDS)
        assert intensity_of(own, Options()) == "local"
        assert intensity_of(shared, Options()) == "percentile"
        assert intensity_of(shared, Options(intensity="matched")) == "matched"


@pytest.mark.parametrize("task", SHAPES)
def test_truths_of_simulated_pairs_are_photons_in_the_scaling_of_their_image(task: str):
    scene = simulate_pair(task, generator(task, 0, "train", 0), 24)
    image, target = normalize_pair(scene, "shared")
    rule = TASKS[task].normalization
    low, high = np.percentile(scene.image, (rule.low_percent, rule.high_percent))
    np.testing.assert_allclose(image * (high - low) + low, scene.image, rtol=1e-5)
    np.testing.assert_allclose(target * (high - low) + low, scene.target, rtol=1e-5)


def test_evaluation_maps_back_by_the_networks_own_rule():
    scene = simulate_pair("sr", generator("sr", 0, "held-out", 0), 24)
    for intensities, clipped in KINDS:
        network = identity_network("sr", intensities, added=0.3)
        restored = restore_scene(make_runner(network), scene, network.config)
        assert (restored.max() <= scene.image.max() + 1e-3) == clipped


class TestRecord:
    """A configuration says so in every file; one of `own` says nothing, as before."""

    CONFIGS = (
        SMALL,
        SMALL.single("sr"),
        ReferenceConfig("care-2d", "sr"),
    )

    @pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
    def test_own_is_unsaid_and_shared_is_said(self, config):
        assert "intensities" not in config.to_dict()
        shared = replace(config, intensities="shared")
        assert shared.to_dict() == {**config.to_dict(), "intensities": "shared"}
        for one in (config, shared):
            assert config_from_dict(json.loads(json.dumps(one.to_dict()))) == one
        assert shared.network_kwargs() == config.network_kwargs()
        with pytest.raises(CheckpointError, match="intensities"):
            config_from_dict({**config.to_dict(), "intensities": "theirs"})

    def test_tasks_of_a_multitask_network_share_it_but_for_light_fields(self):
        shared = replace(SMALL, intensities="shared")
        found = {task: shared.single(task).intensities for task in TASKS}
        assert found == {
            "sr": "shared",
            "denoise": "shared",
            "isotropic": "shared",
            "projection": "shared",
            "volume": "own",
        }

    def test_a_light_field_has_no_photons(self, tmp_path):
        network = build(SMALL.single("volume"))
        network.config = replace(network.config, intensities="shared")
        save(network, tmp_path / "volume.safetensors")
        with pytest.raises(CheckpointError, match="no intensities: expected 'own'"):
            load_file(tmp_path / "volume.safetensors")

    def test_a_checkpoint_and_what_is_pruned_from_it_keep_it(self, tmp_path):
        parent = build(replace(SMALL, intensities="shared"))
        save(parent, tmp_path / "all.safetensors")
        save(prune(load_file(tmp_path / "all.safetensors"), "sr"), tmp_path / "sr.safetensors")
        found = load_file(tmp_path / "sr.safetensors").config
        assert found.intensities == "shared"
        assert recorded_configuration(tmp_path / "sr.safetensors") == found
        assert found.normalization == replace(TASKS["sr"].normalization, clip=False)

    def test_lineage_of_an_artifact_has_the_rule_without_the_clip(self):
        parent = Provenance("parent.safetensors", "0" * 64)
        types = Precision.of_variant("fp32", "stored")
        for intensities, clip in KINDS:
            config = replace(SMALL.single("sr"), intensities=intensities)
            lineage = lineage_of(config, "image", types, parent)
            assert lineage.normalization["clip"] is clip
            assert lineage.network_config == config
        read = type(lineage).from_strings(lineage.to_strings(), "a file")
        assert read.network_config.intensities == "shared"
        forged = replace(lineage, normalization={**lineage.normalization, "clip": True})
        with pytest.raises(Exception, match="its normalization is"):
            type(lineage).from_strings(forged.to_strings(), "a file")

    def test_a_zoo_entry_has_it(self, tmp_path, monkeypatch):
        save(identity_network("sr", "shared"), tmp_path / "photons.safetensors")
        add_own_model(monkeypatch, tmp_path, tmp_path / "photons.safetensors", "photons")
        entry = find("photons")
        assert entry.configuration is not None
        assert entry.configuration["intensities"] == "shared"
        assert entry.normalisation == normalisation_of("sr", entry.config)
        assert entry.normalisation["sr"].clip is False


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """ONNX files of a network that adds 0.5: of its `image` and its `raw` interface."""
    folder: Path = tmp_path_factory.mktemp("shared")
    network = identity_network("sr", "shared", added=0.5)
    for interface in ("image", "raw"):
        unifmir.export(network, folder / interface, formats=("onnx",), interface=interface)
    return folder


class TestFiles:
    """Exported files and the lines of NumPy around them."""

    def expected(self, image: np.ndarray) -> np.ndarray:
        wanted: np.ndarray = at_result("sr", image) + np.float32(0.5 * np.ptp(image))
        return wanted

    def test_the_numpy_recipe_gives_photons(self, folder, monkeypatch):
        image = counts("sr")
        monkeypatch.chdir(folder / "image")
        tifffile.imwrite("image.tif", image)
        source = numpy_recipe(identity_network("sr", "shared").config)
        assert "clip" not in source
        exec(compile(source, "recipe.py", "exec"), {})
        np.testing.assert_allclose(tifffile.imread("restored.tif"), self.expected(image), rtol=1e-5)

    def test_a_raw_file_gives_photons(self, folder):
        image = counts("sr")
        (file,) = (folder / "raw").glob("*.onnx")
        session = onnxruntime.InferenceSession(file)
        (found,) = session.run(None, {"image": image.astype(np.float32)[None, None]})
        np.testing.assert_allclose(found[0, 0], self.expected(image), rtol=1e-5)

    def test_restoring_with_the_file_alone_gives_photons(self, folder):
        image = counts("sr")
        (file,) = (folder / "image").glob("*.onnx")
        found = unifmir.restore(image, file)
        np.testing.assert_allclose(found, self.expected(image), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("intensities", ["own", "shared"])
def test_a_package_says_what_the_units_of_its_output_are(intensities: TruthScaling, tmp_path: Path):
    model = network("sr")
    model.config = replace(model.config, intensities=intensities)
    made = untested_package(inputs("sr", tmp_path / "in", model), tmp_path / "sr.zip")
    package = read_package(made.path)
    shared = intensities == "shared"
    (output,) = package.rdf["outputs"]
    assert output["description"].endswith("intensities." if shared else "normalised units.")
    assert (SHARED_OUTPUT in package.files[FILES["readme"]].decode()) == shared
    lineage = Lineage.from_strings(read_lineage(made.path), "the package")
    assert lineage.network_config.intensities == intensities
    assert lineage.normalization["clip"] != shared
    names = FILES["test_input"], FILES["test_output"]
    raw, restored = (np.load(io.BytesIO(package.files[name]))[0, 0] for name in names)
    expected = unifmir.restore(
        raw, model, options=Options(intensity="percentile"), runtime="eager", device="cpu"
    )
    found = restored if shared else restored.clip(0, 1)
    found = found * np.ptp(raw) + raw.min()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(raw))
