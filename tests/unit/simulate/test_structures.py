"""Structures, ranges and cameras of the simulator."""

from pathlib import Path

import numpy as np
import pytest

from unifmir.errors import UnknownNameError
from unifmir.simulate import Camera, scene_ranges, structures
from unifmir.simulate.densities import Grid, cells, smoothed
from unifmir.simulate.scene_ranges import CHANCES, RANGES
from unifmir.simulate.structures import STRUCTURES, density_of
from unifmir.tasks import TASKS

GRIDS = {"plane": Grid((40, 44)), "cube": Grid((20, 22, 24)), "stack": Grid((6, 30, 28), 3.0)}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_structure_fills_its_grid_with_light_of_about_one(kind: str, grid: str) -> None:
    density = density_of(np.random.default_rng(6), kind, GRIDS[grid])
    assert density.shape == GRIDS[grid].shape
    assert density.dtype == np.float32
    assert density.min() >= 0
    assert 0.3 < density.max() < 4


def test_every_structure_is_shown_by_a_task() -> None:
    for task in TASKS.values():
        assert set(task.simulation.structures) <= set(STRUCTURES)
        assert sum(task.simulation.structures.values()) > 0
    shown = {name for task in TASKS.values() for name in task.simulation.structures}
    assert shown == set(STRUCTURES)


def test_every_range_and_chance_is_drawn_somewhere() -> None:
    source = "".join(
        path.read_text("utf-8")
        for path in Path(structures.__file__).parent.glob("*.py")
        if path.name != "scene_ranges.py"
    )
    unused = [
        name
        for name in {*RANGES, *CHANCES}
        if f'"{name}"' not in source and not name.startswith("photons, ")
    ]
    assert not unused


def test_a_logarithmic_range_has_its_median_at_the_geometric_mean() -> None:
    rng = np.random.default_rng(0)
    drawn = [scene_ranges.draw(rng, "photons, denoise") for _ in range(2000)]
    assert min(drawn) >= 4
    assert max(drawn) <= 400
    assert np.median(drawn) == pytest.approx(40, rel=0.15)


def test_an_unknown_range_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'spot sigma'"):
        scene_ranges.draw(np.random.default_rng(0), "spot sigmas")
    with pytest.raises(UnknownNameError, match="did you mean 'haze'"):
        scene_ranges.happens(np.random.default_rng(0), "hase")


def test_a_wide_blur_keeps_the_light_and_the_width() -> None:
    point = np.zeros((81, 81), dtype=np.float32)
    point[40, 40] = 100
    wide = smoothed(point, (8.0, 8.0))
    assert wide.sum() == pytest.approx(100, rel=1e-3)
    assert wide.max() == pytest.approx(100 / (2 * np.pi * 8**2), rel=1e-2)


def test_cells_on_every_other_pixel_have_the_borders_of_all() -> None:
    grid = Grid((24, 32, 32))
    distance, numbers = cells(np.random.default_rng(3), grid, 12.0)
    assert distance.shape == numbers.shape == grid.shape
    # At a border the number changes: there the distance is below two pixels.
    changes = np.abs(np.diff(numbers, axis=2)) > 0
    assert distance[:, :, 1:][changes].max() < 2.5


class TestCamera:
    photons = np.full((6, 64, 64), 50, dtype=np.float32)

    def image(self, camera: Camera) -> np.ndarray:
        return camera.expose(self.photons, np.random.default_rng(0))

    def test_pixels_of_a_chip_differ_alike_in_all_planes(self) -> None:
        image = self.image(Camera(read_noise=0.5, gain_spread=0.2))
        assert np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1] > 0.5
        assert image.mean() == pytest.approx(150, rel=0.01)

    def test_multiplication_doubles_the_shot_variance(self) -> None:
        image = self.image(Camera(read_noise=0.0, multiplies=True))
        assert image.mean() == pytest.approx(150, rel=0.01)
        assert image.var() == pytest.approx(100, rel=0.06)

    def test_a_full_well_ends_the_counts(self) -> None:
        assert self.image(Camera(read_noise=0.0, full_well=45)).max() == 145

    def test_rows_have_noise_in_common(self) -> None:
        image = self.image(Camera(read_noise=0.0, line_noise=5.0))
        assert image.mean(axis=-1).std() > 2 * image.mean(axis=-2).std()

    def test_resampled_noise_is_correlated(self) -> None:
        image = self.image(Camera(noise_blur=0.6))
        neighbours = np.corrcoef(image[..., 1:].ravel(), image[..., :-1].ravel())[0, 1]
        assert neighbours > 0.2

    def test_hot_pixels_are_no_brighter_than_the_image(self) -> None:
        image = self.image(Camera(read_noise=0.0, hot_pixels=3))
        plain = self.image(Camera(read_noise=0.0))
        assert 1 <= ((image != plain).any(axis=0)).sum() <= 3 or np.array_equal(image, plain)
        assert image.max() <= plain.max()
