"""The figures that metrics are held to are those of the packages, where these are installed.

`make metrics-check` installs them, in an environment of its own.
"""

import importlib
import warnings
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.line_images import (
    MICROSSIM,
    NANOPYX,
    lines,
    microssim_images,
    recorded_twice,
    sharp_images,
)


def imported(name: str) -> ModuleType:
    """A package, without its warnings of what else could be installed; the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"{name} is not installed (no module {error.name}): make metrics-check")


@pytest.mark.filterwarnings("ignore")  # of the package's own
@pytest.mark.parametrize("seed", NANOPYX)
def test_nanopyx_gives_the_figures_of_its_name(seed: int):
    nanopyx = imported("nanopyx")
    blur_px, decorrelation, frc, *errors = NANOPYX[seed]
    _, image = lines(seed, blur_px)
    found = nanopyx.calculate_decorr_analysis(image, pixel_size=1, units="pixel")
    assert found == pytest.approx(decorrelation, abs=1e-4)
    pair = recorded_twice(seed, blur_px)
    assert nanopyx.calculate_frc(*pair, pixel_size=1) == pytest.approx(frc, abs=1e-4)
    for candidate, (rse, rsp, mean) in zip(sharp_images(seed), errors, strict=True):
        error_map, found_rse, found_rsp = nanopyx.calculate_error_map(image, candidate)
        assert found_rse == pytest.approx(rse, abs=1e-3)
        assert found_rsp == pytest.approx(rsp, abs=1e-4)
        assert np.mean(error_map) == pytest.approx(mean, abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # of the package's own
@pytest.mark.parametrize("seed", MICROSSIM)
def test_microssim_gives_the_figures_of_its_name(seed: int):
    microssim = imported("microssim")
    for (restored, truth), expected in zip(microssim_images(seed), MICROSSIM[seed], strict=True):
        measure = microssim.MicroSSIM()
        measure.fit(truth, restored)
        assert measure.score(truth, restored) == pytest.approx(expected, abs=1e-6)
