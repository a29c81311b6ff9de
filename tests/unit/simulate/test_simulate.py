"""The simulator: optics that obey their textbook numbers, noise, light fields, seeded scenes."""

import numpy as np
import pytest

from unifmir.errors import UnknownNameError
from unifmir.simulate import (
    Camera,
    Optics,
    blur,
    densities,
    generator,
    lightfield,
    normalize_pair,
    psf,
    simulate_pair,
)
from unifmir.tasks import TASKS

SMALLEST = {"sr": 24, "denoise": 32, "isotropic": 32, "projection": 32, "volume": 3}
"""Sides that keep a scene quick to simulate."""


def half_width(line: np.ndarray, step: float) -> float:
    """Full width at half maximum, linearly interpolated."""
    half = line.max() / 2
    above = np.flatnonzero(line >= half)
    left, right = above[0], above[-1]
    before = (half - line[left - 1]) / (line[left] - line[left - 1])
    after = (half - line[right + 1]) / (line[right] - line[right + 1])
    return float((right + 1 - after) - (left - 1 + before)) * step


class TestPointSpreadFunction:
    def test_sums_to_one_and_is_symmetric(self) -> None:
        kernel = psf(Optics(), planes=5, size=21)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(kernel, kernel[:, ::-1], atol=1e-7)
        assert np.allclose(kernel, kernel[:, :, ::-1], atol=1e-7)
        assert np.allclose(kernel, kernel.transpose(0, 2, 1), atol=1e-7)
        assert np.allclose(kernel, kernel[::-1], atol=1e-7), "above and below focus look alike"

    @pytest.mark.parametrize("aperture", [0.4, 0.8])
    def test_is_as_wide_as_the_rule_of_thumb(self, aperture: float) -> None:
        optics = Optics(numerical_aperture=aperture, pixel_um=0.02)
        line = psf(optics, planes=1, size=101)[0, 50]
        # The rule is the Airy disc's, for small apertures.
        assert half_width(line, optics.pixel_um) == pytest.approx(optics.lateral_fwhm_um, rel=0.05)

    def test_is_as_long_as_the_axial_formula_says(self) -> None:
        # 0.88 wavelength / (n - sqrt(n^2 - NA^2)), widefield axial width at half maximum.
        optics = Optics(numerical_aperture=0.8, pixel_um=0.1, z_step_um=0.1)
        column = psf(optics, planes=41, size=41)[:, 20, 20]
        index, aperture = optics.refractive_index, optics.numerical_aperture
        expected = 0.88 * optics.wavelength_um / (index - np.sqrt(index**2 - aperture**2))
        assert half_width(column, optics.z_step_um) == pytest.approx(expected, rel=0.1)

    def test_widefield_light_stays_in_every_plane_and_confocal_light_does_not(self) -> None:
        wide = psf(Optics(z_step_um=0.5), planes=5, size=81).sum(axis=(1, 2))
        sectioned = psf(Optics(z_step_um=0.5, confocal=True), planes=5, size=81).sum(axis=(1, 2))
        assert wide[0] / wide[2] > 0.9
        assert sectioned[0] / sectioned[2] < 0.1

    def test_even_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="odd"):
            psf(Optics(), planes=2, size=21)

    def test_blur_keeps_the_light_inside(self) -> None:
        density = np.zeros((41, 41), dtype=np.float32)
        density[20, 20] = 100
        blurred = blur(density, psf(Optics(), planes=1, size=21)[0])
        assert blurred.sum() == pytest.approx(100, rel=1e-4)
        assert blurred.dtype == np.float32


class TestCamera:
    def test_variance_is_the_mean_plus_the_read_noise_squared(self) -> None:
        camera = Camera(read_noise=3.0, offset=100.0)
        photons = np.full((400, 400), 50, dtype=np.float32)
        image = camera.expose(photons, np.random.default_rng(0))
        assert image.mean() == pytest.approx(150, abs=0.2)
        assert image.var() == pytest.approx(50 + 9, rel=0.03)

    def test_nothing_is_below_zero(self) -> None:
        image = Camera(read_noise=2, offset=0).expose(
            np.zeros((64, 64), np.float32), np.random.default_rng(0)
        )
        assert image.min() == 0


class TestStructures:
    def test_deposit_keeps_the_weight_of_points_inside(self) -> None:
        points = np.array([[2.25, 3.5], [5.0, 1.0], [50.0, 1.0]])
        density = densities.deposit(points, np.array([1.0, 2.0, 4.0]), (10, 10))
        assert density.sum() == pytest.approx(3)
        assert density[2, 3] == pytest.approx(0.75 * 0.5)

    def test_smooth_noise_has_the_asked_scale(self) -> None:
        noise = densities.smooth_noise(np.random.default_rng(0), (200, 200), 10.0)
        assert noise.mean() == pytest.approx(0, abs=1e-4)
        assert noise.std() == pytest.approx(1, abs=1e-4)
        neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
        far = np.corrcoef(noise[:, 60:].ravel(), noise[:, :-60].ravel())[0, 1]
        assert neighbours > 0.95
        assert abs(far) < 0.3

    def test_height_map_stays_within_its_limits(self) -> None:
        heights = densities.height_map(np.random.default_rng(1), (40, 60), low=5, high=20)
        assert heights.shape == (40, 60)
        assert heights.min() >= 5 - 1e-4
        assert heights.max() <= 20 + 1e-4


class TestLightField:
    def test_pixel_i_plus_11k_belongs_to_view_i(self) -> None:
        views = np.random.default_rng(0).random((11, 11, 3, 4)).astype(np.float32)
        raw = lightfield.interleave(views)
        assert raw.shape == (33, 44)
        assert np.array_equal(raw[2::11, 7::11], views[2, 7])
        assert np.array_equal(lightfield.separate(raw), views)

    def test_the_focal_plane_looks_alike_from_everywhere(self) -> None:
        volume = np.zeros((9, 55, 55), dtype=np.float32)
        volume[4, 25:30, 25:30] = 1
        views = lightfield.project_views(volume)
        assert np.allclose(views, views[5, 5], atol=1e-5)

    def test_a_defocused_point_moves_with_the_view(self) -> None:
        volume = np.zeros((41, 121, 121), dtype=np.float32)
        volume[40, 60, 60] = 1
        views = lightfield.project_views(volume)
        columns = np.arange(11)
        rows_seen = (views[:, 5].sum(axis=2) * columns).sum(axis=1) / views[:, 5].sum(axis=(1, 2))
        # 20 planes off focus, 0.3 pixels per plane and view: 6 pixels, 6 / 11 of a lens, a view.
        # Lenses sample coarsely, so single steps scatter about it.
        assert np.diff(rows_seen).mean() == pytest.approx(6 / 11, rel=0.05)
        assert (np.diff(rows_seen) > 0.3).all()

    @pytest.mark.slow
    def test_refocusing_finds_the_plane_of_a_point(self) -> None:
        volume = np.zeros((31, 121, 121), dtype=np.float32)
        volume[25, 55:66, 60] = 1
        raw = lightfield.interleave(lightfield.project_views(volume))
        planes = lightfield.refocus(raw, planes=31).max(axis=(1, 2))
        assert abs(int(planes.argmax()) - 25) <= 2


class TestScenes:
    @pytest.mark.parametrize("task", list(TASKS))
    def test_the_same_seed_gives_the_same_arrays(self, task: str) -> None:
        one, two = (
            simulate_pair(task, generator(task, 3, "train", 1), SMALLEST[task]) for _ in range(2)
        )
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.target, two.target)

    @pytest.mark.parametrize("other", [(4, "train", 1), (3, "held-out", 1), (3, "train", 2)])
    def test_seed_split_and_index_each_give_another_scene(
        self, other: tuple[int, str, int]
    ) -> None:
        one = simulate_pair("sr", generator("sr", 3, "train", 1), 24)
        two = simulate_pair("sr", generator("sr", *other), 24)
        assert not np.array_equal(one.image, two.image)

    def test_tasks_do_not_share_random_numbers(self) -> None:
        draws = {generator(task, 0, "train", 0).random() for task in TASKS}
        assert len(draws) == len(TASKS)

    def test_an_unknown_task_is_refused_with_the_nearest_name(self) -> None:
        with pytest.raises(UnknownNameError, match="did you mean 'denoise'"):
            simulate_pair("denose", np.random.default_rng(0), 24)

    def test_isotropic_images_are_blurred_along_z_only(self) -> None:
        scene = simulate_pair("isotropic", generator("isotropic", 0, "train", 1), 48)
        image, target = normalize_pair(scene, "own")

        def roughness(volume: np.ndarray, axis: int) -> float:
            return float(np.abs(np.diff(volume, 2, axis=axis)).mean())

        assert roughness(image, 0) < 0.5 * roughness(image, 1)
        assert roughness(target, 0) > 0.5 * roughness(target, 1)

    def test_the_surface_is_brightest_near_its_own_height(self) -> None:
        scene = simulate_pair("projection", generator("projection", 0, "train", 0), 48)
        maximum = scene.image.max(axis=0)
        assert np.corrcoef(maximum.ravel(), scene.target.ravel())[0, 1] > 0.3
