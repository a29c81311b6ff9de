"""Precision is decided from data, and the decision holds in eager mode and in ONNX."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.precision_cases import IMAGES, image, psnr_db, run, task_input
from tests.helpers.quick_rows import few_quick
from unifmir.compare import LOW_PRECISION, Tolerance
from unifmir.errors import ExportError
from unifmir.model import image_interface
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.precision.islands import kept_parts, parts, streams
from unifmir.precision.planning import plan_precision
from unifmir.precision.ranges import FP16_MAX, measured
from unifmir.precision.variants import computing, first_nonfinite, stored, stored_dtypes
from unifmir.tasks import TASKS


@pytest.fixture
def sr(tiny_single):
    return tiny_single("sr")


def test_ranges_attribute_intermediates_to_the_innermost_module(sr):
    report, _ = measured(sr, [task_input("sr")])
    attention = report.row("layers.0.residual_group.blocks.1.attn")
    assert attention.kind == "WindowAttention"
    assert attention.caller == "layers.0.residual_group.blocks.1"
    # The mask of -100 is inside the attention of shifted windows, and never in its output.
    assert attention.max_abs > 90 > 20 > attention.max_output
    assert attention.headroom == pytest.approx(FP16_MAX / attention.max_abs)
    assert attention.max_weight == pytest.approx(
        float(
            sr.layers[0]
            .residual_group.blocks[1]
            .attn.relative_position_bias_table.detach()
            .abs()
            .max()
        )
    )
    assert report.row("patch_embed.norm").caller == ""


def test_ranges_are_deterministic_sorted_and_json(sr):
    inputs = [task_input("sr"), image(1, 1, 9, 9)]
    first, second = (measured(sr, inputs)[0] for _ in range(2))
    assert first == second
    magnitudes = [row.max_abs * row.large_image_factor for row in first.rows]
    assert magnitudes == sorted(magnitudes, reverse=True)
    data = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert data["input_shapes"] == [[2, 1, 16, 24], [1, 1, 9, 9]]
    assert data["rows"][0]["headroom"] == first.rows[0].headroom


def test_measuring_leaves_no_hooks_behind(sr):
    measured(sr, [task_input("sr")])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in sr.modules())


def test_a_weight_over_65504_is_reported_and_its_layer_stays_in_fp32(sr):
    with torch.no_grad():
        # On a black image it makes nothing large but itself.
        sr.conv_first.weight[0, 0, 0, 0] = 1e5
    x = torch.zeros(1, 1, 8, 8)
    row = measured(sr, [x])[0].row("conv_first")
    assert row.max_weight == pytest.approx(1e5)
    assert row.max_abs < 100
    assert row.to_dict()["fp16_weight_error"] is None  # infinite: it overflows
    plan = plan_precision(sr, "fp16", [x])
    assert "largest weight 1e+05" in plan.islands["conv_first"]
    assert torch.equal(stored(sr, plan.recipe).conv_first.weight, sr.conv_first.weight)


def test_weights_below_fp16_are_reported_and_their_layer_stays_in_fp32(sr):
    with torch.no_grad():
        sr.conv_last.weight *= 1e-6
    plan = plan_precision(sr, "fp16", [task_input("sr")])
    row = plan.ranges.row("conv_last")
    assert row.fp16_subnormal_share > 0.9
    assert 0 < row.smallest_weight < 1e-7
    assert "rounding the weights to fp16 loses" in plan.islands["conv_last"]
    assert torch.equal(stored(sr, plan.recipe).conv_last.weight, sr.conv_last.weight)


def test_attention_over_all_pixels_is_an_island_whatever_the_measured_size(tiny_single):
    network = tiny_single("projection")
    # Rules make it one, before any bar is missed.
    loose = Tolerance("loose", "for a preview", psnr_db=30.0)
    for precision in ("fp16", "bf16"):
        plan = plan_precision(network, precision, [task_input("projection")], tolerance=loose)
        assert plan.steps == ()
        reason = plan.islands["project.body.0.attn_fn"]
        assert "4096 x 4096" in reason
    row = plan.ranges.row("project.body.0.attn_fn")
    assert row.large_image_factor == pytest.approx(4096 * 4096 / (16 * 24))
    assert row.headroom < 1
    assert plan.ranges.row("project.body.0.conv_assembly.0").large_image_factor == 1


@pytest.mark.parametrize("task", few_quick(TASKS, ["sr", "denoise", "isotropic"]))
def test_fp16_passes_for_an_ordinary_network_with_only_rules_of_kind(task, tiny_single):
    network = tiny_single(task)
    inputs = [task_input(task), task_input(task, 1)]
    plan = plan_precision(network, "fp16", inputs)
    assert plan.passed, plan.failures
    assert (plan.failures, plan.blame) == ((), "")
    assert plan.low_share > 0.5
    assert len(plan.acceptance["stored"]) == len(plan.acceptance["computing"]) == 2
    norms = {n for n, m in network.named_modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d)}
    assert norms <= set(plan.islands)
    kept = kept_parts(network, plan.islands)
    assert kept["norms"] == len(norms)
    assert sum(kept.values()) == len(plan.islands)
    for x in inputs:
        assert psnr_db(network, computing(network, plan.recipe), x) >= 60
        assert psnr_db(network, stored(network, plan.recipe), x) >= 60


@pytest.mark.parametrize("task", list(TASKS))
def test_stored_keeps_keys_and_classes_and_loses_nothing_in_the_storage_types(task, planned):
    network, plan = planned(task)
    rounded = stored(network, plan.recipe)
    assert type(rounded) is type(network)
    assert rounded.state_dict().keys() == network.state_dict().keys()
    dtypes = stored_dtypes(network, plan.recipe)
    for key, tensor in rounded.state_dict().items():
        if tensor.is_floating_point():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor.to(dtypes[key]).float(), tensor), key
    changed = [
        k for k, t in network.state_dict().items() if not torch.equal(t, rounded.state_dict()[k])
    ]
    assert changed
    assert all(dtypes[key] == torch.float16 for key in changed)


def test_naive_half_overflows_where_the_plan_keeps_the_stream_in_fp32(outgrowing):
    x = task_input("sr")
    naive = type(outgrowing)(**outgrowing.config.network_kwargs()).eval()
    naive.load_state_dict(outgrowing.state_dict())
    assert not torch.isfinite(naive.half()(x.half())).all()

    plan = plan_precision(outgrowing, "fp16", [x])
    assert plan.passed, plan.failures
    assert streams(outgrowing)[""] <= set(plan.islands)
    assert "65504" in plan.islands["layers.0.residual_group.blocks.0"]
    # The branches stay in fp16: that is what makes it worth while.
    assert "layers.0.residual_group.blocks.0.attn" not in plan.islands
    assert "layers.0.residual_group.blocks.0.mlp.fc1" not in plan.islands
    assert plan.low_share > 0.5
    assert psnr_db(outgrowing, computing(outgrowing, plan.recipe), x) >= 60


def test_a_large_head_and_a_small_tail_are_islands(sr):
    # The shallow features bypass the body, so that they reach the tail 1e5 times too large.
    with torch.no_grad():
        for tensor in (sr.conv_first.weight, sr.conv_first.bias):
            tensor.mul_(1e5)
        sr.conv_before_upsample[0].weight *= 1e-5
    x = task_input("sr")
    naive = computing(sr, replace(plan_precision(sr, "fp16", [x]).recipe, islands={}))
    assert not np.isfinite(run(naive, x)).all()
    plan = plan_precision(sr, "fp16", [x])
    assert plan.passed, plan.failures
    assert {"", "conv_first", "conv_before_upsample.0"} <= set(plan.islands)


def test_first_nonfinite_names_the_module_that_overflows(outgrowing):
    x = task_input("sr")
    plan = plan_precision(outgrowing, "fp16", [x])
    assert first_nonfinite(outgrowing, x) is None
    assert first_nonfinite(computing(outgrowing, plan.recipe), x) is None
    norm = {"patch_embed.norm": plan.islands["patch_embed.norm"]}
    broken = computing(outgrowing, replace(plan.recipe, islands=norm))
    assert first_nonfinite(broken, x) == "patch_embed.norm"


def test_nan_in_fp32_is_the_weights_fault_and_refused(sr):
    with torch.no_grad():
        sr.conv_after_body.bias[0] = float("nan")
    with pytest.raises(ExportError, match="'conv_after_body'"):
        plan_precision(sr, "fp16", [task_input("sr")])


def test_bf16_needs_no_islands_for_range(outgrowing):
    loose = Tolerance("loose", "for a preview", psnr_db=30.0)
    plan = plan_precision(outgrowing, "bf16", [task_input("sr")], tolerance=loose)
    assert plan.passed, plan.failures
    assert {plan.ranges.row(name).kind for name in plan.islands} == {"LayerNorm"}


@pytest.mark.slow
def test_bf16_lacks_the_bits_for_a_strict_bar_and_says_by_how_much(sr):
    strict = replace(LOW_PRECISION, psnr_db=80.0)
    plan = plan_precision(sr, "bf16", [task_input("sr")], tolerance=strict)
    assert not plan.passed
    assert 40 < plan.worst_psnr_db("computing") < 80
    text = " ".join(plan.failures)
    assert "computing: unfitted PSNR is" in text
    assert "at least 80 dB" in text
    assert f"{plan.worst_psnr_db('computing'):.1f} dB" in plan.blame
    # What was tried beyond is on record, and that parts were left low to remain worth it.
    assert plan.steps[0].failures
    assert plan.steps[-1].psnr_db is None


@pytest.mark.slow
def test_a_plan_for_storing_alone_needs_no_islands_for_computing(sr):
    x, loose = task_input("sr"), Tolerance("loose", "for a preview", psnr_db=30.0)
    figures = plan_precision(sr, "bf16", [x], tolerance=loose)
    assert figures.worst_psnr_db("computing") < figures.worst_psnr_db("stored")
    between = replace(loose, psnr_db=figures.worst_psnr_db("stored") - 0.01)
    assert plan_precision(sr, "bf16", [x], tolerance=between).steps
    plan = plan_precision(sr, "bf16", [x], tolerance=between, variants=["stored"])
    assert plan.passed, plan.failures
    assert plan.steps == ()
    assert list(plan.acceptance) == ["stored"]


def test_fp32_plan_changes_nothing(sr):
    x = task_input("sr")
    plan = plan_precision(sr, "fp32", [x])
    assert plan.passed
    assert plan.islands == {}
    for variant in (stored(sr, plan.recipe), computing(sr, plan.recipe)):
        assert np.array_equal(run(variant, x), run(sr, x))
    assert set(stored_dtypes(sr, plan.recipe).values()) == {torch.float32}


def test_plans_and_variants_are_the_same_every_time(tiny_single):
    network, x = tiny_single("projection"), task_input("projection")
    first, second = (plan_precision(network, "fp16", [x]) for _ in range(2))
    assert first == second
    assert np.array_equal(
        run(computing(network, first.recipe), x), run(computing(network, second.recipe), x)
    )


@pytest.mark.parametrize("task", few_quick(TASKS, [task for task in TASKS if task != "volume"]))
def test_a_plan_fits_the_network_in_and_out_of_its_image_interface(task, planned):
    network, inner = planned(task)
    wrapped, x = image_interface(network), image(*IMAGES[task][1])
    outer = plan_precision(wrapped, "fp16", [x])
    assert "" in outer.islands  # the interface itself
    fitted = inner.recipe.fitted(wrapped)
    assert fitted.islands.keys() == outer.islands.keys()
    assert np.array_equal(
        run(computing(wrapped, inner.recipe), x), run(computing(wrapped, outer.recipe), x)
    )
    assert outer.recipe.fitted(network).islands.keys() == inner.islands.keys()
    y = task_input(task, 1)
    assert np.array_equal(
        run(computing(network, inner.recipe), y), run(computing(network, outer.recipe), y)
    )


def test_a_plan_for_another_network_is_refused(tiny_single):
    plan = plan_precision(tiny_single("volume"), "fp16", [task_input("volume")])
    with pytest.raises(ExportError, match="conv_first0"):
        computing(tiny_single("denoise"), plan.recipe)


def test_bright_camera_counts_stay_in_the_interface(tiny_single):
    wrapped = image_interface(tiny_single("volume"))
    x = 60000 * image(*IMAGES["volume"][0])
    plan = plan_precision(wrapped, "fp16", [x])
    assert plan.passed, plan.failures
    assert plan.ranges.row("").max_abs > FP16_MAX / 8
    assert "network" not in plan.islands


def test_parts_cover_every_module_once(tiny_single):
    network = tiny_single("volume")
    names = [row.name for row in measured(network, [task_input("volume")])[0].rows]
    grouped = parts(network, names)
    assert sorted(name for members in grouped.values() for name in members) == sorted(names)
    assert {"'conv_last'", "'layers.0' attention", "'layers.1' mlp"} <= set(grouped)
    assert "the residual stream of the network" in grouped
    assert "'conv_first0.encoder_layers.2'" in grouped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda network: plan_precision(network, "int8", [image(1, 1, 8, 8)]), "unknown precision"),
        (lambda network: plan_precision(network, "fp16", []), "no calibration inputs"),
        (
            lambda network: plan_precision(network, "fp16", [image(1, 1, 8, 8)], variants=["ran"]),
            "unknown variants",
        ),
        (lambda network: measured(network.train(), [image(1, 1, 8, 8)]), "training mode"),
    ],
)
def test_misuse_is_refused_with_what_to_do(change, message, sr):
    with pytest.raises(ExportError, match=message):
        change(sr)


def test_listing_the_precisions_does_not_import_torch():
    code = (
        "import sys; from unifmir.precision.element_types import ELEMENT_TYPES; "
        "assert 'torch' not in sys.modules; print(*ELEMENT_TYPES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(ELEMENT_TYPES) == ["fp32", "fp16", "bf16"]
