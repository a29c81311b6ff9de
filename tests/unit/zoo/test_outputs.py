"""Which images an input names, what their results are called, and what is refused."""

import re
from pathlib import Path

import pytest

from unifmir.errors import ImageError
from unifmir.zoo.restore.outputs import WorkList, output_path, plan_jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tif", "a.ome.tiff", "c.png", "notes.txt", "a.sr.tif", ".hidden.tif"):
        (tmp_path / name).touch()
    (tmp_path / "z.ome.zarr").mkdir()
    return tmp_path


def names(work: WorkList) -> list[str]:
    return [job.source.name for job in work.jobs]


@pytest.mark.parametrize(
    ("source", "kind", "target"),
    [
        ("cell.tif", None, "cell.sr.tif"),
        ("cell.OME.TIFF", None, "cell.sr.tif"),
        ("a.b.png", None, "a.b.sr.tif"),
        ("cell.ome.zarr", None, "cell.sr.ome.zarr"),
        ("cell.zarr", None, "cell.sr.ome.zarr"),
        ("cell.tif", "zarr", "cell.sr.ome.zarr"),
        ("cell.ome.zarr", "tiff", "cell.sr.tif"),
    ],
)
def test_a_result_is_called_after_its_image_and_task(source, kind, target):
    assert output_path(Path("in", source), "sr", kind=kind) == Path("in", target)
    assert output_path(Path("in", source), "sr", kind=kind, out=Path("o")) == Path("o", target)


def test_a_folder_gives_its_images_without_results_and_hidden_files(folder):
    jobs = plan_jobs([str(folder)], "denoise")
    assert names(jobs) == ["a.ome.tiff", "b.tif", "c.png", "z.ome.zarr"]


def test_a_pattern_gives_what_fits_it_and_an_ome_zarr_folder_is_one_image(folder):
    assert names(plan_jobs([str(folder / "*.tif")], "denoise")) == ["b.tif"]
    assert names(plan_jobs([str(folder / "z.ome.zarr")], "denoise")) == ["z.ome.zarr"]


def test_an_image_that_is_named_twice_is_restored_once(folder):
    jobs = plan_jobs([str(folder / "b.tif"), str(folder / "?.tif")], "denoise")
    assert names(jobs) == ["b.tif"]


def test_a_circle_of_links_in_a_folder_leaves_the_other_images(folder):
    (folder / "circle.tif").symlink_to("circle.tif")
    assert {"b.tif", "c.png"} <= set(names(plan_jobs([str(folder)], "denoise")))


def test_a_result_that_is_a_link_is_called_as_it_was_named(folder):
    out = folder / "result.tif"
    out.symlink_to(folder / "elsewhere.tif")
    (refused,) = plan_jobs([str(folder / "b.tif")], "denoise", out=out).refused
    assert f"{out} exists" in str(refused.error)


def test_a_result_is_restored_when_it_is_named(folder):
    (job,) = plan_jobs([str(folder / "a.sr.tif")], "denoise").jobs
    assert job.target.name == "a.sr.denoise.tif"


def refusals(work: WorkList) -> dict[str, str]:
    return {one.source.name: one.reason for one in work.refused}


def test_a_result_that_exists_is_refused_replaced_or_left_out(folder):
    inputs = [str(folder / "a.ome.tiff"), str(folder / "b.tif")]
    kept = plan_jobs(inputs, "sr")
    assert names(kept) == ["b.tif"]
    assert re.search(r"a\.sr\.tif exists: .*--overwrite", refusals(kept)["a.ome.tiff"])
    assert len(plan_jobs(inputs, "sr", overwrite=True).jobs) == 2
    left_out = plan_jobs(inputs, "sr", skip_existing=True)
    assert names(left_out) == ["b.tif"]
    assert [job.source.name for job in left_out.skipped] == ["a.ome.tiff"]
    assert left_out.files == 2


def test_two_images_never_become_one_result(folder):
    (folder / "b.png").touch()
    work = plan_jobs([str(folder / "b.png"), str(folder / "b.tif")], "sr")
    assert names(work) == ["b.png"]
    assert "would both become b.sr.tif" in refusals(work)["b.tif"]


def test_a_source_is_never_replaced(folder):
    inputs = [str(folder / "a.ome.tiff"), str(folder / "a.sr.tif")]
    work = plan_jobs(inputs, "sr", overwrite=True)
    assert names(work) == ["a.sr.tif"]
    assert "would replace" in refusals(work)["a.ome.tiff"]


def test_one_input_that_names_nothing_leaves_the_others(folder):
    work = plan_jobs([str(folder / "missing.tif"), str(folder / "b.tif")], "sr")
    assert names(work) == ["b.tif"]
    assert str(folder / "missing.tif") in refusals(work)["missing.tif"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("missing.tif", "no such file"),
        ("*.nothing", "no file fits"),
        ("*.txt", "no image that is not"),
    ],
)
def test_an_input_without_images_is_refused(folder, text, told):
    (refused,) = plan_jobs([str(folder / text)], "sr").refused
    assert told in refused.reason
    assert isinstance(refused.to_error(), ImageError)
