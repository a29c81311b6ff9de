"""The generated architecture file stands alone and computes the same."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import toys
from tests.compat.packages import TINY, network
from unifmir.config import SingleTaskConfig
from unifmir.export.cases import example
from unifmir.export.formats.bioimageio.architecture import bundle
from unifmir.export.formats.bioimageio.card import default_card
from unifmir.export.formats.bioimageio.lint_weights import imported_packages
from unifmir.export.formats.bioimageio.package_axes import axes_of
from unifmir.export.formats.bioimageio.tensors import write_state_dict
from unifmir.model import build, image_interface
from unifmir.tasks import TASKS

ALLOWED = {"torch", "math", "collections", "typing"}
LOADER = """
import json, sys
import torch
sys.modules["unifmir"] = None  # any import of it fails
for folder in sys.argv[1:]:
    sys.path[0] = folder
    sys.modules.pop("architecture", None)
    import architecture
    call = json.loads(open(f"{folder}/call.json").read())
    module = getattr(architecture, call["callable"])(**call["kwargs"]).eval()
    module.load_state_dict(torch.load(f"{folder}/weights.pt", weights_only=True), strict=True)
    with torch.no_grad():
        torch.save(module(torch.load(f"{folder}/input.pt", weights_only=True)), f"{folder}/out.pt")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder by task of files and weights, and of what a process that has no unifmir gave."""
    root = tmp_path_factory.mktemp("alone")
    for task in TASKS:
        folder = root / task
        folder.mkdir()
        model = network(task)
        generated = bundle(model.config, "0.1.0")
        (folder / "architecture.py").write_text(generated.source, "utf-8")
        write_state_dict(image_interface(model), torch.float32, folder / "weights.pt")
        call = {"callable": generated.callable, "kwargs": generated.kwargs}
        (folder / "call.json").write_text(json.dumps(call), "utf-8")
        torch.save(example(model.config, "image"), folder / "input.pt")
    done = subprocess.run(
        [sys.executable, "-c", LOADER, *(str(root / task) for task in TASKS)],
        cwd=root,
        env={"PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize("task", TASKS)
def test_the_file_alone_loads_the_weights_strictly_and_gives_the_same_output(
    task: str, alone: Path
):
    model = network(task)
    with torch.inference_mode():
        expected = image_interface(model)(example(model.config, "image"))
    actual = torch.load(alone / task / "out.pt", weights_only=True)
    # Another process may choose another number of threads, and with it another order of sums.
    assert np.allclose(actual.numpy(), expected.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_the_file_imports_torch_and_the_standard_library_only(task: str):
    source = bundle(TINY.single(task), "0.1.0").source
    assert imported_packages(source) <= ALLOWED
    assert "unifmir" not in {line.split()[1] for line in source.splitlines() if "import " in line}
    assert source.startswith("# SPDX-License-Identifier: BSD-3-Clause")


@pytest.mark.parametrize("task", TASKS)
def test_the_arguments_are_explicit_plain_values(task: str):
    kwargs = bundle(TINY.single(task), "0.1.0").kwargs
    assert kwargs == json.loads(json.dumps(kwargs))
    assert kwargs == TINY.single(task).network_kwargs()


def every_config() -> list[SingleTaskConfig]:
    configs = [TINY.single(task) for task in TASKS]
    return [*configs, replace(TINY.single("denoise"), in_channels=1)]


@pytest.mark.parametrize("config", every_config(), ids=lambda c: f"{c.task}{c.in_channels}")
def test_the_wrapper_is_the_one_the_eager_path_uses(config: SingleTaskConfig):
    generated = bundle(config, "0.1.0")
    wrapper = type(image_interface(build(config))).__name__
    assert f"class {generated.callable}({wrapper}):" in generated.source


def test_a_task_takes_only_the_definitions_it_needs():
    source = bundle(TINY.single("sr"), "0.1.0").source
    assert "class SwinRestoration" in source
    assert "class ViewUNet" not in source
    assert "class StackInterface" not in source


def test_comments_and_documentation_survive():
    source = bundle(TINY.single("projection"), "0.1.0").source
    assert "# The upsampler is empty at scale 1" in source
    assert '"""Keeps the random features positive."""' in source


def test_a_sixth_task_has_card_axes_and_architecture_from_its_row_alone():
    with toys.registered():
        config = SingleTaskConfig("toy-task", TINY.body)
        generated = bundle(config, "0.1.0")
        assert generated.callable == "UniFMIRToyTask"
        assert "class UniFMIRToyTask(PlaneInterface):" in generated.source
        assert [axis.id for axis in axes_of(config, 4).outputs] == ["y", "x"]
        card = default_card("toy-task", name="Toys", timestamp="", unifmir_version="")
        assert card.intended_use == TASKS["toy-task"].card.intended_use
