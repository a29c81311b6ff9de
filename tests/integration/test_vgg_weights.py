"""Weights of VGG-19 from a server on this machine, and a training that compares their features."""

import hashlib
import io
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.vgg_weights import vgg_weights
from tests.helpers.zoo_server import Reply, Server
from unifmir.cli.main import app
from unifmir.errors import ZooError
from unifmir.training.vgg_features import VggFeatures
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue import vgg_weights as published
from unifmir.zoo.catalogue.vgg_weights import local_vgg, vgg_features

PATH = f"/models/{published.FILENAME}"


@pytest.fixture
def content(server: Server, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file as torchvision's, of few channels, that the server has."""
    file = io.BytesIO()
    torch.save(vgg_weights(), file, _use_new_zipfile_serialization=False)
    content = file.getvalue()
    server.replies[PATH] = Reply(content)
    monkeypatch.setenv(published.PYTORCH_VARIABLE, server.url)
    monkeypatch.setattr(published, "SIZE_BYTES", len(content))
    monkeypatch.setattr(published, "SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_the_name_has_the_first_digits_of_the_hash() -> None:
    assert f"vgg19-{published.SHA256[:8]}.pth" == published.FILENAME
    assert len(published.SHA256) == 64


def test_it_is_fetched_once_and_again_where_it_was_damaged(server: Server, content: bytes) -> None:
    expected = VggFeatures(vgg_weights()).sha256
    assert [vgg_features().sha256 for _ in range(2)] == [expected] * 2
    assert [path for path, _ in server.asked] == [PATH]
    local_vgg().write_bytes(content[:-1])
    assert local_vgg().read_bytes() == content
    assert len(server.asked) == 2


def test_another_file_is_refused_and_what_to_do_is_said(server: Server, content: bytes) -> None:
    server.replies[PATH] = Reply(content[:-1] + b"?")
    with pytest.raises(ZooError, match=r"arrived damaged.*`features = \"FILE\"`"):
        local_vgg()
    assert not list(directories.cache().rglob("*.pth"))


def test_a_training_may_name_a_file_of_its_own(tmp_path: Path) -> None:
    torch.save(vgg_weights(), tmp_path / "vgg.pth")
    config = tmp_path / "beside.toml"
    config.write_text(
        'stage = "pretrain"\ntasks = ["sr"]\nsteps = 1\nloss = "cobi"\n'
        f"features = '{tmp_path / 'vgg.pth'}'\n"
        "[recipes.sr]\nscenes = 1\nscene_size = 24\npatch = 16\nbatch = 1\n"
    )
    out = tmp_path / "m.safetensors"
    found = CliRunner().invoke(
        app, ["train", "pretrain", "--config", str(config), "--out", str(out)]
    )
    assert found.exit_code == 0, found.output
    assert VggFeatures(vgg_weights()).sha256[:16] in Path(f"{out}.training.json").read_text()
