"""Results of plates, sets, single images of a file, named files; their pixels and provenance."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tests.helpers import microscope_files as files
from tests.helpers.microscope_files import PLANE, STACK, X, Y, Z
from unifmir.errors import ImageError
from unifmir.images import open_source, whole_region
from unifmir.networks.base import Network
from unifmir.restoration.base import Predictor
from unifmir.restoration.restoration_options import Options
from unifmir.version import __version__
from unifmir.zoo.restore.files import restore_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, plan_jobs
from unifmir.zoo.restore.predictors import predictor_for


def planned(inputs: list[str], task: str, **wishes: Any) -> tuple[Job, ...]:
    """What `plan_jobs` would restore, when it refuses nothing."""
    work = plan_jobs(inputs, task, **wishes)
    if work.refused:
        raise work.refused[0].to_error()
    return work.jobs


FAST = Options(tile=64, halo=8)


@pytest.fixture
def denoiser(tiny_single: Any) -> Predictor:
    network: Network = tiny_single("denoise")
    return predictor_for(ModelChoice(task="denoise", device="cpu", runtime="eager"), network)


def restored(predictor: Predictor, *inputs: Path, **keywords: Any) -> list[Path]:
    jobs = planned([str(path) for path in inputs], "denoise", **keywords)
    return [restore_file(job, predictor, FAST).job.target for job in jobs]


def test_fields_of_a_plate_go_where_plates_keep_them(tmp_path: Path, denoiser: Predictor) -> None:
    plate = files.plate(tmp_path / "p.ome.zarr", ["A/1", "B/2"], fields=2)
    made = restored(denoiser, plate)
    whole = tmp_path / "p.denoise.ome.zarr"
    places = ["A/1/0", "A/1/1", "B/2/0", "B/2/1"]
    assert made == [whole / place for place in places]
    said = files.attributes_of(whole)["plate"]
    assert [well["path"] for well in said["wells"]] == ["A/1", "B/2"]
    assert said["rows"] == files.attributes_of(plate)["plate"]["rows"]
    wells = [files.attributes_of(whole / well)["well"]["images"] for well in ("A/1", "B/2")]
    assert wells == [[{"path": "0"}, {"path": "1"}]] * 2
    # The plate of results is a plate: it stands for its fields too.
    assert [job.source for job in planned([str(whole)], "sr")] == [whole / p for p in places]
    assert open_source(made[0]).info.z_step_um == pytest.approx(0.4)


def test_a_well_or_field_that_is_named_goes_to_its_own_place(tmp_path: Path) -> None:
    plate = files.plate(tmp_path / "p.ome.zarr", ["A/1", "A/2"])

    def targets(part: str, **keywords: Any) -> list[str]:
        jobs = planned([str(plate / part)], "sr", **keywords)
        return [job.target.relative_to(tmp_path).as_posix() for job in jobs]

    assert targets("A/2") == ["p.sr.ome.zarr/A/2/0"]
    assert targets("A/2/0") == ["p.sr.ome.zarr/A/2/0"]
    assert targets("A/2/0", out=tmp_path / "o") == ["o/p.sr.ome.zarr/A/2/0"]
    assert targets("", out=tmp_path / "r.ome.zarr") == ["r.ome.zarr/A/1/0", "r.ome.zarr/A/2/0"]
    assert targets("", kind="tiff") == ["p.A.1.0.sr.tif", "p.A.2.0.sr.tif"]


def test_a_plate_grows_by_the_fields_that_are_restored(tmp_path: Path, denoiser: Predictor) -> None:
    plate = files.plate(tmp_path / "p.ome.zarr", ["A/1", "A/2"])
    wells = []
    for well in ("A/2", "A/1"):
        restored(denoiser, plate / well)
        said = files.attributes_of(tmp_path / "p.denoise.ome.zarr")["plate"]["wells"]
        wells.append([one["path"] for one in said])
    assert wells == [["A/2"], ["A/1", "A/2"]]


def test_an_image_of_several_in_a_zarr_has_a_name_of_its_own(tmp_path: Path) -> None:
    several = tmp_path / "two.ome.zarr"
    zarr.open_group(str(several), mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    for number in range(2):
        files.zarr_image(several / str(number), STACK, files.multiscales("zyx", (0.4, 0.1, 0.1)))
    (job,) = planned([str(several / "1")], "sr")
    assert job.target == tmp_path / "two.1.sr.ome.zarr"
    (job,) = planned([str(several)], "sr", series=1)
    assert job.target == tmp_path / "two.series1.sr.ome.zarr"


def set_of_two(folder: Path) -> list[Path]:
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="3"><UUID FileName="T{t}.ome.tif">'
        f"{files.file_uuid(t)}</UUID></TiffData>"
        for t in range(2)
    )
    sizes = f'SizeX="{X}" SizeY="{Y}" SizeZ="3" SizeC="1" SizeT="2"'
    return [
        files.ome(
            folder / f"T{t}.ome.tif",
            STACK[3 * t : 3 * t + 3],
            files.ome_text(sizes, data=data, identity=f'UUID="{files.file_uuid(t)}"'),
        )
        for t in range(2)
    ]


def test_a_set_of_several_files_is_restored_once(tmp_path: Path) -> None:
    first, second = set_of_two(tmp_path)
    files.imagej(tmp_path / "other.tif", STACK)
    for inputs in ([str(tmp_path)], [str(tmp_path / "*.tif")], [str(first), str(second)]):
        names = [job.source.name for job in planned(inputs, "sr")]
        assert [name for name in names if name != "other.tif"] == ["T0.ome.tif"]
    source = open_source(first)
    assert np.array_equal(
        source.read(whole_region(source.shape)).squeeze(), STACK.reshape(2, 3, Y, X)
    )
    # A file whose set is not here is an image of its own, and is refused when it is opened.
    first.unlink()
    assert [job.source.name for job in planned([str(tmp_path)], "sr")] == [
        "T1.ome.tif",
        "other.tif",
    ]
    with pytest.raises(ImageError, match=r"T0\.ome\.tif not beside it.*6 planes, and 3 are there"):
        open_source(second)


def test_a_set_that_a_companion_describes_is_restored_once(tmp_path: Path) -> None:
    set_of_two(tmp_path)
    with tifffile.TiffFile(tmp_path / "T0.ome.tif") as file:
        text = file.ome_metadata or ""
    (tmp_path / "all.companion.ome").write_text(text, encoding="utf-8")
    for t in range(2):
        points = (
            f'<OME xmlns="{files.OME}" UUID="{files.file_uuid(t)}"><BinaryOnly '
            f'MetadataFile="all.companion.ome" UUID="{files.file_uuid(9)}"/></OME>'
        )
        files.ome(tmp_path / f"T{t}.ome.tif", STACK[3 * t : 3 * t + 3], points)
    (job,) = planned([str(tmp_path)], "sr")
    source = open_source(job.source)
    assert np.array_equal(source.read(whole_region(source.shape)), STACK.reshape(2, 1, 3, Y, X))


def test_an_image_of_several_in_a_tiff_is_chosen(tmp_path: Path, denoiser: Predictor) -> None:
    path = files.pages(tmp_path / "a.tif", [PLANE[:16, :20], *STACK[1:3]])
    made = [restored(denoiser, path, series=n)[0] for n in range(2)]
    assert [one.name for one in made] == ["a.series0.denoise.tif", "a.series1.denoise.tif"]
    assert [open_source(one).shape[2:] for one in made] == [(1, 16, 20), (2, Y, X)]


@pytest.mark.parametrize(
    ("name", "says"),
    [("r.tif", "is_imagej"), ("r.ome.tif", "is_ome")],
)
def test_the_file_that_out_names_is_the_result(
    tmp_path: Path, denoiser: Predictor, name: str, says: str
) -> None:
    source = files.imagej(tmp_path / "a.tif", STACK)
    assert restored(denoiser, source, out=tmp_path / "new" / name) == [tmp_path / "new" / name]
    with tifffile.TiffFile(tmp_path / "new" / name) as file:
        assert getattr(file, says)


def test_a_file_cannot_be_the_result_of_several_images_or_another_format(tmp_path: Path) -> None:
    inputs = [str(files.imagej(tmp_path / name, STACK)) for name in ("a.tif", "b.tif")]
    with pytest.raises(ImageError, match=r"r\.tif is the name of one file, and there are 2 images"):
        planned(inputs, "sr", out=tmp_path / "r.tif")
    with pytest.raises(ImageError, match=r"r\.tif is the name of a tiff file"):
        planned(inputs[:1], "sr", out=tmp_path / "r.tif", kind="zarr")
    for name in ("r.jpg", "r.czi", "r.npy"):
        with pytest.raises(ImageError, match=r"results are written as \.ome\.tiff"):
            planned(inputs[:1], "sr", out=tmp_path / name)
    (tmp_path / "folder.tif").mkdir()
    (job,) = planned(inputs[:1], "sr", out=tmp_path / "folder.tif")
    assert job.target == tmp_path / "folder.tif" / "a.sr.tif"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float64"])
def test_results_have_the_pixels_of_the_image_if_asked(
    tmp_path: Path, denoiser: Predictor, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = (STACK // 4).astype(dtype)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, image, metadata={"axes": "ZYX"})
    (real,) = restored(denoiser, path, out=tmp_path / "real.ome.tif")
    with caplog.at_level(logging.WARNING):
        (made,) = restored(denoiser, path, out=tmp_path / "same.ome.tif", pixels="input")
    values, expected = tifffile.imread(made), tifffile.imread(real)
    assert (values.dtype.name, expected.dtype.name) == (dtype, "float32")
    if dtype == "float64":
        assert np.array_equal(values, expected.astype(np.float64))
        return
    limits = np.iinfo(dtype)
    assert np.array_equal(values, np.rint(expected).clip(limits.min, limits.max).astype(dtype))
    clipped = int(((np.rint(expected) < limits.min) | (np.rint(expected) > limits.max)).sum())
    assert f"rounded to {dtype}" in caplog.text
    assert (f"{clipped} pixels were clipped" if clipped else "none were clipped") in caplog.text


def test_relative_values_are_not_rounded(tmp_path: Path, tiny_single: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, :24, :24])
    choice = ModelChoice(task="volume", device="cpu", runtime="eager")
    predictor = predictor_for(choice, tiny_single("volume"))
    (job,) = planned([str(tmp_path / "a.tif")], "volume", pixels="input")
    with pytest.raises(ImageError, match=r"a\.tif: volume gives relative values"):
        restore_file(job, predictor, Options())


def test_every_result_says_how_it_was_made(tmp_path: Path, denoiser: Predictor) -> None:
    source = files.imagej(tmp_path / "a.tif", STACK, "unit=um", "spacing=0.4")
    for name in ("a.tif", "a.ome.tif", "a.ome.zarr"):
        (made,) = restored(denoiser, source, out=tmp_path / "out" / name)
        said = json.loads(open_source(made).info.provenance)
        assert said["task"] == "denoise"
        assert said["version"] == __version__
        assert said["model"] == denoiser.ran["model"]
        assert said["weights_sha256"] == denoiser.ran["weights"]
        assert len(said["weights_sha256"]) == 64
        assert said["settings"]["precision"] == "fp32"
        assert (said["settings"]["tile"], said["settings"]["halo"]) == (64, 8)


def test_a_time_series_that_looks_like_a_stack_is_told_about_axes(
    tmp_path: Path, denoiser: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX"})
    restored(denoiser, tmp_path / "a.tif")
    assert f"read as {Z} time points of one plane each" in caplog.text
    assert "--axes zyx" in caplog.text
    caplog.clear()
    restored(denoiser, tmp_path / "a.tif", axes="tyx", overwrite=True)
    restored(denoiser, tmp_path / "a.tif", axes="zyx", overwrite=True)
    assert "--axes" not in caplog.text
