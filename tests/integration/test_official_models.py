"""The official models by their ids: pulled as published, restored with and exported in one command.

The packages are made here, around traced networks with the official keys, and a server on this
machine stands in for Zenodo.
"""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file as load_safetensors

import unifmir
from tests.compat.packages import network as smallest
from tests.golden.weights import filled
from tests.helpers.checkpoint_files import same_weights
from tests.helpers.command_line import run
from tests.helpers.script_archives import (
    RDF_04,
    RDF_05,
    as_old_torch,
    edited,
    example,
    packaged,
    traced,
    with_official_keys,
)
from tests.helpers.small_models import without_configurations
from tests.helpers.zoo_server import Server, left
from unifmir import model
from unifmir.checkpoint.detect import detect
from unifmir.errors import CheckpointError, ZooError
from unifmir.networks.base import Network
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.schema import ZenodoSource

GOLDEN = Path(__file__).parents[1] / "golden" / "state_dicts"
OFFICIAL = {
    "unifmir-sr-microtubules": "sr",
    "unifmir-sr-f-actin": "sr",
    "unifmir-sr-ccps": "sr",
    "unifmir-sr-er": "sr",
    "unifmir-denoise-planaria": "denoise1",
    "unifmir-denoise-tribolium": "denoise5",
    "unifmir-isotropic-liver": "denoise1",
    "unifmir-projection-flywing": "projection",
    "unifmir-volume-vcd": "volume",
}
"""Id -> layout of the official file, as in tests/golden/state_dicts."""
QUICK = ("unifmir-sr-microtubules",)
"""One pulled, in the newer format; those in the older one and given by the user are slow tests, and
`long` at full size and in several formats, which take up to 7 minutes of a core."""
OF_EACH_TASK = (
    "unifmir-sr-microtubules",
    "unifmir-denoise-tribolium",
    "unifmir-isotropic-liver",
    "unifmir-projection-flywing",
    "unifmir-volume-vcd",
)
"""One entry of each task; at full size, its others differ from it in nothing but values."""


def offer(server: Server, model_id: str, package: bytes, tmp_path: Path) -> None:
    """Make a package available: on the server, or where there is no record, as the user's file."""
    source = find(model_id).source
    if isinstance(source, ZenodoSource):
        server.record({"model.zip": package}, number=source.record)
        return
    refused = run("export", "--model", model_id, "--out", tmp_path / "none")
    assert refused.exit_code == 2
    assert f"unifmir zoo add --from {model_id} --file FILE" in refused.stderr
    path = tmp_path / "given.zip"
    path.write_bytes(package)
    added = run("zoo", "add", "--from", model_id, "--file", path)
    assert added.exit_code == 0, added.stderr


def image_for(network: Network, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A small image of the task as a TIFF, and its values."""
    task = network.task
    raw, channels = sample(task).image, network.config.signature.channels
    if task == "volume":
        side = 3 * round(channels**0.5)
        raw = raw[:side, :side]
    elif raw.ndim == 3:
        raw = raw[: channels if task == "projection" else 6, :16, :16]
    else:
        raw = raw[:16, :16]
    path = tmp_path / "cells.tif"
    axes = TASKS[task].input_axes.upper()
    tifffile.imwrite(path, raw, imagej=True, metadata={"axes": axes})
    return path, raw


def check_one_command_each(model_id: str, network: Network, tmp_path: Path) -> None:
    """Restore and export by the id; the picture is the network's, the weights are bit-equal."""
    image, raw = image_for(network, tmp_path)
    z_factor = 1.0 if network.task == "isotropic" else None
    told = ("--z-factor", z_factor) if z_factor else ()
    restored = run("restore", image, "--model", model_id, *told, "--runtime", "eager")
    assert restored.exit_code == 0, restored.stderr
    found = tifffile.imread(tmp_path / f"cells.{network.task}.tif")
    options = Options(z_factor=z_factor)
    expected = unifmir.restore(raw, network, runtime="eager", options=options)
    np.testing.assert_array_equal(found, expected)
    out = tmp_path / "exported"
    exported = run("export", "--model", model_id, "--format", "safetensors", "--out", out, "--json")
    assert exported.exit_code == 0, exported.stderr
    (artifact,) = json.loads(exported.stdout)["artifacts"]
    weights = load_safetensors(artifact["path"])
    state = network.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[key], state[key]) for key in state)


@pytest.mark.parametrize(
    "model_id",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in OFFICIAL],
)
def test_a_small_official_model_goes_in_one_command_each(model_id, server, tmp_path, monkeypatch):
    without_configurations(monkeypatch)
    network = smallest(find(model_id).task)
    if network.task == "projection":  # the official file has the body residual
        network.denoise.body_residual = True  # type: ignore[union-attr]  # a module
    archive = traced(with_official_keys(network), example(network), wrapped="net.model.")
    package = packaged(edited(archive, as_old_torch), RDF_05 if "sr" in model_id else RDF_04)
    offer(server, model_id, package, tmp_path)
    loaded = unifmir.load(model_id)
    assert same_weights(loaded, network)
    assert (loaded.source.zoo_id, loaded.task) == (model_id, network.task)
    check_one_command_each(model_id, loaded, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # isotropic: two passes of each plane of a stack, in three formats
@pytest.mark.parametrize(
    ("model_id", "formats"),
    [
        *(
            pytest.param(
                name, ("onnx", "bioimageio"), marks=() if name in QUICK else pytest.mark.long
            )
            for name in OF_EACH_TASK
        ),
        # They differ from those in nothing but values; above each is exported for PyTorch.
        *(
            pytest.param(name, ("onnx",), marks=pytest.mark.long)
            for name in OFFICIAL
            if name not in OF_EACH_TASK
        ),
    ],
)
def test_a_small_official_model_is_exported_for_other_programs_in_one_command(
    model_id, formats, server, tmp_path, monkeypatch
):
    without_configurations(monkeypatch)
    network = smallest(find(model_id).task)
    archive = traced(with_official_keys(network), example(network), wrapped="net.model.")
    offer(server, model_id, packaged(edited(archive, as_old_torch)), tmp_path)
    loaded = unifmir.load(model_id)
    out = tmp_path / "exported"
    told = [word for name in formats for word in ("--format", name)]
    exported = run("export", "--model", model_id, *told, "--out", out, "--json")
    assert exported.exit_code == 0, exported.stderr
    made = {a["format"]: Path(a["path"]) for a in json.loads(exported.stdout)["artifacts"]}
    assert made.keys() == set(formats)
    assert run("verify", made["onnx"]).exit_code == 0
    (parent,) = out.glob("*.safetensors")
    weights = load_safetensors(parent)
    state = loaded.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[key], state[key]) for key in state)
    if "bioimageio" in made:
        with zipfile.ZipFile(made["bioimageio"]) as package:
            assert model_id in package.read("rdf.yaml").decode("utf-8")
        check_plain_command(made["bioimageio"], tmp_path)


def check_plain_command(package: Path, folder: Path) -> None:
    """The library's own command, as a consumer runs it, passes without a network."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    lower = {name.lower(): value for name, value in nowhere.items()}
    done = subprocess.run(
        [Path(sys.executable).with_name("bioimageio"), "test", package],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **nowhere, **lower, "XDG_CACHE_HOME": str(folder / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_record_that_lists_the_files_of_a_package_is_pulled(server, tiny_single, monkeypatch):
    without_configurations(monkeypatch)
    network = tiny_single("denoise")
    archive = traced(network, example(network))
    server.record(
        {"rdf.yaml": b"x", "weights.pt": archive, "test_input.npy": b"", "cover.png": b""}
    )
    assert same_weights(unifmir.load("unifmir-denoise-planaria"), network)


def test_the_member_that_the_description_names_is_pulled(server, tiny_single, monkeypatch):
    without_configurations(monkeypatch)
    network = tiny_single("denoise")
    archive = traced(network, example(network))
    package = packaged(archive, RDF_04, source="b.pt")
    # Another file of a checkpoint's name beside it.
    file = io.BytesIO(package)
    with zipfile.ZipFile(file, "a") as members:
        members.writestr("a.pt", b"something else")
    server.record({"model.zip": file.getvalue()})
    assert same_weights(unifmir.load("unifmir-denoise-planaria"), network)


def test_weights_that_are_not_the_declared_ones_are_not_kept(server, tiny_single):
    network = tiny_single("denoise")
    package = packaged(traced(network, example(network)), RDF_04.replace("{sha256}", "a" * 64))
    server.record({"model.zip": package})
    with pytest.raises(ZooError, match="its description says aaaa"):
        unifmir.load("unifmir-denoise-planaria")
    assert left() == []


def test_a_package_of_another_task_is_not_the_entrys(server, tiny_single):
    network = tiny_single("sr")
    server.record({"model.zip": packaged(traced(network, example(network)))})
    with pytest.raises(CheckpointError, match=r"not a network for task 'denoise'.*looks like 'sr'"):
        unifmir.load("unifmir-denoise-planaria")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model_id",
    [
        pytest.param(
            name,
            # Gigabytes; tests/golden reads the same keys.
            marks=pytest.mark.long if find(name).task in ("projection", "volume") else (),
        )
        for name in OFFICIAL
    ],
)
def test_a_full_size_official_model_is_loaded(model_id, server, tmp_path):
    full_size(model_id, server, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # projection at full size is exported in 340 s of CPU time
@pytest.mark.parametrize(
    "model_id",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in OF_EACH_TASK],
)
def test_a_full_size_official_model_goes_in_one_command_each(model_id, server, tmp_path):
    check_one_command_each(model_id, full_size(model_id, server, tmp_path), tmp_path)


def full_size(model_id: str, server: Server, tmp_path: Path) -> Network:
    """The model as it is loaded from an archive with all keys of the official file."""
    official = json.loads((GOLDEN / f"{OFFICIAL[model_id]}.json").read_text("utf-8"))
    shapes = {key: tuple(shape) for key, (_, shape) in official.items()}
    network = model.build(detect(shapes, task=find(model_id).task))
    network.load_state_dict(filled(network.state_dict(), seed=0))
    archive = traced(with_official_keys(network), example(network), wrapped="model.")
    offer(server, model_id, packaged(edited(archive, as_old_torch)), tmp_path)
    loaded = unifmir.load(model_id)
    assert len(loaded.source.left_out) + len(loaded.state_dict()) == len(official)
    assert same_weights(loaded, network)
    return loaded
