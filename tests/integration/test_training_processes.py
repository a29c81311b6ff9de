"""Two real processes that share the steps of a training, beside one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unifmir.checkpoint.loading import load_file

pytestmark = [
    pytest.mark.slow,  # processes that import PyTorch
    pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's"),
]
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import torch
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.model import build
from unifmir.tasks import TASKS
from unifmir.training import training_run
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train

training_run.SAVE_EVERY = 2
torch.manual_seed(3)
network = build(MultiTaskConfig(
    body=BodyConfig(embed_dim=24, depths=(2, 2), num_heads=(4, 4), mlp_hidden=48),
    projector=ProjectorConfig(
        planes=6, features=16, blocks=8, match_features=8, random_features=16
    ),
    view_unet=ViewUNetConfig(
        views=121, planes=31, stem_features=32, entry_features=16, encoder=(16, 16, 24, 24, 24)
    ),
    tail_features=8, volume_tail_features=24,
))
# Two and one image for the processes; one for the first alone; and normalised by the batch.
sizes = {"sr": (3, 16, 24), "isotropic": (1, 16, 24), "volume": (2, 2, 3)}
recipes = {
    task: RecipeChange(batch=batch, patch=patch, scenes=2, scene_size=size)
    for task, (batch, patch, size) in sizes.items()
}
config = TrainingConfig(
    "pretrain", list(sizes), init="any", steps=9, precision="fp32", recipes=recipes,
    learning_rate=3e-4, schedule="halved",
)

def run(name, processes, stop_at=0):
    losses = []
    def on_step(step, task, loss):
        losses.append(loss)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
    request = TrainingRequest(
        Path(name), config, network, resume=True, processes=processes
    )
    try:
        source = train(request, TrainingCallbacks(lambda _: None, on_step))
    except KeyboardInterrupt:
        return losses
    if source is None:
        sys.exit()
    return losses

"""
STOPPED_AND_ALONE = """
together = run("shared.safetensors", 2, stop_at=7)
rest = run("shared.safetensors", 1)
print(json.dumps({"together": together, "rest": rest, "alone": run("alone.safetensors", 1)}))
"""
NAMED = """
print(json.dumps(run(sys.argv[1], 1)))
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def environment() -> dict[str, str]:
    left_out = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
    )


def difference(folder: Path) -> float:
    """The largest difference of a weight between what several processes learned and one alone."""
    one, two = (
        load_file(folder / f"{name}.safetensors").state_dict() for name in ("shared", "alone")
    )
    return max(float((one[key] - two[key]).abs().max()) for key in one)


def test_two_processes_learn_as_one_does_and_one_goes_on_where_they_were_stopped(
    tmp_path: Path,
) -> None:
    (tmp_path / "training.py").write_text(SCRIPT + STOPPED_AND_ALONE)
    done = run(tmp_path, "training.py")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (len(found["together"]), len(found["rest"]), len(found["alone"])) == (7, 2, 9)
    shared = [*found["together"], *found["rest"]]
    assert shared == pytest.approx(found["alone"], rel=1e-4)
    assert shared != found["alone"], "sums in another order"
    assert difference(tmp_path) < 2e-4, "of weights that moved by up to 2e-3"


def test_two_processes_of_torchrun_learn_as_one_does(tmp_path: Path) -> None:
    (tmp_path / "training.py").write_text(SCRIPT + NAMED)
    found = {}
    for name, start in (("shared", TORCHRUN), ("alone", ())):
        done = run(tmp_path, *start, "training.py", f"{name}.safetensors")
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    assert found["shared"] == pytest.approx(found["alone"], rel=1e-4)
    assert found["shared"] != found["alone"], "sums in another order"
    assert difference(tmp_path) < 2e-4, "of weights that moved by up to 2e-3"
    records = [
        json.loads((tmp_path / f"{name}.safetensors.training.json").read_text()) for name in found
    ]
    assert [", 2 processes;" in record["hardware"] for record in records] == [True, False]


def test_the_command_tells_one_result_and_leaves_what_one_process_does(tmp_path: Path) -> None:
    entries = {
        "stage": "pretrain",
        "tasks": ["sr"],
        "steps": 3,
        "recipes": {"sr": {"batch": 2, "patch": 16, "scenes": 2, "scene_size": 24}},
    }
    (tmp_path / "c.json").write_text(json.dumps(entries))
    command = ("train", "pretrain", "--config", "c.json", "--out", "m.safetensors", "--json")
    done = run(tmp_path, "-m", "unifmir", *command, "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "c.json",
        "m.safetensors",
        "m.safetensors.training.json",
    ]
    record = json.loads((tmp_path / "m.safetensors.training.json").read_text())
    assert ", 2 processes;" in record["hardware"]
