"""Microscopes: the truth keeps the recorded light; held-out scenes are fixed."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage

from unifmir.simulate import blur, generator, lightfield, microscopes, psf, simulate_pair, specimen
from unifmir.simulate.densities import Grid, smooth_noise
from unifmir.simulate.microscopes import OFFSET, binned, laid_on
from unifmir.simulate.optics import Optics
from unifmir.simulate.scene_ranges import CHANCES
from unifmir.simulate.scenes import SimulatedPair
from unifmir.simulate.structures import kinds_of

Scenes = Callable[[str, int], list[SimulatedPair]]


@pytest.fixture
def clear_scenes(monkeypatch: pytest.MonkeyPatch) -> Scenes:
    """Scenes of a task without haze and saturation: what both instruments see alike."""

    def never(rng: np.random.Generator, name: str) -> bool:
        return bool(rng.random() < CHANCES[name].share) and name not in {"haze", "saturation"}

    monkeypatch.setattr(microscopes, "happens", never)
    monkeypatch.setattr("unifmir.simulate.camera.happens", never)

    def scenes(task: str, size: int) -> list[SimulatedPair]:
        return [simulate_pair(task, generator(task, 0, "light", i), size) for i in range(6)]

    return scenes


def slope(expected: np.ndarray, truth: np.ndarray, sigma: float | tuple[float, ...]) -> float:
    """Slope of the recorded light over the truth's, both blurred to one resolution."""
    one, other = (scipy.ndimage.gaussian_filter(image, sigma) for image in (truth, expected))
    return float(np.polyfit(one.ravel(), other.ravel(), 1)[0])


class TestLight:
    def test_a_recorded_plane_has_the_truths_light(self, clear_scenes: Scenes) -> None:
        slopes = []
        for scene in clear_scenes("sr", 64):
            truth = binned(scene.target)
            light, emitted = scene.expected.mean() - OFFSET, truth.mean() - OFFSET
            assert light == pytest.approx(emitted, rel=0.05), scene.kind
            slopes.append(slope(scene.expected, truth, 6.0))
        assert np.mean(slopes) == pytest.approx(1, abs=0.04)

    def test_a_noisy_stack_is_expected_as_its_truth(self, clear_scenes: Scenes) -> None:
        for scene in clear_scenes("denoise", 32):
            assert np.array_equal(scene.expected, scene.target)

    def test_coarse_planes_have_the_truths_light(self, clear_scenes: Scenes) -> None:
        slopes = []
        for scene in clear_scenes("isotropic", 40):
            expected, truth = scene.expected, scene.target
            light, emitted = expected.mean() - OFFSET, truth.mean() - OFFSET
            assert light == pytest.approx(emitted, rel=0.06), scene.kind
            # Along z the recorded light is spread over many planes: all of them together.
            slopes.append(slope(expected.mean(axis=0), truth.mean(axis=0), 4.0))
        assert np.mean(slopes) == pytest.approx(1, abs=0.05)

    def test_a_surface_in_a_plane_of_the_stack_is_the_truth(self) -> None:
        pattern = np.exp(smooth_noise(np.random.default_rng(0), (40, 40), 2.0))
        kernel = psf(Optics(confocal=True, z_step_um=0.5), planes=9, size=25)
        height = np.full((40, 40), 12, dtype=np.float32)
        stack = blur(laid_on(height, pattern, 25), kernel)
        assert np.allclose(stack[12], blur(pattern, kernel[4]), rtol=1e-3)
        # Half way between two planes each of them has half of it, and what is out of focus.
        between = blur(laid_on(height + 0.5, pattern, 25), kernel)
        assert np.allclose(between[12], between[13], rtol=1e-3)
        assert 0.5 < between[12].mean() / stack[12].mean() < 1

    def test_a_view_has_the_light_of_all_planes(self) -> None:
        volume = np.random.default_rng(0).random((9, 33, 33)).astype(np.float32)
        views = lightfield.project_views(volume)
        emitted = volume.sum(axis=0).mean()
        assert views.mean(axis=(2, 3)) == pytest.approx(np.full((11, 11), emitted), rel=1e-3)

    def test_haze_is_in_the_recorded_image_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def scene(haze: bool) -> SimulatedPair:
            monkeypatch.setattr(microscopes, "happens", lambda _rng, _name: haze)
            monkeypatch.setattr(microscopes, "haze", lambda _rng, density, _grid: density * 0 + 1)
            return simulate_pair("sr", generator("sr", 0, "light", 0), 32)

        clear, hazy = scene(False), scene(True)
        assert np.array_equal(clear.target, hazy.target)
        added = hazy.expected - clear.expected
        assert added.min() > 0
        assert np.ptp(added) < 1e-2 * added.mean()

    def test_the_truth_saturates_where_the_image_does(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "unifmir.simulate.camera.happens", lambda _rng, what: what == "saturation"
        )
        scene = simulate_pair("denoise", generator("denoise", 0, "light", 1), 32)
        well = scene.target.max()
        assert (scene.target == well).mean() > 1e-3
        assert scene.image.max() < well + 8 * 3


def test_diffuse_light_in_focus_belongs_to_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(diffuse: bool) -> specimen.Specimen:
        monkeypatch.setattr(specimen, "happens", lambda _rng, name: diffuse and name == "diffuse")
        return specimen.drawn_specimen(np.random.default_rng(2), "sr", Grid((48, 48)))

    assert drawn(True).density.mean() > drawn(False).density.mean()


@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic", "projection", "volume"])
def test_scenes_of_a_task_are_of_many_kinds(task: str) -> None:
    possible = set(kinds_of(task))
    drawn = {
        specimen.drawn_specimen(np.random.default_rng(i), task, Grid((8, 8))).kind
        for i in range(120)
    }
    assert drawn <= possible
    assert len(drawn) >= 0.7 * len(possible)
