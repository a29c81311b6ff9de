"""One small network and its files, from which the kinds make their cases."""

import functools
import io
import tempfile
from pathlib import Path

import torch
from torch import Tensor

import unifmir
from unifmir.checkpoint.saving import save
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.model import build
from unifmir.networks.base import Network

BODY = BodyConfig(embed_dim=8, depths=(2,), num_heads=(2,), window_size=4, mlp_hidden=8)


@functools.cache
def network() -> Network:
    """A network for sr whose weights are the same in every process."""
    made = build(SingleTaskConfig("sr", BODY, tail_features=4, scale=2))
    numbers = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.2 * torch.rand(weight.shape, generator=numbers) - 0.1)
    return made


@functools.cache
def weights() -> dict[str, Tensor]:
    """Its state dict."""
    return {key: tensor.clone() for key, tensor in network().state_dict().items()}


def saved(content: object, *, legacy: bool = False) -> bytes:
    """Content as a file of torch.save."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@functools.cache
def safetensors() -> bytes:
    """The network as a safetensors file of ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save(network(), path)
        return path.read_bytes()


@functools.cache
def exported(form: str) -> dict[str, bytes]:
    """Files of an export of the network, by name: the artifact, its report and the parent."""
    with tempfile.TemporaryDirectory() as folder:
        save(network(), Path(folder, "source.safetensors"))
        model = unifmir.load(Path(folder, "source.safetensors"))
        out = Path(folder, "out")
        unifmir.export(model, out, formats=(form,))
        return {path.name: path.read_bytes() for path in out.iterdir()}


def other_weights(found: Network) -> str | None:
    """Why a network is not the template's; None where it is, bit for bit."""
    one, other = found.state_dict(), weights()
    if one.keys() != other.keys():
        return f"it has the keys {sorted(one.keys() ^ other.keys())[:5]}"
    differ = [key for key in other if not torch.equal(one[key], other[key])]
    return f"other weights: {differ[:5]}" if differ else None
