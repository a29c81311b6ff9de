"""Files for the checkpoint tests."""

from pathlib import Path

import pytest
import torch

from unifmir.checkpoint.loading import load_file
from unifmir.errors import CheckpointError
from unifmir.networks.base import Network


def written(content: bytes, tmp_path: Path, name: str = "model.pt") -> Path:
    """Bytes as a file."""
    path = tmp_path / name
    path.write_bytes(content)
    return path


def saved(content: object, tmp_path: Path, name: str = "model.pt", *, legacy: bool = False) -> Path:
    """An object as a file of torch.save."""
    path = tmp_path / name
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path: Path) -> str:
    """The message with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_file(path)
    return str(caught.value)


def same_weights(a: Network, b: Network) -> bool:
    """Whether two networks hold the same weights, bit for bit."""
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
