"""A task that restoring knows nothing of but its row is restored in tiles like the others."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.restoration_cases import (
    SMALL,
    by_image_interface,
    picture,
    predictor_of,
    restore_officially,
    seam_over_range,
    weighted,
)
from unifmir.images.arrays import ArraySource
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import plan_restoration
from unifmir.tasks import TASKS

TOY = replace(
    TASKS["denoise"],
    name="toy",
    network="unifmir.networks.swin:SwinRestoration",
    interfaces=("planes",),
    input_axes="yx",
    output_axes="yx",
    multitask=None,
)


@pytest.fixture(autouse=True)
def registered():
    with TASKS.extended("toy", f"{__name__}:TOY"):
        yield


@pytest.mark.parametrize("interface", ["network", "image"])
def test_a_sixth_task_is_restored_tile_by_tile(interface):
    network = weighted(replace(SMALL.single("denoise"), task="toy", in_channels=1))
    image = picture((1, 70, 90))[0]
    predictor, options = predictor_of(network, interface), Options(tile=48, halo=16)
    assert len(plan_restoration(ArraySource(image, "yx"), predictor, options).tiles) > 3
    tiled = restore_officially(image, predictor, options=options)
    whole = restore_officially(image, predictor)
    assert seam_over_range(whole, tiled) < 1e-6
    np.testing.assert_allclose(whole, by_image_interface(network, image), rtol=1e-5, atol=1e-2)
