"""The image interface in raw intensities, module against restoring; files are tested elsewhere."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tests.helpers.restoration_cases import options_for, predictor_of, small
from unifmir.interfaces import interface_of
from unifmir.model import image_interface, in_interface
from unifmir.restoration.executor import restore_array
from unifmir.restoration.raw_interface import RawInterface, percentile
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity


def counts(shape: tuple[int, ...]) -> np.ndarray:
    """Noise whose mean varies from row to row, on an offset."""
    rng = np.random.default_rng(4)
    mean = 200 + 1500 * np.sin(np.linspace(0, 3, shape[-2]))[:, None] ** 2
    noisy: np.ndarray = rng.poisson(np.broadcast_to(mean, shape)).astype(np.uint16)
    return noisy


@pytest.mark.parametrize("intensity", ["percentile", "matched"])
@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("sr", (23, 34)),
        ("denoise", (4, 21, 18)),
        ("isotropic", (11, 14, 17)),
        ("projection", (4, 26, 19)),
    ],
)
def test_each_way_of_bringing_intensities_back_is_that_of_restoring(
    task: str, shape: tuple[int, ...], intensity: Intensity
):
    network, image = small(task), counts(shape)
    row = interface_of(network.config)
    module = RawInterface(
        image_interface(network),
        TASKS[task].normalization,
        intensity,
        scale=row.scale(network.config.signature, "image"),
        counterpart=row.counterpart,
    )
    with torch.inference_mode():
        found = module(torch.from_numpy(image.astype(np.float32))[None, None]).numpy()[0, 0]
    expected = restore_array(
        image, predictor_of(network), options=options_for(task, intensity=intensity)
    )
    assert np.abs(found - expected.reshape(found.shape)).max() < 1e-5 * np.ptp(expected)


def test_relative_values_stay_relative():
    network = small("denoise")
    relative = replace(TASKS["denoise"].normalization, invertible=False)
    module = RawInterface(image_interface(network), relative, "percentile")
    image = torch.from_numpy(counts((3, 16, 16)).astype(np.float32))[None, None]
    with torch.inference_mode():
        expected = module.interface(module.scaled(image)[0])
        assert torch.equal(module(image), expected)


def test_a_light_field_is_scaled_by_its_interface_alone():
    network = small("volume")
    assert type(in_interface(network, "raw")) is type(in_interface(network, "image"))


class _Ends(torch.nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([percentile(values, percent) for percent in (2.0, 50.0, 99.8)], dim=1)


def test_a_graph_has_the_percentiles_of_every_size(tmp_path: Path):
    file = tmp_path / "percentiles.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older exporter, as for every export
        torch.onnx.export(
            _Ends(),
            (torch.rand(2, 90),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["values"],
            dynamic_axes={"values": {0: "batch", 1: "count"}},
        )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    # The last is an image of 1200 x 1000 pixels, of which 24,000 are below the second percentile.
    for shape in ((1, 1), (3, 2), (2, 501), (1, 1_200_000)):
        values = rng.integers(100, 60_000, shape).astype(np.float32)
        (found,) = session.run(None, {"values": values})
        expected = np.percentile(values.astype(np.float64), (2.0, 50.0, 99.8), axis=1).T
        np.testing.assert_allclose(found, expected, rtol=2 * float(np.finfo(np.float32).eps))
