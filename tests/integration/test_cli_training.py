"""`unifmir train` and `unifmir evaluate`: files, JSON, and how they fail."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.command_line import run, told
from tests.helpers.fit_words import figures_of_unknown_fit
from tests.helpers.lab_folders import lab_folder
from tests.helpers.task_rows import change_task
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.networks.base import Network
from unifmir.tasks import TASKS


@pytest.fixture
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and evaluation on images small enough for a test."""
    for task, row in TASKS.items():
        change_task(
            monkeypatch,
            task,
            training=replace(row.training, scene_size=24, scenes=1, patch=16, batch=1),
            evaluation=replace(row.evaluation, size=24),
        )


@pytest.fixture
def model_file(tmp_path: Path, tiny_multitask: Network) -> Path:
    path = tmp_path / "start.safetensors"
    save(tiny_multitask, path)
    return path


@pytest.mark.usefixtures("tiny_recipes")
def test_fine_tuning_writes_a_model_whose_other_tasks_are_unchanged(
    tmp_path: Path, model_file: Path
) -> None:
    out = tmp_path / "tuned.safetensors"
    result = run(
        *("train", "finetune", "--init", model_file, "--task", "sr", "--steps", 2),
        *("--out", out, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    tuned = load_file(out)
    assert document["sha256"] == tuned.source.sha256
    assert (document["tasks"], document["steps"]) == (["sr"], 2)
    before = load_file(model_file).state_dict()
    changed = {k for k, v in tuned.state_dict().items() if not v.equal(before[k])}
    assert changed
    assert "simulating" in result.stderr
    assert all(key.startswith(("conv_firstsr", "upsamplesr")) for key in changed)
    options = ("--init", out, "--task", "sr", "--steps", 1)
    again = run("train", "finetune", *options, "--out", out)
    assert again.exit_code == 2
    assert "tuned.safetensors is a finished model, which is not replaced" in again.stderr
    words = run("train", "finetune", *options, "--out", tmp_path / "further.safetensors")
    assert words.stdout.endswith(" MB, sr, steps: 1, intensities: own\n")


@pytest.mark.usefixtures("tiny_recipes")
def test_evaluation_gives_scores_beside_simple_methods(model_file: Path) -> None:
    result = run("evaluate", model_file, "--task", "sr", "--images", 1, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["model"] == "start.safetensors", "a name, not this machine's path"
    found = document["tasks"]["sr"]
    best = found["baselines"][found["best_baseline"]]
    assert found["gain_db"] == pytest.approx(found["model"]["psnr_db"] - best["psnr_db"], abs=2e-3)
    assert found["images"] == 1
    table = run("evaluate", model_file, "--task", "sr", "--images", 1)
    assert "best simple method" in table.stdout
    assert figures_of_unknown_fit(table.stdout) == []
    assert "Images a task: 1. Gain in fitted PSNR" in " ".join(table.stdout.split())
    assert f"{found['model']['psnr_unfitted_db']:.3f}" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--out", "model.pt"], "is a .safetensors file"),
        (["--out", "m.safetensors", "--preset", "small"], "there are embedded"),
        (["--out", "m.safetensors", "--preset", "paper-sr"], "`unifmir train finetune`"),
        (["--out", "m.safetensors", "--config", "no.toml"], "no.toml cannot be read"),
        (["--out", "m.safetensors", "--config", "no.yaml"], "ends in .toml or .json"),
        (["--out", "m.safetensors", "--learning-rate", "7"], "at most 1"),
        (["--out", "m.safetensors", "--task", "denose"], "denose"),
        (["--out", "m.safetensors", "--steps", "0"], "--steps"),
        (["--out", "m.safetensors", "--seed", "-1"], "--seed"),
        (["--out", "m.safetensors", "--device", "tpu"], "tpu"),
        (["--out", "m.safetensors", "--processes", "0"], "expected 1 to 4096, or auto"),
        (["--out", "m.safetensors", "--processes", "two"], "expected 1 to 4096, or auto"),
        (["--out", "m.safetensors", "--renew", "sr"], "none is given"),
        (["--out", "m.safetensors", "--init", "no-such-file.pt"], "no-such-file"),
        ([], "--out"),
    ],
)
def test_wrong_training_options_exit_with_2(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", "pretrain", *arguments)
    assert result.exit_code == 2
    assert expected in told(result)
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_an_unfinished_training_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors.state.pt").write_bytes(b"unfinished")
    result = run("train", "pretrain", "--out", tmp_path / "m.safetensors")
    assert result.exit_code == 2
    assert "--resume" in told(result)


def test_a_model_of_one_task_is_not_evaluated_for_another(tmp_path: Path, model_file: Path) -> None:
    single = tmp_path / "denoise.safetensors"
    assert run("prune", model_file, "--task", "denoise", "--out", single).exit_code == 0
    result = run("evaluate", single, "--task", "sr")
    assert result.exit_code == 2
    assert "restores 'denoise'" in told(result)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give a model"),
        (["m.pt", "--model", "m.pt"], "give a model"),
        (["a.tif", "b.tif", "--data", "d.zarr"], "belong to a model"),
        (["m.pt", "--data", "d.zarr", "--task", "sr"], "--data has one task"),
        (["m.pt", "--csv", "a.csv"], "give TRUTH or --data"),
        (["--model", "m.pt", "--data", "d.zarr"], "holds no dataset"),
    ],
)
def test_wrong_evaluation_options_exit_with_2(arguments: list[str], expected: str) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert expected in told(result)


def test_a_model_of_other_planes_than_simulated_is_refused(model_file: Path) -> None:
    result = run("evaluate", model_file, "--task", "volume")
    assert result.exit_code == 2
    assert "choose other tasks" in told(result)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_recipes")
def test_from_a_folder_of_pairs_to_an_evaluated_model(tmp_path: Path, model_file: Path) -> None:
    lab = lab_folder(tmp_path / "lab", pairs=3, shape=(6, 24, 24))
    store, model = tmp_path / "cells.zarr", tmp_path / "mine.safetensors"
    prepared = run(
        *("data", "prepare", lab, "--task", "denoise", "--patch", 16, "--out", store, "--json")
    )
    assert prepared.exit_code == 0, prepared.stderr
    assert json.loads(prepared.stdout)["splits"]["train"]["files"] == 3
    trained = run(
        *("train", "finetune", "--data", store, "--init", model_file, "--steps", 2),
        *("--out", model, "--json"),
    )
    assert trained.exit_code == 0, trained.stderr
    assert json.loads(trained.stdout)["tasks"] == ["denoise"]
    assert "training denoise" in trained.stderr
    assert "simulating" not in trained.stderr, "nothing is"
    record = json.loads((tmp_path / "mine.safetensors.training.json").read_text())
    assert "pairs of images in cells.zarr" in record["data"]
    figures, pictures = tmp_path / "figures.csv", tmp_path / "pictures"
    evaluated = run(
        *("evaluate", "--model", model, "--data", store, "--split", "train", "--json"),
        *("--csv", figures, "--pictures", pictures),
    )
    assert evaluated.exit_code == 0, evaluated.stderr
    document = json.loads(evaluated.stdout)
    assert (document["task"], document["split"]) == ("denoise", "train")
    assert sorted(document["images"]) == ["low/00.tif", "low/01.tif", "low/02.tif"]
    assert document["best_baseline"] in document["baselines"]
    assert len(list(pictures.iterdir())) == 3
    lines = figures.read_text().splitlines()
    assert len(lines) == 1 + 3 * (1 + len(document["baselines"]))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_recipes")
def test_a_dataset_that_does_not_fit_the_model_is_refused(tmp_path: Path, model_file: Path) -> None:
    lab = lab_folder(tmp_path / "lab", pairs=1, shape=(24, 24), magnification=3)
    store = tmp_path / "cells.zarr"
    prepared = run("data", "prepare", lab, "--task", "sr", "--patch", 16, "--out", store)
    assert prepared.exit_code == 0, prepared.stderr
    out = tmp_path / "m.safetensors"
    result = run("train", "finetune", "--data", store, "--init", model_file, "--out", out)
    assert result.exit_code == 2
    assert "magnifies 2 times, the truths of cells.zarr are 3 times" in told(result)


def test_a_printed_configuration_is_read_as_it_was_printed(tmp_path: Path) -> None:
    listed = json.loads(run("train", "presets", "--json").stdout)
    assert {"small-pretrain", "small-finetune", "paper-pretrain", "paper-volume"} <= listed.keys()
    for name, config in listed.items():
        file = tmp_path / f"{name}.toml"
        shown = run("train", config["stage"], "--preset", name, "--print-config")
        file.write_text(shown.stdout, "utf-8")
        again = run("train", config["stage"], "--config", file, "--print-config", "--json")
        assert json.loads(again.stdout) == config


def test_noisy_images_are_needed_to_learn_from_them(tmp_path: Path, model_file: Path) -> None:
    out = tmp_path / "m.safetensors"
    result = run("train", "self-supervised", "--init", model_file, "--out", out)
    assert result.exit_code == 2
    assert "name it (--data)" in told(result)


def test_options_go_before_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"stage": "pretrain", "epochs": 3, "seed": 5}', "utf-8")
    shown = run(
        *("train", "pretrain", "--config", tmp_path / "c.json", "--steps", 7, "--task", "sr"),
        *("--print-config", "--json"),
    )
    found = json.loads(shown.stdout)
    assert (found["steps"], found["epochs"], found["tasks"], found["seed"]) == (7, None, ["sr"], 5)


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("pretrain", ["--seed", 0, "--learning-rate", 0.5], {"seed": 0, "learning_rate": 0.5}),
        ("pretrain", ["--loss", "l1", "--intensities", "own"], {"loss": "l1"}),
        ("pretrain", ["--init", "m.pt", "--renew", "sr"], {"init": "m.pt", "renew": ["sr"]}),
        ("pretrain", ["--data", "a b.zarr", "--with-simulated"], {"data": ["a b.zarr"]}),
        ("finetune", ["--freeze", "body", "--adapters", 0], {"freeze": "body", "adapters": 0}),
        ("self-supervised", ["--repeats", "--data", "a"], {"supervision": "repeats"}),
    ],
)
def test_each_option_is_the_entry_of_its_name_and_no_other_changes(
    tmp_path: Path, command: str, options: list[str | int], expected: dict[str, object]
) -> None:
    entries: dict[str, object] = {"stage": command, "steps": 3, "seed": 5, "tasks": ["denoise"]}
    if command != "pretrain":
        entries |= {"init": "start.pt", "freeze": "others", "adapters": 2}
    if command == "self-supervised":
        entries["supervision"] = "blind-spots"
    (tmp_path / "c.json").write_text(json.dumps(entries), "utf-8")

    def printed(*more: str | int) -> dict[str, object]:
        done = run("train", command, "--config", tmp_path / "c.json", *more, "--print-config")
        assert done.exit_code == 0, done.stderr
        found: dict[str, object] = tomllib.loads(done.stdout)
        return found

    named = {str(one)[2:].replace("-", "_") for one in options if str(one).startswith("--")}
    before, after = printed(), printed(*options)
    assert after | expected == after
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"supervision" if name == "repeats" else name for name in named}
