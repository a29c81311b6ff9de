"""Microscopes' own files: read through bioio, or told what to install."""

import pickle
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest

from unifmir.errors import ImageError, MissingExtraError
from unifmir.images import Channel, open_source

FIVE = np.random.default_rng(2).integers(0, 4000, (2, 3, 4, 20, 30), dtype=np.uint16)


class UnsupportedFileFormatError(Exception):
    """As bioio's, which is told by its name."""


class BioImage:
    """The part of bioio's class that is used, over FIVE."""

    def __init__(self, path: Path) -> None:
        if path.suffix == ".lif":
            raise UnsupportedFileFormatError("no reader installed")
        if path.read_bytes() == b"broken":
            raise IndexError("list index out of range")
        self.scenes = ("one", "two") if path.read_bytes() == b"two" else ("one",)
        self.scene = 0
        self.dims = SimpleNamespace(order="TCZYX")
        self.physical_pixel_sizes = SimpleNamespace(Z=0.3, Y=0.13, X=None)
        self.time_interval = timedelta(seconds=2.5)
        self.channel_names = ["DAPI", "GFP", "RFP"]

    def set_scene(self, index: int) -> None:
        self.scene = index

    @property
    def dask_data(self) -> Any:
        return dask.array.from_array(FIVE + self.scene, chunks=(1, 1, 1, 20, 30))


@pytest.fixture
def bioio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bioio that reads FIVE from every file."""
    module = ModuleType("bioio")
    module.BioImage = BioImage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bioio", module)


PART = (slice(1, 2), slice(0, 2), slice(1, 3), slice(5, 9), slice(0, 30))


@pytest.mark.usefixtures("bioio")
def test_regions_and_what_is_known_come_through_bioio(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").write_bytes(b"one")
    source = open_source(tmp_path / "a.nd2")
    assert source.shape == FIVE.shape
    assert source.chunks == (1, 1, 1, 20, 30)
    assert np.array_equal(source.read(PART), FIVE[PART])
    assert source.info.pixel_size_um == (0.13, None)
    assert (source.info.z_step_um, source.info.frame_interval_s) == (0.3, 2.5)
    assert source.info.channels == (Channel("DAPI"), Channel("GFP"), Channel("RFP"))
    assert np.array_equal(pickle.loads(pickle.dumps(source)).read(PART), FIVE[PART])


@pytest.mark.usefixtures("bioio")
def test_one_of_several_scenes_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.czi").write_bytes(b"two")
    with pytest.raises(ImageError, match=r"a\.czi: holds 2 images \(0: one, 1: two\)"):
        open_source(tmp_path / "a.czi")
    assert np.array_equal(open_source(tmp_path / "a.czi", series=1).read(PART), FIVE[PART] + 1)
    with pytest.raises(ImageError, match="no image number 2"):
        open_source(tmp_path / "a.czi", series=2)


@pytest.mark.usefixtures("bioio")
def test_a_damaged_file_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"a\.nd2: the image cannot be read \(IndexError"):
        open_source(tmp_path / "a.nd2")


@pytest.mark.usefixtures("bioio")
def test_a_missing_reader_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.lif").write_bytes(b"one")
    with pytest.raises(MissingExtraError, match=r"pip install bioio bioio-lif.*no reader"):
        open_source(tmp_path / "a.lif")


@pytest.mark.parametrize(
    ("name", "reader"), [("a.nd2", "bioio-nd2"), ("a.CZI", "bioio-czi"), ("a.vsi", "bioformats")]
)
def test_without_bioio_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reader: str
) -> None:
    monkeypatch.setitem(sys.modules, "bioio", None)
    (tmp_path / name).write_bytes(b"\xda\xce\xbe\x0a")
    with pytest.raises(MissingExtraError, match=rf"pip install bioio .*{reader}.*as TIFF"):
        open_source(tmp_path / name)
