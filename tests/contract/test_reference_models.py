"""What every reference model promises: it goes wherever a UniFMIR network goes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unifmir
from tests.helpers.quick_rows import few_quick
from tests.helpers.reference_models import OPTIONS, small
from tests.helpers.task_rows import change_task
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.saving import save
from unifmir.config import ReferenceConfig, config_from_dict
from unifmir.errors import CheckpointError, UnifmirError
from unifmir.export.formats.bioimageio.architecture import bundle
from unifmir.export.formats.bioimageio.card import default_card
from unifmir.export.formats.bioimageio.halo import HaloMeasurement
from unifmir.export.formats.bioimageio.provenance import Measured, provenance
from unifmir.interfaces import shape_of
from unifmir.model import image_interface
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS
from unifmir.training.configuration import TrainingConfig
from unifmir.training.evaluation import evaluate
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train

PAIRS = [(name, task) for name, row in REFERENCES.items() for task in row.tasks]
PUBLISHED = {
    "care": 996_769,
    "care-2d": 332_641,
    "care-projection": 1_379_802,
    "gvtnets": 1_347_328,
    "gvtnets-projection": 538_873,
    "dfcan": 1_930_753,
    "enlcn": 197_989,
    "vcd-net": 19_016_599,
    "unet": 333_729,
}
"""Parameters, from the papers and the authors' checkpoints; unet's from careamics 0.3.5."""

by_pair = pytest.mark.parametrize(("name", "task"), PAIRS)
by_pair_exported = pytest.mark.parametrize(
    ("name", "task"),
    # The others are in ONNX among the quick tests of tests/unit/reference/test_networks.py.
    few_quick(
        PAIRS,
        [
            ("care", "isotropic"),
            ("care-2d", "sr"),
            ("unet", "denoise"),
        ],
    ),
)
by_pair_trained = pytest.mark.parametrize(("name", "task"), few_quick(PAIRS, [("care-2d", "sr")]))


def test_every_row_has_a_small_variant_and_a_published_count():
    assert set(OPTIONS) == set(PUBLISHED) == set(REFERENCES)


def test_every_task_has_a_reference_model():
    assert {task for _, task in PAIRS} == set(TASKS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_exactly_the_published_ones(name: str):
    row = REFERENCES[name]
    with torch.device("meta"):
        network = unifmir.model.build(ReferenceConfig(name, row.tasks[0]))
    assert sum(p.numel() for p in network.parameters()) == row.parameters == PUBLISHED[name]


@by_pair
def test_image_interface_takes_the_task_s_images(name: str, task: str):
    network = small(name, task)
    shape = shape_of(network.config, "image", batch=2, size=(5, 9, 14))
    with torch.inference_mode():
        restored = image_interface(network)(torch.rand(shape))
    lateral = [(2 if task == "sr" else 1) * side for side in shape[-2:]]
    assert list(restored.shape[-2:]) == lateral
    assert restored.isfinite().all()


@by_pair
def test_a_saved_model_is_the_same_model_again(name: str, task: str, tmp_path: Path):
    network = small(name, task)
    path = tmp_path / "model.safetensors"
    save(network, path)
    again = unifmir.load(path)
    assert again.config == network.config
    assert again.task == task
    assert config_from_dict(network.config.to_dict()) == network.config
    state = again.state_dict()
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    found = inspect_file(path)
    assert (found.kind, found.task) == ("reference", task)


@by_pair_exported
def test_it_is_exported_and_verified_like_a_unifmir_network(name: str, task: str, tmp_path: Path):
    (artifact,) = unifmir.export(small(name, task), tmp_path, formats=("onnx",))
    assert artifact.report.passed


@by_pair
def test_its_package_carries_its_architecture(name: str, task: str):
    network = small(name, task)
    made = bundle(network.config, "0.1.0")
    scope: dict[str, object] = {"__name__": "architecture"}
    exec(compile(made.source, "architecture.py", "exec"), scope)
    module = scope[made.callable](**made.kwargs)  # type: ignore[operator]  # a class, by its name
    ours = image_interface(network)
    module.load_state_dict(ours.state_dict())
    x = torch.rand(shape_of(network.config, "image", batch=1, size=(4, 16, 16)))
    with torch.inference_mode():
        assert torch.equal(module.eval()(x), ours(x))


def test_its_package_names_its_network():
    network = small("care", "denoise")
    halo = HaloMeasurement(8, 8, False, 8, 1e-3, 1e-3, 0.0, (0.0,), 1)
    card = default_card("denoise", name="A name", timestamp="", unifmir_version="")
    said = provenance(
        network, card, Measured(halo, {}, {}, {}),
        storage="float32", image_note="", lineage={}, reports=(),
    )  # fmt: skip
    assert said["network"] == REFERENCES["care"].network


@by_pair_trained
def test_it_is_trained_and_evaluated(
    name: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few = replace(TASKS[task].training, scenes=1, batch=1)
    change_task(monkeypatch, task, training=few)
    network = small(name, task)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    out = tmp_path / "trained.safetensors"
    request = TrainingRequest(out, TrainingConfig("pretrain", [task], steps=2), network)
    train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
    trained = unifmir.load(out)
    changed = [k for k, v in trained.state_dict().items() if not torch.equal(v, before[k])]
    assert changed
    result = evaluate(trained, task, images=1)
    assert np.isfinite([result.model[name] for name in ("psnr_db", "ssim", "nrmse")]).all()


def test_a_name_loads_the_published_network_with_the_same_weights_every_time():
    first, again = unifmir.load("enlcn"), unifmir.load("enlcn")
    assert first.task == "sr"
    state = again.state_dict()
    assert all(torch.equal(state[key], value) for key, value in first.state_dict().items())


def test_loading_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    unifmir.load("unet")
    assert torch.equal(torch.rand(1), expected)


def test_a_task_it_is_no_reference_for_is_refused():
    with pytest.raises(CheckpointError, match="for denoise and isotropic, not for sr"):
        unifmir.load("care", task="sr")


@pytest.mark.parametrize(
    "configuration",
    [
        {"model": "care", "task": "denoise", "options": {"features": -1}},
        {"model": "care", "task": "denoise", "options": {"features": 10**9}},
        {"model": "care", "task": "denoise", "options": {"features": [4]}},
        {"model": "care", "task": "denoise", "options": {"width": 4}},
        {"model": "care", "task": "sr", "options": {}},
        {"model": "nothing", "task": "sr", "options": {}},
        {"model": "vcd-net", "task": "volume", "options": {"encoder": 3}},
        {"model": "care", "task": "denoise", "options": {}, "more": 1},
    ],
)
def test_configurations_of_no_network_are_refused(configuration: dict[str, object]):
    with pytest.raises(UnifmirError):
        config_from_dict(configuration)
