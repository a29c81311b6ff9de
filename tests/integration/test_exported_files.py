"""Exported files as their users meet them: NumPy alone, no gradients, any size, nobody made up."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import unifmir
from tests.compat.canned import untested_package
from tests.compat.packages import inputs, network
from tests.helpers.quick_rows import few_quick
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.export.case_sizes import verified_shapes
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.formats.bioimageio.missing_facts import missing_facts
from unifmir.export.formats.bioimageio.package_axes import axes_of
from unifmir.export.numpy_recipe import numpy_recipe
from unifmir.export.runtimes.torchscript import load_torchscript
from unifmir.interfaces import interface_of
from unifmir.networks.base import Network
from unifmir.restoration.restoration_options import Options
from unifmir.tasks import TASKS

ODD = {"sr": (45, 38), "denoise": (7, 29, 38), "isotropic": (24, 29, 38), "volume": (27, 33)}


few_tasks = pytest.mark.parametrize("task", few_quick(TASKS, ("sr",)))


def raw_image(model: Network) -> np.ndarray:
    """Counts of odd sizes, whole lenses where the network has some."""
    config = model.config
    if config.task == "projection":
        shape: tuple[int, ...] = (config.signature.channels, 29, 38)
    else:
        shape = ODD[config.task]
    counts: np.ndarray = np.random.default_rng(3).integers(90, 4000, shape).astype(np.uint16)
    return counts


@few_tasks
def test_ten_lines_of_numpy_give_what_restore_gives(task, tmp_path, monkeypatch):
    tiny = network(task)
    raw = raw_image(tiny)
    unifmir.export(tiny, tmp_path, formats=("onnx",))
    tifffile.imwrite(tmp_path / "image.tif", raw)
    source = numpy_recipe(tiny.config)
    lines = [line for line in source.splitlines() if line and not line.startswith(("#", "import"))]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "recipe.py", "exec"), {})
    row = TASKS[task]
    options = Options(
        intensity="percentile" if row.normalization.invertible else None,
        z_factor=1.0 if row.isotropic_sampling else None,
    )
    expected = unifmir.restore(raw, tiny, task=task, device="cpu", options=options)
    found = tifffile.imread(tmp_path / "restored.tif")
    assert found.shape == expected.shape
    # Two runtimes in fp32, a square root in isotropic.
    assert np.abs(found - expected).max() < 2e-3 * np.ptp(expected)


@few_tasks
def test_a_torchscript_file_of_a_plain_network_asks_for_no_gradient(task, tmp_path):
    tiny = network(task)
    # tests/contract/test_exporters.py has those of the image interfaces.
    asking = [parameter.requires_grad for parameter in tiny.parameters()]
    assert any(asking)
    (artifact,) = unifmir.export(tiny, tmp_path, formats=("torchscript",), interface="network")
    loaded = load_torchscript(artifact.path)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    given = torch.zeros(artifact.report.results[0].shape)
    assert torch.is_grad_enabled()
    assert not loaded(given).requires_grad
    assert [parameter.requires_grad for parameter in tiny.parameters()] == asking


@pytest.mark.slow
def test_a_package_takes_every_size_from_the_minimum_on(tmp_path):
    made = untested_package(inputs("sr", tmp_path / "in"), tmp_path / "sr.zip")
    package = read_package(made.path)
    sizes = {axis["id"]: axis["size"] for axis in package.rdf["inputs"][0]["axes"][2:]}
    assert all(size["step"] == 1 for size in sizes.values())
    session = onnxruntime.InferenceSession(package.files["weights.onnx"])
    for more in range(10):
        shape = (1, 1, sizes["y"]["min"] + more, sizes["x"]["min"] + 3 * more)
        (restored,) = session.run(None, {"image": np.zeros(shape, np.float32)})
        assert restored.shape == (1, 1, 2 * shape[2], 2 * shape[3])


@pytest.mark.parametrize("task", TASKS)
def test_only_lenses_restrict_the_sizes_of_a_package(task):
    config = network(task).config
    steps = {axis.id: axis.step for axis in axes_of(config, 8).inputs if not axis.fixed}
    lens = round(config.signature.channels**0.5)
    assert set(steps.values()) == ({lens} if task == "volume" else {1})


@pytest.mark.parametrize("interface", ["image", "network"])
@pytest.mark.parametrize("task", TASKS)
def test_every_file_is_verified_at_sizes_off_the_grid(task, interface):
    config = network(task).config
    row = interface_of(config)
    grid = row.grid_px(config)
    if interface == "network":
        grid //= row.lens_px(config.signature)
    shapes = verified_shapes(config, interface)
    assert any(shape[-2] % grid and shape[-1] % grid for shape in shapes)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(network("sr"), path)
    return path


@pytest.mark.slow  # two packages
def test_the_command_names_only_whom_the_user_gave(checkpoint, tmp_path, monkeypatch):
    from tests.compat.canned import reproduced, without_the_library

    users: list[list[str]] = []

    def passed(description: Path, github_users: list[str], output: str) -> object:
        users.append(list(github_users))
        return reproduced(description, github_users, output)

    without_the_library(monkeypatch)
    monkeypatch.setattr("unifmir.export.formats.bioimageio.package.reproduce", passed)
    command = ["export", "--checkpoint", str(checkpoint), "--format", "bioimageio"]
    nobody = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "a")])
    assert nobody.exit_code == 0, nobody.stderr
    rdf = read_package(tmp_path / "a" / "unifmir-sr.bioimageio.zip").rdf
    assert not {"authors", "packaged_by", "maintainers"} & set(rdf)
    assert "authors" not in rdf["weights"]["onnx"]
    for option in ("--author", "--packaged-by", "--maintainer"):
        assert option in nobody.stderr
    best = missing_facts(rdf)[0]
    assert best.gain == max(one.gain for one in missing_facts(rdf)) > 0
    told = f"score most is {best.fact} (+{best.gain:.3f}): {best.option}\n"
    assert f"unifmir-sr.bioimageio.zip: what would raise its {told}" in nobody.stderr
    people = ["--author", "Ada <ada@example.org>", "--packaged-by", "Bo"]
    people += ["--maintainer", "ada-hub <hub@example.org>"]
    named = CliRunner().invoke(app, [*command, *people, "--out", str(tmp_path / "b")])
    assert named.exit_code == 0, named.stderr
    rdf = read_package(tmp_path / "b" / "unifmir-sr.bioimageio.zip").rdf
    assert [one["name"] for one in rdf["authors"]] == ["Ada"]
    assert [one["name"] for one in rdf["packaged_by"]] == ["Bo"]
    assert rdf["authors"][0]["email"] == "ada@example.org"
    assert rdf["maintainers"] == [{"email": "hub@example.org", "github_user": "ada-hub"}]
    assert users == [[], ["ada-hub"]]
