"""A restoration in a process of its own, as the napari plugin starts it, without napari."""

import os

import numpy as np
import pytest

import unifmir
from unifmir.cli.napari.layer_image import LayerImage
from unifmir.cli.napari.layer_restoration import LayerRestoration
from unifmir.samples import sample
from unifmir.zoo.restore import restoring_process
from unifmir.zoo.restore.restore_settings import RestoreSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Pixel:
    """A unit that is neither a length nor a time."""

    def is_compatible_with(self, _other: str) -> bool:
        return False


@pytest.fixture
def image() -> LayerImage:
    """The denoising sample as a layer."""
    data = np.ascontiguousarray(sample("denoise").image[:6, :64, :72])
    return LayerImage(
        name="cells, raw",
        data=data,
        axes="zyx",
        scale=(1.0,) * 3,
        translate=(0.0,) * 3,
        units=(Pixel(),) * 3,
        labels=("z", "y", "x"),
        shown={"contrast_limits": (0.0, 9.0)},
        turned={},
    )


def test_a_part_and_the_whole_are_what_restore_gives(image):
    expected = unifmir.restore(image.data, task="denoise", axes="zyx")
    whole = LayerRestoration(image, RestoreSettings("denoise"))
    told = [news.text for news in whole.run()]
    assert whole.failure is None
    assert told[-1].startswith("restoring, 1 of 1 tiles")
    assert whole.layer is not None
    np.testing.assert_array_equal(whole.layer[0], expected)
    region = ((0, 1), (0, 1), (2, 4), (8, 40), (16, 72))
    part = LayerRestoration(image, RestoreSettings("denoise"), region)
    list(part.run())
    assert part.layer is not None
    values, properties, _ = part.layer
    np.testing.assert_allclose(values, expected[2:4, 8:40, 16:72], rtol=1e-5)
    assert properties["translate"] == [2.0, 8.0, 16.0]
    report = properties["metadata"]["unifmir"]
    assert report["region"] == [[0, 1], [0, 1], [2, 4], [8, 40], [16, 72]]
    assert report["ran"]["model"] == "unifmir-small-sim"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RestoreSettings("isotropic"), "cells, raw does not say how far apart its planes are"),
        (RestoreSettings("denoise", model="nobodys"), "nobodys"),
    ],
)
def test_what_cannot_be_restored_is_said_in_words_of_the_viewer(image, settings, said):
    run = LayerRestoration(image, settings)
    list(run.run())
    assert run.layer is None
    assert run.failure is not None
    assert said in run.failure
    assert "unifmir-" not in run.failure.partition(said)[0]  # no temporary folder


def test_a_cancelled_process_has_ended_and_left_nothing(image, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = LayerRestoration(image, RestoreSettings("denoise"))
    process = 0
    for news in run.run():
        if news.text.startswith("restoring"):
            assert run._process is not None
            process = run._process.id
            os.kill(process, 0)
            run.cancel()
    assert process
    assert (run.layer, run.failure, run.cancelled) == (None, None, True)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_told_with_its_last_words(image, tmp_path, monkeypatch):
    crash = tmp_path / "crash.py"
    crash.write_text(
        "import sys, os\nprint('out of luck', file=sys.stderr)\nsys.stderr.flush()\nos.abort()\n"
    )
    command = (*restoring_process.COMMAND[:1], str(crash))
    monkeypatch.setattr(restoring_process, "COMMAND", command)
    run = LayerRestoration(image, RestoreSettings("denoise"))
    list(run.run())
    assert run.failure is not None
    assert "crashed (SIGABRT)" in run.failure
    assert "out of luck" in run.failure


def test_a_result_that_no_region_fits_is_refused(image):
    region = ((0, 1), (0, 1), (2, 4), (8, 400), (16, 72))
    run = LayerRestoration(image, RestoreSettings("denoise"), region)
    list(run.run())
    assert "does not lie in the image" in str(run.failure)
