"""Places of images: a translation of OME-Zarr goes to TIFF files, and is read there."""

from pathlib import Path

import pytest
import tifffile

from tests.helpers.microscope_files import STACK, Z, multiscales, zarr_image
from unifmir.images import create_sink, open_source, whole_region


def test_a_translation_of_ome_zarr_is_the_position_of_every_plane_of_an_ome_tiff(
    tmp_path: Path,
) -> None:
    said = multiscales("zyx", (0.4, 0.1, 0.1), translation=(2.0, -10.0, 20.0))
    made = zarr_image(tmp_path / "a.ome.zarr", STACK, said)
    source = open_source(made)
    for name in ("a.ome.tif", "a.tif"):
        sink = create_sink(tmp_path / name, source.shape, source.dtype, source.info)
        sink.write(whole_region(source.shape), source.read(whole_region(source.shape)))
        sink.publish()
        origin = open_source(tmp_path / name).info.origin
        assert origin == pytest.approx((None, 2.0, -10.0, 20.0)), name
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        planes = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]["Plane"]
    assert [plane["TheZ"] for plane in planes] == list(range(Z))
    assert {(plane["PositionX"], plane["PositionXUnit"]) for plane in planes} == {(20.0, "µm")}
    assert {(plane["PositionY"], plane["PositionYUnit"]) for plane in planes} == {(-10.0, "µm")}
    heights = [plane["PositionZ"] for plane in planes]
    assert heights == pytest.approx([2.0 + 0.4 * index for index in range(Z)])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        said = file.imagej_metadata or {}
    # ImageJ shows (pixel - origin) * size.
    assert [said[f"{axis}origin"] for axis in "zyx"] == pytest.approx([-5.0, 100.0, -200.0])


@pytest.mark.parametrize(
    "changes",
    [
        {"PositionXUnit": ["reference frame"] * 3, "PositionYUnit": ["reference frame"] * 3},
        {"PositionX": [1.0, 1.0, 2.0]},
        {"PositionX": [0.0] * 3, "PositionY": [0.0] * 3},
    ],
)
def test_positions_that_tell_no_place_are_left_out(
    tmp_path: Path, changes: dict[str, list[object]]
) -> None:
    positions: dict[str, list[object]] = {
        "PositionX": [1.0] * 3,
        "PositionY": [2.0] * 3,
        "PositionXUnit": ["µm"] * 3,
        "PositionYUnit": ["µm"] * 3,
    }
    metadata = {"axes": "ZYX", "Plane": positions | changes}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:3], metadata=metadata)
    assert open_source(tmp_path / "a.ome.tif").info.origin == (None,) * 4
