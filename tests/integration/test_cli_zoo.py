"""`unifmir zoo`, from the command line to the files."""

import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.helpers.quick_rows import few_quick
from tests.helpers.small_models import without_configurations
from tests.helpers.zoo_server import PLANARIA, serving
from unifmir.checkpoint.saving import save
from unifmir.cli import output
from unifmir.cli.main import app as main
from unifmir.cli.zoo import app
from unifmir.errors import UnifmirError
from unifmir.hashing import sha256_of
from unifmir.reference import REFERENCES
from unifmir.training.configuration import RecipeChange, preset_path, read_config
from unifmir.training.training_setup import set_up
from unifmir.zoo.catalogue import directories, transfer
from unifmir.zoo.catalogue.index import find, reference_of
from unifmir.zoo.catalogue.load import fresh_reference
from unifmir.zoo.catalogue.reference_training import RECIPE
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE

STEPS = {"sr": 15000, "denoise": 12000, "isotropic": 18000, "projection": 12000, "volume": 8000}
"""A fifth of the 30,000 steps of all tasks, and those of each alone: the presets' figures."""


def zoo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def document(*arguments: object):
    """The JSON document a command prints."""
    result = zoo(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A user's folder and cache of the test's own, and no network."""
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ZENODO_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.0)
    return tmp_path / "home"


@pytest.fixture
def checkpoint(tiny_single, tmp_path):
    """A denoising checkpoint."""
    path = tmp_path / "in" / "mine.safetensors"
    save(tiny_single("denoise"), path)
    return path


@pytest.fixture
def added(checkpoint):
    """Arguments that add `checkpoint` as a model."""
    return (
        *("add", "--id", "mine", "--file", checkpoint, "--title", "Mine"),
        *("--dataset", "My data", "--author", "Ada", "--licence", "CC0-1.0"),
    )


def test_list_shows_every_model():
    rows = document("list")
    assert len(rows) == 10
    assert {"id": PLANARIA, "task": "denoise", "source": "zenodo", "local": None}.items() <= next(
        row for row in rows if row["id"] == PLANARIA
    ).items()
    shown = zoo("list").stdout.splitlines()
    assert len(shown) == 13
    assert shown[-1].startswith("reference models")
    assert [line.split()[0] for line in shown[1:11]] == [row["id"] for row in rows]


class Terminal(io.StringIO):
    """Standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


def test_remove_asks_and_says_what_went_and_how_large(added, home, monkeypatch, capsys):
    assert zoo(*added).exit_code == 0
    weights = home / "files" / "mine" / "mine.safetensors"
    size = f"({weights.stat().st_size / 1e6:.2f} MB)"
    alone = zoo("remove", "mine")
    assert isinstance(alone.exception, UnifmirError)
    assert str(alone.exception).endswith("give --yes")
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    with pytest.raises(UnifmirError, match="nothing was done"):
        app(["remove", "mine"], standalone_mode=False)
    assert weights.is_file()
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    app(["remove", "mine"], standalone_mode=False)
    told = capsys.readouterr()
    assert told.err.count("yes or no? ") == 2
    assert told.out.startswith("removed the model mine, ")
    assert f"  {weights} {size}\n" in told.out
    assert not weights.exists()
    assert zoo(*added).exit_code == 0
    removed = document("remove", "mine", "--yes")
    assert (removed["id"], removed["ships"]) == ("mine", False)
    assert sum(removed["sizes"].values()) == removed["size_bytes"]
    assert isinstance(zoo("show", "mine").exception, UnifmirError)


def test_show_prints_the_entry():
    assert document("show", PLANARIA) == find(PLANARIA).model_dump(mode="json")
    text = zoo("show", PLANARIA).stdout
    for told in ("10.5281/zenodo.10579778", "CC-BY-4.0", "36.668", "Extended Data Table 4"):
        assert told in text


def test_show_says_what_is_known_and_no_more(added):
    assert zoo(*added).exit_code == 0
    lines = {line.partition("  ")[0]: line for line in zoo("show", "mine").stdout.splitlines()}
    assert lines["licence"].split() == ["licence", "CC0-1.0"]
    assert "cite" not in lines


@pytest.mark.parametrize("columns", [40, 80])
def test_show_fits_the_terminal(columns, monkeypatch):
    monkeypatch.setattr(output, "terminal_width", lambda: columns)
    for model_id in ("unifmir-small-sim", PLANARIA, "unifmir-sr-er", "care"):
        lines = zoo("show", model_id).stdout.splitlines()
        # A hash or an address is one word: it is copied.
        assert [one for one in lines if len(one) > columns and len(one.split()) > 1] == []
    shown = zoo("show", "unifmir-small-sim").stdout
    assert "357f4f05a9e3b494b01eb821e9623f39aee6236ba456480c97e64203e5471feb" in shown
    assert shown.count("float32") == 1
    gap = 4 if columns == 40 else 15
    assert f"fitted SSIM{' ' * gap}0.9372" in shown


def test_show_of_an_unknown_model_names_the_nearest():
    result = zoo("show", "unifmir-sr-ccp")
    assert isinstance(result.exception, UnifmirError)
    assert "did you mean 'unifmir-sr-ccps'?" in str(result.exception)


def test_a_known_error_is_one_message_and_exit_code_2(home):
    # Known errors are turned into messages by the command above this one.
    result = subprocess.run(
        [sys.executable, "-m", "unifmir", "zoo", "show", "unifmir-sr-ccp"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: unknown zoo model 'unifmir-sr-ccp'; did you mean")


def test_a_model_is_added_listed_pulled_and_verified(added, checkpoint, home):
    first = document(*added)
    assert first == {
        "id": "mine",
        "task": "denoise",
        "path": str(home / "files" / "mine" / "mine.safetensors"),
    }
    assert next(row for row in document("list") if row["id"] == "mine")["local"] == first["path"]
    pulled = document("pull", "mine", "--offline")
    assert pulled["sha256"] == sha256_of(checkpoint)
    assert zoo("pull", "mine").stdout.strip() == first["path"]
    (verdict,) = document("verify", "mine")
    assert verdict["passed"]
    assert [check["name"] for check in verdict["checks"]] == [
        *("sha256", "size_bytes", "pinned sha256", "pinned size_bytes"),
        *("task", "configuration", "parameters"),
    ]
    assert zoo("verify").exit_code == 0


def test_verify_fails_where_a_file_was_changed(added, home):
    path = home / "files" / "mine" / "mine.safetensors"
    document(*added)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\x3f")
    for arguments in (("verify", "mine"), ("verify",)):
        result = zoo(*arguments)
        assert result.exit_code == 1
        assert "WRONG mine" in result.stdout
        assert "pinned sha256: recorded" in result.stdout
        assert "check failed: mine" in result.stderr
    verdicts = json.loads(zoo("verify", "mine", "--json").stdout)
    assert [c["name"] for c in verdicts[0]["checks"] if not c["passed"]] == [
        "sha256",
        "pinned sha256",
    ]


def test_verify_of_a_model_that_is_not_here_says_how_to_get_it():
    result = zoo("verify", PLANARIA)
    assert isinstance(result.exception, UnifmirError)
    assert f"unifmir zoo pull {PLANARIA}" in str(result.exception)


def test_a_file_is_given_for_a_model_that_cannot_be_downloaded(tiny_single, tmp_path, monkeypatch):
    without_configurations(monkeypatch)
    save(tiny_single("sr"), tmp_path / "ccps.safetensors")
    give = ("add", "--from", "unifmir-sr-ccps", "--file", tmp_path / "ccps.safetensors")
    assert document(*give)["id"] == "unifmir-sr-ccps"
    assert "--replace" in str(zoo(*give).exception)
    assert zoo(*give, "--replace").exit_code == 0
    assert document("pull", "unifmir-sr-ccps")["path"].endswith("ccps.safetensors")


def test_an_entry_is_added_from_its_json(added, checkpoint, tmp_path):
    document(*added)
    entry = document("show", "mine") | {"id": "theirs"}
    (tmp_path / "e.json").write_text(json.dumps(entry), encoding="utf-8")
    assert document("add", tmp_path / "e.json", "--file", checkpoint)["id"] == "theirs"
    assert document("show", "theirs") == entry


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add"], "exactly one of"),
        (["add", "e.json", "--id", "x"], "exactly one of"),
        (["add", "--id", "x"], "--file FILE"),
        (["add", "--from", PLANARIA], "--file FILE"),
        (["add", "--from", PLANARIA, "--file", "a.pt", "--title", "T"], "title describe a new"),
        (["add", "--id", "x", "--file", "a.pt", "--replace"], "--replace goes with --from"),
        (["add", "--id", "x", "--file", "a.pt"], "a new model needs --title"),
        (["pull", "unifmir-sr-er"], "unifmir zoo add --from unifmir-sr-er --file FILE"),
        (["pull", PLANARIA, "--offline"], "https://doi.org/10.5281/zenodo.10579778"),
        (["pull", PLANARIA], "cannot be reached"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments, told, home):
    result = zoo(*arguments)
    assert isinstance(result.exception, UnifmirError)
    assert told in str(result.exception)
    assert result.stdout == ""
    assert not home.exists()


def test_pull_prints_only_the_path_on_stdout(checkpoint, monkeypatch):
    without_configurations(monkeypatch)
    with serving() as server:
        monkeypatch.setenv(ZENODO_VARIABLE, server.url)
        server.record({"model_best.safetensors": checkpoint.read_bytes()})
        result = zoo("pull", PLANARIA, "--json")
    assert result.stderr == ""
    pulled = json.loads(result.stdout)
    assert pulled["sha256"] == sha256_of(checkpoint)
    assert zoo("pull", PLANARIA, "--offline").stdout == pulled["path"] + "\n"
    assert document("verify", PLANARIA)[0]["passed"]


@pytest.mark.parametrize("stated", [True, False])
def test_verify_says_that_the_file_of_a_record_cannot_be_loaded(monkeypatch, stated):
    if not stated:
        without_configurations(monkeypatch)
    with serving() as server:
        monkeypatch.setenv(ZENODO_VARIABLE, server.url)
        server.record({"model_best.pt": b"not a checkpoint"})
        assert zoo("pull", PLANARIA).exit_code == 0
    result = zoo("verify", PLANARIA)
    # Where the entry states a configuration, the file must have it.
    assert result.exit_code == int(stated)
    assert "not readable: model_best.pt is not a checkpoint" in result.stdout


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in REFERENCES for task in REFERENCES[name].tasks]
)
def test_the_commands_that_train_a_reference_model_are_complete(name: str, task: str):
    train, add = document("show", name)["training"][task]
    # A shell joins what ends with a backslash.
    joined = " ".join(zoo("show", name).stdout.replace("\\\n", "").split())
    assert f"{train} {add}" in joined
    run = [*shlex.split(train)[1:], "--print-config", "--json"]
    printed = CliRunner().invoke(main, run)
    assert printed.exit_code == 0, printed.stderr
    config = json.loads(printed.stdout)
    assert (config["init"], config["tasks"], config["steps"]) == (name, [task], STEPS[task])
    # DFCAN collapses to a constant at 1e-3.
    assert config["learning_rate"] == (1e-4 if name == "dfcan" else 1e-3)
    save(fresh_reference(name, task=task), Path(f"{name}-{task}.safetensors"))
    added = CliRunner().invoke(main, shlex.split(add)[1:])
    assert added.exit_code == 0, added.stderr
    assert reference_of(find(f"{name}-{task}")) == name
    assert f"--out {name}-{task}.safetensors" in train


@pytest.mark.parametrize("name", few_quick(["vcd-net", "care-projection"], ["care-projection"]))
def test_the_recipe_of_all_tasks_is_taken_by_one_without_intensities(name: str):
    (task,) = REFERENCES[name].tasks
    config = read_config(preset_path(RECIPE), {"init": name, "tasks": [task], "steps": 1})
    few = replace(config, recipes={task: RecipeChange(scenes=1)})
    training, _ = set_up(few, fresh_reference(name, task=task), "cpu")
    training.run(until=1)
    assert training.step == 1


def test_a_reference_model_is_shown_and_has_no_file():
    shown = zoo("show", "care")
    assert shown.exit_code == 0, shown.stderr
    assert "Weigert" in shown.stdout
    assert "care" in zoo("list").stdout
    # The main command turns it into a message and exit code 2.
    assert "fresh weights" in str(zoo("pull", "care").exception)
