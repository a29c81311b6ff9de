"""Every hyper-parameter is read off the shapes, and a misfit is explained key by key."""

import json
from pathlib import Path

import pytest
import torch

from unifmir.checkpoint import detect as detection
from unifmir.checkpoint.detect import candidate_tasks, chosen_task, detect, expected_shapes
from unifmir.checkpoint.inspection import inspect_file, parameter_count
from unifmir.checkpoint.official import is_unused, official_state_dict
from unifmir.config import (
    BodyConfig,
    ModelConfig,
    MultiTaskConfig,
    ProjectorConfig,
    ReferenceConfig,
    SingleTaskConfig,
    ViewUNetConfig,
)
from unifmir.errors import CheckpointError, UnknownNameError

STATE_DICTS = Path(__file__).parents[2] / "golden" / "state_dicts"
BODY = BodyConfig()
VOLUME = SingleTaskConfig(
    "volume",
    BODY,
    in_channels=61,
    out_channels=61,
    tail_features=90,
    body_residual=False,
    view_unet=ViewUNetConfig(),
)
# Parameters and scalars of the official state dicts. Both count the projecting network's four
# unused values, which our networks do not have.
OFFICIAL: dict[str, tuple[ModelConfig, int, int]] = {
    "sr": (SingleTaskConfig("sr", BODY, scale=2), 1_564_973, 3_997_997),
    "denoise1": (SingleTaskConfig("denoise", BODY), 1_527_981, 3_961_005),
    "denoise5": (SingleTaskConfig("denoise", BODY, in_channels=5), 1_531_221, 3_964_245),
    "projection": (
        SingleTaskConfig("projection", BODY, projector=ProjectorConfig()),
        78_654_258,
        81_161_010,
    ),
    "volume": (VOLUME, 20_689_400, 23_129_358),
    "multitask": (
        MultiTaskConfig(BODY, ProjectorConfig(), ViewUNetConfig()),
        97_885_750,
        100_399_436,
    ),
}
SMALL_BODIES = (
    BodyConfig(embed_dim=24, depths=(2, 3), num_heads=(4, 2), window_size=4, mlp_hidden=30),
    BodyConfig(embed_dim=60, depths=(1,), num_heads=(6,), window_size=5, mlp_hidden=120),
)


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    listed = json.loads((STATE_DICTS / f"{name}.json").read_text("utf-8"))
    return {key: tuple(shape) for key, (_, shape) in listed.items()}


def diagnosis(shapes, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        detect(shapes, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_files_are_recognised_with_their_official_sizes(name):
    shapes = official_shapes(name)
    config, parameters, scalars = OFFICIAL[name]
    assert detect(shapes) == config
    unused = sum(torch.Size(shape).numel() for key, shape in shapes.items() if is_unused(key))
    assert unused == (4 if name in ("projection", "multitask") else 0)
    assert parameter_count(config) + unused == parameters
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == scalars


@pytest.mark.parametrize("body", SMALL_BODIES)
@pytest.mark.parametrize(
    "parts",
    [
        {"task": "sr", "scale": 2, "tail_features": 12},
        {"task": "sr", "scale": 3},
        {"task": "denoise", "in_channels": 7},
        {
            "task": "projection",
            "projector": ProjectorConfig(
                planes=9, features=12, blocks=17, match_features=5, random_features=20
            ),
        },
        {
            "task": "volume",
            "in_channels": 7,
            "out_channels": 7,
            "body_residual": False,
            "view_unet": ViewUNetConfig(
                views=25, planes=7, stem_features=64, entry_features=8, encoder=(8, 12, 12)
            ),
        },
    ],
)
def test_small_networks_are_read_by_the_same_code(body, parts):
    config = SingleTaskConfig(body=body, **parts)
    assert detect(expected_shapes(config)) == config


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_multi_task_networks_of_any_scale_are_read(scale, tiny_config):
    from dataclasses import replace

    config = replace(
        tiny_config, sr_scale=scale, denoise_channels=3, volume_tail_features=10, tail_features=4
    )
    assert detect(expected_shapes(config)) == config


def test_the_official_multi_task_file_of_scale_1_has_722_keys():
    shapes = official_shapes("multitask")
    smaller = {key: shape for key, shape in shapes.items() if not key.startswith("upsamplesr")}
    assert len(smaller) == 722
    config = detect(smaller)
    assert isinstance(config, MultiTaskConfig)
    assert config.sr_scale == 1
    assert parameter_count(config) + 4 == 97_848_758


def test_the_task_decides_between_denoise_and_isotropic():
    shapes = official_shapes("denoise1")
    assert detect(shapes) == OFFICIAL["denoise1"][0]
    config = detect(shapes, task="isotropic")
    assert isinstance(config, SingleTaskConfig)
    assert config.task == "isotropic"
    assert candidate_tasks(config) == ("isotropic", "denoise")
    assert candidate_tasks(detect(shapes)) == ("denoise", "isotropic")


@pytest.mark.parametrize(
    ("name", "task", "option"),
    [
        ("sr", "denoise", "--task sr"),
        ("denoise1", "sr", "--task denoise"),
        ("denoise5", "isotropic", "--task denoise"),
        ("projection", "volume", "--task projection"),
        ("volume", "sr", "--task volume"),
    ],
)
def test_a_task_that_does_not_fit_names_the_option_that_does(name, task, option):
    message = diagnosis(official_shapes(name), task=task)
    assert f"not a network for task {task!r}" in message
    assert option in message


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="denoise"):
        detect(official_shapes("sr"), task="denoize")


def test_a_multi_task_checkpoint_without_its_volume_tail_is_called_that():
    shapes = official_shapes("multitask")
    for key in [k for k in shapes if k.startswith(("conv_lastv", "conv_before_upsamplev"))]:
        del shapes[key]
    message = diagnosis(shapes)
    assert "a multi-task checkpoint without its volume tail" in message
    assert "missing (4)" in message
    assert "conv_lastv.weight [61, 90, 3, 3]" in message


def test_a_part_of_which_keys_are_missing_is_called_incomplete():
    shapes = official_shapes("volume")
    del shapes["conv_last.bias"]
    assert "a single-task network for volume with an incomplete tail" in diagnosis(shapes)


def test_long_lists_of_keys_are_cut_with_their_count():
    shapes = official_shapes("projection")
    message = diagnosis({k: s for k, s in shapes.items() if not k.startswith("denoise.layers")})
    assert message.count("denoise.layers.") == 12
    assert "more" in message
    assert len(message.splitlines()) < 30


def test_a_part_of_projection_or_volume_alone_is_recognised():
    for name, start, words in (
        ("projection", "project.", "the projecting network alone"),
        ("volume", "conv_first0.", "the light-field U-Net alone"),
    ):
        shapes = {
            key.removeprefix(start): shape
            for key, shape in official_shapes(name).items()
            if key.startswith(start)
        }
        assert words in diagnosis(shapes)


def test_unexpected_and_wrong_shaped_keys_are_listed_with_their_shapes():
    shapes = official_shapes("sr")
    shapes["extra.weight"] = (2, 3)
    shapes["norm.bias"] = (91,)
    message = diagnosis(shapes)
    assert "unexpected (1):\n    extra.weight [2, 3]" in message
    assert "norm.bias: expected [90], found [91]" in message


@pytest.mark.parametrize("embedding", [60, 180])
def test_swinir_for_natural_images_is_recognised(embedding):
    from dataclasses import replace

    body = replace(BODY, embed_dim=embedding)
    colour = SingleTaskConfig("sr", body, in_channels=3, out_channels=3, tail_features=64, scale=2)
    shapes = expected_shapes(colour)
    assert f"3 colour channels in and out, embedding {embedding}" in diagnosis(shapes)
    gray = dict(expected_shapes(replace(colour, in_channels=1, out_channels=1)))
    gray["upsample.2.weight"] = (256, 64, 3, 3)
    assert "SwinIR" in diagnosis(gray)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["input.0.weight", "RGs.0.FCABs.0.conv.weight"], "DFCAN"),
        (["head.0.weight", "body.0.body.0.weight", "tail.1.weight"], "EDSR"),
        (["inc.double_conv.0.weight"], "a U-Net"),
        (["patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"], "Swin classifier"),
        (["fc.weight"], "nothing in common"),
        (["norm.weight", "upsample.0.weight"], "nearest known layout is restoration"),
    ],
)
def test_foreign_networks_are_named_or_compared(keys, words):
    message = diagnosis(dict.fromkeys(keys, (4, 4, 3, 3)))
    assert "not a UniFMIR checkpoint" in message
    assert words in message


def test_nothing_at_all_is_said_to_be_nothing():
    assert "no weights" in diagnosis({})


@pytest.mark.parametrize(
    ("name", "key", "shape", "words"),
    [
        ("sr", "norm.weight", (0,), "sizes that no network has"),
        ("sr", "norm.weight", (2**40,), "sizes that no network has"),
        (
            "sr",
            "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
            (199**2, 6),
            "windows of 100 pixels",
        ),
        ("sr", "conv_first.weight", (90, 2, 3, 3), "reads 2"),
        ("denoise5", "conv_first.weight", (90, 4, 3, 3), "an odd number of slices"),
        ("volume", "conv_first0.conv2d.weight", (128, 120, 7, 7), "square number"),
        ("volume", "conv_first0.conv2d.weight", (120, 121, 7, 7), "multiple of 32"),
        ("volume", "conv_first0.encoder_layers.1.0.weight", (2, 128, 3, 3), "none narrower"),
    ],
)
def test_sizes_that_no_network_can_have_are_refused(name, key, shape, words):
    assert words in diagnosis({**official_shapes(name), key: shape})


def test_heads_must_divide_the_embedding():
    shapes = official_shapes("sr")
    for key in [k for k in shapes if k.endswith("relative_position_bias_table")]:
        shapes[key] = (225, 7)
    assert "do not divide" in diagnosis(shapes)


def test_thousands_of_layers_are_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(detection, "expected_shapes", pytest.fail)
    shapes = official_shapes("sr")
    more = {f"layers.{i}.residual_group.blocks.0.norm1.bias": (90,) for i in range(2000)}
    assert "layers of a kind" in diagnosis({**shapes, **more})


def test_control_characters_in_keys_do_not_reach_the_terminal():
    message = diagnosis({**official_shapes("sr"), "\x1b[2Jconv\n": (1,)})
    assert "\x1b" not in message
    assert "?[2Jconv?" in message


def test_inspection_of_an_official_format_file_has_the_official_figures(tmp_path):
    from unifmir.model import build

    config, parameters, scalars = OFFICIAL["sr"]
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in official_state_dict(build(config)).items()}},
        tmp_path / "model_best.pt",
    )
    found = inspect_file(tmp_path / "model_best.pt")
    assert (found.parameters, found.scalars, found.tensors) == (parameters, scalars, 281)
    assert (found.kind, found.task, found.candidate_tasks) == ("single", "sr", ("sr",))
    assert (found.nest, found.prefix) == ("state_dict", "module.")
    assert found.dtypes == {"float32": 263, "int64": 18}
    assert len(found.derivable) == 27
    assert json.loads(json.dumps(found.to_dict()))["config"] == config.to_dict()


def test_inspection_counts_the_unused_values_of_a_projection_file_as_the_official_code_does(
    tiny_single, tmp_path
):
    network = tiny_single("projection")
    torch.save(official_state_dict(network), tmp_path / "a.pt")
    found = inspect_file(tmp_path / "a.pt")
    assert found.parameters == sum(p.numel() for p in network.parameters()) + 4
    assert len(found.unused) == 4


def test_inspection_says_when_the_task_was_a_choice(tiny_single, tmp_path):
    torch.save(tiny_single("isotropic").half().state_dict(), tmp_path / "a.pt")
    found = inspect_file(tmp_path / "a.pt")
    assert found.candidate_tasks == ("denoise", "isotropic")
    assert any("--task" in note for note in found.notes)
    assert any("float16" in note for note in found.notes)
    assert inspect_file(tmp_path / "a.pt", task="isotropic").task == "isotropic"


def test_a_reference_network_that_magnifies_is_for_no_task_that_does_not():
    """The same weights fit, and would enlarge nothing: denoise of an sr file is refused."""
    assert candidate_tasks(ReferenceConfig("care-2d", "denoise")) == ("denoise", "isotropic")
    with pytest.raises(CheckpointError, match=r"not a network for task 'denoise'.*--task sr"):
        chosen_task(ReferenceConfig("care-2d", "sr"), "denoise")
