import pytest

from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.errors import ExportError
from unifmir.export.case_sizes import verified_shapes
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes.tensorrt.profiles import (
    Profile,
    default_profile,
    read_profile,
    shapes_within,
)
from unifmir.interfaces import InputKind
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

INTERFACES: tuple[InputKind, ...] = ("network", "image")


def lineage(config, interface="image"):
    return lineage_of(config, interface, Precision("fp32"), Provenance("x.safetensors", "0" * 64))


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("task", TASKS)
def test_every_size_that_formats_are_verified_at_is_in_the_default_profile(
    task, interface, tiny_config
):
    config = tiny_config.single(task)
    profile = default_profile(config, interface)
    shapes = verified_shapes(config, interface)
    assert all(profile.takes(shape) for shape in shapes)
    assert shapes_within(config, interface, profile) == (*shapes, profile.opt)
    assert read_profile(profile.text, lineage(config, interface)) == profile


@pytest.mark.parametrize("name", list(REFERENCES))
def test_reference_models_have_profiles_that_they_can_be_verified_in(name):
    from unifmir import load

    for task in REFERENCES[name].tasks:
        config = load(name, task=task).config
        for interface in INTERFACES:
            profile = default_profile(config, interface)
            assert all(profile.takes(s) for s in verified_shapes(config, interface))


def test_a_light_field_is_tuned_for_whole_lenses(tiny_config):
    profile = default_profile(tiny_config.single("volume"), "image")
    assert profile.opt == (1, 1, 48, 48)
    assert all(n % 3 == 0 for shape in profile.shapes for n in shape[-2:])


def test_a_narrow_profile_is_verified_at_what_it_takes(tiny_config):
    config = tiny_config.single("sr")
    profile = read_profile("1x1x64x64,1x1x64x64,2x1x64x64", lineage(config))
    shapes = shapes_within(config, "image", profile)
    assert set(shapes) == {(1, 1, 64, 64), (2, 1, 64, 64)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "three shapes"),
        ("64", "three shapes"),
        ("1x1x8x8,1x1xax8,1x1x8x8", "three shapes"),
        ("1x1x8x8,1x1x8x8", "three shapes"),
        ("1x8x8,1x8x8,1x8x8", "3 axes, expected batch x channel=1 x height x width"),
        ("1x2x8x8,1x1x8x8,1x1x8x8", "channel is 2, it is always 1"),
        ("1x1x8x8,1x1x4x8,1x1x8x8", "MIN <= OPT <= MAX"),
        ("1x1x8x8,1x1x8x8,1x1x8x4", "MIN <= OPT <= MAX"),
        ("0x1x8x8,1x1x8x8,1x1x8x8", "batch 0"),
    ],
)
def test_a_profile_that_cannot_be_is_told(text, told, tiny_config):
    with pytest.raises(ExportError, match=told):
        read_profile(text, lineage(tiny_config.single("sr")))


def test_a_light_field_profile_is_of_whole_lenses(tiny_config):
    with pytest.raises(ExportError, match="a multiple of 3"):
        read_profile("1x1x6x6,1x1x16x16,1x1x32x32", lineage(tiny_config.single("volume")))


def test_a_profile_takes_what_lies_within_it():
    profile = Profile((1, 1, 8, 8), (1, 1, 16, 16), (2, 1, 32, 64))
    assert profile.takes((2, 1, 32, 64))
    assert not profile.takes((3, 1, 32, 64))
    assert not profile.takes((1, 1, 64, 32))
    assert not profile.takes((1, 8, 8))
    assert Profile.from_dict(profile.to_dict()) == profile


@pytest.mark.parametrize("task", TASKS)
def test_the_documentation_has_the_default_profiles(task, repo):
    config = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig()).single(task)
    shapes = default_profile(config, "image").shapes
    text = (repo / "docs" / "tensorrt.md").read_text("utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {task} |"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3:6] == [", ".join(map(str, shape)) for shape in shapes]
