"""MRC and NIfTI-1 images: files that mrcfile and nibabel wrote, and what is told of others."""

import base64
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.hostile.header_array_inputs import STACK, mrc, nifti
from unifmir.errors import ImageError
from unifmir.images import open_source, whole_region

PIXELS = (np.arange(3 * 4 * 5).reshape(3, 4, 5) * 7 % 251).astype(np.uint16)
WRITTEN = {
    # mrcfile 1.5.4: set_data(PIXELS), voxel_size (x, y, z) = (0.5, 0.25, 0.125)
    "a.mrc": (
        "c-rmCFEGOa7{}pf7}BIkcDFmyq*<ZZ-y>}&SR$E1A~;K<SmFdrq%A2<ahf|p({{?*nx^S~+|8LHX}{<0",
        "Q{L|z#aPg2(70jI9~;RW$5|eixho8c1k1?x&!>Z8CiC)j|LvyY-<9)g$x?~)?PftJ6#B!2n7A3UQqmS>",
        "tteZ!Vatv^hZ;_tx^SuO+O2yJo;>U7>3j9&UBsj*(-P*)Td*W&RYldNnqB+qjx?QVxzh0gJ5nTb",
    ),
    # mrcfile 1.5.4: set_data(PIXELS[0] as float32)
    "b.mrc": (
        "c-muSU|?VYVn!flVn79~NOGuPixUjP^f4oJIWsV{Ix%1YYyB8#4tyO06kJ?@E-O)VVi*OZU=$Dm9yl;C",
        "BselKtN`K%K+FToI~qXj0>lYGTm!^CKs*bGR{-%gAU*=bmw@;I5WfTBKTe>$4*)DL7y$",
    ),
    # nibabel 5: Nifti1Image of PIXELS as (x, y, z), 0.5 um, 0.25 um and 2 um in mm
    "a.nii": (
        "c-qB~FAPBe5XOJcV<hZtBoc{4^1SeDHWG>CB@)4(M8aky5{X38NSdZ;nx<)*?(q~no94USeRsF}w!6~=",
        "eu9V%s~&}?y}{ysP*<%<V!S5xWSy0J{p#za!G?yv<NFHtJ3f0o*<?;J(^tchXJ*HV2Oj}KM2Ml1B14V>",
        "MatA^(x%UlF;nI&S+QZujy(sCoH%pgs(;*p3om|xgoz@PAWfD$8YL<;XwhN7hzT<m+yI1UB@h",
    ),
}


def written(folder: Path, name: str) -> Path:
    """A file that the format's own library wrote."""
    path = folder / name
    path.write_bytes(zlib.decompress(base64.b85decode("".join(WRITTEN[name]))))
    return path


def read(path: Path) -> np.ndarray:
    source = open_source(path)
    return source.read(whole_region(source.shape)).squeeze()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.mrc", PIXELS), ("b.mrc", PIXELS[0].astype(np.float32)), ("a.nii", PIXELS)],
)
def test_what_the_formats_own_libraries_write_is_read(tmp_path, name, expected):
    found = read(written(tmp_path, name))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_distances_have_the_unit_that_the_file_says(tmp_path):
    info = open_source(written(tmp_path, "a.nii")).info
    assert (*info.pixel_size_um, info.z_step_um) == pytest.approx((0.25, 0.5, 2.0))
    assert open_source(written(tmp_path, "a.mrc")).info.unitless == (None, 0.125, 0.25, 0.5)


def test_a_packed_image_is_the_same(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti()))
    np.testing.assert_array_equal(read(tmp_path / "a.nii.gz"), STACK)


def test_a_region_is_read_from_where_it_lies(tmp_path):
    (tmp_path / "a.mrc").write_bytes(mrc(order=">"))
    region = (slice(0, 1), slice(0, 1), slice(1, 3), slice(2, 5), slice(4, 9))
    found = open_source(tmp_path / "a.mrc").read(region)
    np.testing.assert_array_equal(found[0, 0], STACK[1:3, 2:5, 4:9])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.mrc", mrc()[:-1], "cut short"),
        ("a.mrc", mrc(word_24=-1), "an extended one"),
        ("a.mrc", b"", "less than the header"),
        ("a.nii", nifti(code=128), "expected real numbers"),
        ("a.nii", nifti(at_344=b"ni1\0"), "save it so"),
        ("a.nii.gz", nifti(), "BadGzipFile"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=expected):
        open_source(tmp_path / name)
