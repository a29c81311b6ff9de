"""The trainer: batches by seed and step, exact resumption, losses, and starts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.small_recipes import SMALL_RECIPES
from unifmir.config import MultiTaskConfig
from unifmir.errors import CheckpointError, ImageError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.networks.multitask import UniFMIR
from unifmir.simulate import lightfield
from unifmir.tasks import TASKS
from unifmir.tasks.projection import PROJECTION
from unifmir.training import training_setup
from unifmir.training.configuration import WARM_UP_STEPS, ProductType
from unifmir.training.distribution import TrainingProcesses
from unifmir.training.initialization import DARK, renew, start_dark
from unifmir.training.losses import restoration_loss, stages_of
from unifmir.training.pool import Pool, cut_batch, joined, simulate_pool
from unifmir.training.schedule import SMALL_CONFIG, Schedule
from unifmir.training.trainer import Training

PLANAR = ("sr", "denoise", "isotropic")
"""Tasks whose inputs do not depend on the number of planes or views of a configuration."""


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    return {task: simulate_pool(task, recipe, 0, "own") for task, recipe in SMALL_RECIPES.items()}


def training(
    config: MultiTaskConfig, pools: dict[str, Pool], *, steps: int = 6, seed: int = 0
) -> Training:
    torch.manual_seed(5)
    return Training(build(config), pools, SMALL_RECIPES, Schedule(1e-3, steps), seed, PLANAR)


def same_weights(one: Network, two: Network) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestBatches:
    @pytest.mark.parametrize("task", list(TASKS))
    def test_have_the_shapes_the_network_takes_and_gives(
        self, task: str, pools: dict[str, Pool]
    ) -> None:
        network = build(SMALL_CONFIG)
        assert isinstance(network, UniFMIR)
        inputs, targets = cut_batch(pools[task], SMALL_CONFIG, SMALL_RECIPES[task], 0, 0)
        assert inputs.dtype == targets.dtype == torch.float32
        with torch.inference_mode():
            assert network(inputs, task).shape == targets.shape

    def test_depend_on_the_seed_and_the_step_only(self, pools: dict[str, Pool]) -> None:
        def cut(seed: int, step: int) -> torch.Tensor:
            return cut_batch(pools["sr"], SMALL_CONFIG, SMALL_RECIPES["sr"], seed, step)[0]

        assert torch.equal(cut(1, 2), cut(1, 2))
        assert not torch.equal(cut(1, 2), cut(1, 3))
        assert not torch.equal(cut(1, 2), cut(2, 2))

    @pytest.mark.slow  # light fields are simulated
    def test_turned_light_fields_stay_with_their_volumes(self) -> None:
        rng = np.random.default_rng(0)
        volume = np.zeros((31, 66, 66), dtype=np.float32)
        volume[20, 8:19, 30:41] = volume[20, 40:51, 8:19] = 1
        raw = lightfield.interleave(lightfield.project_views(volume)) + 1e-3 * rng.random((66, 66))
        pool = Pool("volume", (raw.astype(np.float32),), (volume,))
        recipe = replace(SMALL_RECIPES["volume"], scene_size=6, patch=6)
        seen: dict[bytes, torch.Tensor] = {}
        for step in range(24):
            inputs, targets = cut_batch(pool, SMALL_CONFIG, recipe, 0, step)
            turned = targets.numpy().tobytes()
            if turned in seen:  # the same light field then, which was refocused before
                assert torch.equal(inputs, seen[turned]), f"step {step}"
                continue
            seen[turned] = inputs
            views = inputs[0].numpy().reshape(11, 11, 6, 6)
            # Of 11 planes the last is as far from the middle as plane 20 of 31.
            found = lightfield.refocus(lightfield.interleave(views), planes=11)[10]
            truth = targets[0, 20].numpy()
            turns = [np.rot90(t, k) for t in (truth, truth[:, ::-1]) for k in range(4)]
            likeness = [np.corrcoef(found.ravel(), turn.ravel())[0, 1] for turn in turns]
            assert likeness[0] == max(likeness), f"step {step}"
        assert len(seen) == 8, "all eight turns and flips occur"

    def test_beyond_the_ends_of_a_stack_the_slice_itself_is_repeated(self) -> None:
        stack = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None], (6, 16, 16))
        pool = Pool("denoise", (stack,), (stack,))
        windows = set()
        for step in range(40):
            inputs, targets = cut_batch(pool, SMALL_CONFIG, SMALL_RECIPES["denoise"], 0, step)
            for window, centre in zip(inputs[:, :, 0, 0], targets[:, 0, 0, 0], strict=True):
                assert window[2] == centre
                windows.add(tuple(window.int().tolist()))
        assert (0, 0, 0, 1, 2) in windows
        assert (1, 0, 1, 2, 3) in windows
        assert (3, 4, 5, 5, 5) in windows

    def test_a_patch_larger_than_the_image_is_refused(self, pools: dict[str, Pool]) -> None:
        recipe = replace(SMALL_RECIPES["sr"], patch=64)
        with pytest.raises(ImageError, match="does not fit"):
            cut_batch(pools["sr"], SMALL_CONFIG, recipe, 0, 0)


class TestTraining:
    def test_six_steps_are_three_and_three_more_bit_for_bit(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool], tmp_path: Path
    ) -> None:
        straight = training(tiny_config, pools)
        straight.run()
        first = training(tiny_config, pools)
        first.run(until=3)
        first.save(tmp_path / "state.pt")
        second = training(tiny_config, pools)
        second.resume(tmp_path / "state.pt")
        assert second.step == 3
        second.run()
        assert same_weights(straight.network, second.network)
        assert same_weights(straight.average, second.average)
        assert straight.losses == second.losses

    def test_a_state_of_another_training_is_refused(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool], tmp_path: Path
    ) -> None:
        one = training(tiny_config, pools)
        one.save(tmp_path / "state.pt")
        two = [pools["sr"].pair(0), pools["sr"].pair(1)]
        with pytest.raises(CheckpointError, match="steps = 6, this training has 7"):
            training(tiny_config, pools, steps=7).resume(tmp_path / "state.pt")
        with pytest.raises(CheckpointError, match="seed = 0, this training has 1"):
            training(tiny_config, pools, seed=1).resume(tmp_path / "state.pt")
        images, targets = zip(*two, strict=True)
        stored = Pool("sr", images, targets)
        more = {"sr": joined(stored, pools["sr"])}
        with pytest.raises(CheckpointError, match=r"images = \{'sr': 2,.*this training has .*4"):
            training(tiny_config, {**pools, **more}).resume(tmp_path / "state.pt")
        frozen = build(tiny_config)
        count = len(list(frozen.parameters()))
        training_setup.freeze(frozen, PLANAR, "body")
        left = sum(one.requires_grad for one in frozen.parameters())
        assert 0 < left < count
        with pytest.raises(
            CheckpointError, match=f"trained weights = {count}, this training has {left}"
        ):
            Training(frozen, pools, SMALL_RECIPES, Schedule(1e-3, 6), 0, PLANAR).resume(
                tmp_path / "state.pt"
            )

    def test_a_broken_state_is_refused(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool], tmp_path: Path
    ) -> None:
        (tmp_path / "state.pt").write_bytes(b"not a state")
        with pytest.raises(CheckpointError, match="not a training state"):
            training(tiny_config, pools).resume(tmp_path / "state.pt")

    @pytest.mark.slow
    def test_the_loss_falls(self, tiny_config: MultiTaskConfig, pools: dict[str, Pool]) -> None:
        torch.manual_seed(5)
        run = Training(build(tiny_config), pools, SMALL_RECIPES, Schedule(5e-3, 60), 0, ("sr",))
        run.run()
        losses = run.losses["sr"]
        assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])

    def test_it_ends_after_the_step_at_which_it_is_stopped(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool]
    ) -> None:
        run = training(tiny_config, pools)

        def stop(step: int, _task: str, _loss: float) -> None:
            run.stopping = step == 2

        run.run(on_step=stop)
        assert run.step == 2

    def test_the_learning_rate_warms_up_and_ends_at_a_hundredth(self) -> None:
        schedule = Schedule(1e-3, 1000)
        assert schedule.rate(0) == pytest.approx(1e-3 / WARM_UP_STEPS, rel=1e-3)
        assert schedule.rate(WARM_UP_STEPS) > 0.97e-3
        assert schedule.rate(1000) == pytest.approx(1e-5)
        rates = [schedule.rate(step) for step in range(WARM_UP_STEPS, 1000)]
        assert rates == sorted(rates, reverse=True)

    def test_the_warm_up_is_as_long_as_is_said(self) -> None:
        long, none = (Schedule(1e-3, 1000, warm_up=steps) for steps in (400, 0))
        assert long.rate(199) == pytest.approx(none.rate(199) / 2)
        assert long.rate(500) == none.rate(500)
        assert none.rate(0) == 1e-3
        assert long.words == (
            "linear warm-up over 400 steps, then half a cosine down to a hundredth"
        )
        assert none.words == "half a cosine down to a hundredth"

    @pytest.mark.parametrize("clip_norm", [0, 1e-3])
    def test_gradients_are_clipped_to_the_norm_that_is_said_or_left(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool], clip_norm: float
    ) -> None:
        run = training(tiny_config, pools)
        run.clip_norm = clip_norm
        inputs, targets = run.batch(0)
        with torch.enable_grad():
            whole = run._loss(inputs, targets, "sr")
        weights = [weight for weight in run.network.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(whole, weights, allow_unused=True)
        norm = torch.cat([one.flatten() for one in gradients if one is not None]).norm()
        run.take_step(0, inputs, targets)
        found = torch.cat([w.grad.flatten() for w in weights if w.grad is not None]).norm()
        assert norm > 2e-3, "or it would not be clipped"
        assert float(found) == pytest.approx(clip_norm or float(norm), rel=1e-3)

    @pytest.mark.parametrize("decay", [0, 0.05])
    def test_the_average_forgets_the_weights_before_as_is_said(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool], decay: float
    ) -> None:
        run = training(tiny_config, pools)
        run.average_decay = decay
        before = {key: value.clone() for key, value in run.network.state_dict().items()}
        run.run(until=1)
        for key, now in run.network.named_parameters():
            expected = decay * before[key] + (1 - decay) * now
            torch.testing.assert_close(run.average.state_dict()[key], expected)
        run.run(until=3)
        assert same_weights(run.network, run.average) is (decay == 0)

    def test_the_paper_s_learning_rate_is_halved_once(self) -> None:
        schedule = Schedule(5e-5, 1000, "halved", 200 / 500)
        assert [schedule.rate(step) for step in (0, 399, 400, 999)] == [5e-5, 5e-5, 2.5e-5, 2.5e-5]

    @pytest.mark.parametrize(("mixed", "share", "weight"), [(True, 0.25, 2.0), (False, 1.0, 3.0)])
    def test_the_loss_is_weighted_as_its_recipe_says_and_not_as_the_task_s_own(
        self,
        pools: dict[str, Pool],
        mixed: bool,
        share: float,
        weight: float,
    ) -> None:
        recipe = replace(
            SMALL_RECIPES["volume"],
            l1_share=share if mixed else 0.1,
            first_stage_weight=3.0,
            pretraining_first_stage_weight=2.0,
        )
        torch.manual_seed(5)
        network = build(SMALL_CONFIG)
        run = Training(
            network, pools, {"volume": recipe}, Schedule(1e-3, 1), 0, ("volume",), mixed_loss=mixed
        )
        inputs, targets = run.cut(pools["volume"], 0)
        with torch.no_grad():
            stages = stages_of(network.train(), inputs, "volume")
        errors = [stage - targets for stage in stages]
        first, last = (
            share * float(one.abs().mean()) + (1 - share) * float(one.square().mean())
            for one in errors
        )
        run.run()
        assert run.losses["volume"] == [pytest.approx(last + weight * first, rel=1e-4)]

    def test_the_loss_is_the_paper_s_mixture(self) -> None:
        restored, target = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0])
        assert restoration_loss(restored, target, l1_share=1.0) == 2
        assert restoration_loss(restored, target, l1_share=0.5) == 0.5 * 2 + 0.5 * 5

    def test_with_equal_weight_each_image_is_measured_by_its_truth(self) -> None:
        target = torch.tensor([[0.0, 2.0], [0.0, 0.2]])  # variances 1 and 0.01
        restored = target + torch.tensor([[1.0, -1.0], [0.1, -0.1]])
        found = [
            float(restoration_loss(restored, target, l1_share=share, equal_weight=True))
            for share in (0.0, 1.0)
        ]
        squares = (1 / 1.005 + 0.01 / 0.015) / 2
        sizes = (1 / 1.005**0.5 + 0.1 / 0.015**0.5) / 2
        assert found == pytest.approx([squares, sizes], rel=1e-5)


class TestStart:
    def test_a_volume_starts_dark_and_every_plane_is_alive(self) -> None:
        torch.manual_seed(0)
        network = start_dark(build(SMALL_CONFIG))
        assert isinstance(network, UniFMIR)
        first, last = network.train().stages(torch.randn(1, 121, 8, 8), "volume")
        assert float(first.detach().mean()) == pytest.approx(DARK, abs=0.03)
        assert float(last.detach().mean()) == pytest.approx(DARK, abs=0.3)
        assert float(first.detach().std(dim=(0, 2, 3)).min()) > 0

    def test_renewing_a_task_changes_its_own_layers_and_no_other_task(
        self, tiny_config: MultiTaskConfig
    ) -> None:
        torch.manual_seed(0)
        network, fresh = build(tiny_config), build(tiny_config)
        assert isinstance(network, UniFMIR)
        assert isinstance(fresh, UniFMIR)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        renew(network, fresh, ["projection"])
        assert PROJECTION.multitask is not None
        changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
        assert changed
        assert all(f"{key.split('.')[0]}." in PROJECTION.multitask.own_layers for key in changed)

    def test_fine_tuning_one_task_leaves_the_others_as_they_are(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool]
    ) -> None:
        torch.manual_seed(0)
        network = build(tiny_config)
        image = torch.rand(1, 1, 16, 16)
        with torch.inference_mode():
            before = network(image, "isotropic")
        training_setup.freeze(network, ["sr"], "others")
        run = Training(network, pools, SMALL_RECIPES, Schedule(1e-2, 3), 0, ("sr",))
        weights = {key: value.clone() for key, value in network.state_dict().items()}
        run.run()
        assert any(not torch.equal(v, weights[k]) for k, v in network.state_dict().items())
        with torch.inference_mode():
            assert torch.equal(network(image, "isotropic"), before)

    @pytest.mark.parametrize("task", ["sr", "volume"])
    def test_a_frozen_body_is_the_body_alone(self, tiny_config: MultiTaskConfig, task: str) -> None:
        network = build(tiny_config if task == "sr" else tiny_config.single(task))
        training_setup.freeze(network, [task], "body")
        body = ("patch_embed.", "layers.", "norm.", "conv_after_body.")
        for name, parameter in network.named_parameters():
            assert parameter.requires_grad is not name.startswith(body), name
        training_setup.freeze(network, [task], "nothing")
        assert all(parameter.requires_grad for parameter in network.parameters())

    def test_in_bf16_it_learns_as_it_does_in_fp32(
        self, tiny_config: MultiTaskConfig, pools: dict[str, Pool]
    ) -> None:
        losses = []
        precisions: tuple[ProductType, ...] = ("fp32", "bf16")
        for precision in precisions:
            run = training(tiny_config, pools, steps=12)
            run.processes = TrainingProcesses("cpu", precision)
            run.run()
            losses.append(np.concatenate(list(run.losses.values())))
        assert not np.array_equal(losses[0], losses[1])
        assert np.abs(losses[1] / losses[0] - 1).max() < 0.03
