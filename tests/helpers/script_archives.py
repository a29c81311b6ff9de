"""TorchScript archives and BioImage.IO packages as the official models are published in."""

import copy
import hashlib
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.helpers.zoo_server import zipped
from unifmir.checkpoint.official import official_state_dict
from unifmir.networks.base import Network

RDF_04 = """format_version: 0.4.10
type: model
name: UniFMIR
inputs:
- {{axes: bcyx, data_type: float32, name: input, shape: [1, 1, 128, 128]}}
outputs:
- {{axes: bcyx, data_type: float32, name: output, shape: [1, 1, 256, 256]}}
test_inputs: [test_input.npy]
test_outputs: [test_output.npy]
weights:
  torchscript: {{source: {source}, sha256: {sha256}, pytorch_version: 1.10.0}}
"""
RDF_05 = """format_version: 0.5.7
type: model
name: UniFMIR
weights:
  onnx: {{source: weights.onnx, opset_version: 17}}
  torchscript: {{source: {source}, sha256: {sha256}, pytorch_version: 2.5.1}}
"""
Records = dict[str, bytes]
"""Content of an archive's members, without the name of the archive's own folder."""


class Wrapper(nn.Module):
    """A module that holds another under a name, as inference code wraps networks."""

    def __init__(self, name: str, inner: nn.Module) -> None:
        super().__init__()
        self.add_module(name, inner)
        self._name = name

    def forward(self, image: Tensor) -> Tensor:
        """The inner module's output."""
        result: Tensor = getattr(self, self._name)(image)
        return result


def with_official_keys(network: Network) -> Network:
    """A copy, with the official entries that it does without as buffers that nothing reads."""
    network = copy.deepcopy(network)
    own = set(network.state_dict())
    for key, tensor in official_state_dict(network).items():
        if key in own:
            continue
        module: nn.Module = network
        *path, leaf = key.split(".")
        for name in path:
            if not hasattr(module, name):
                module.add_module(name, nn.Module())
            module = getattr(module, name)
        module.register_buffer(leaf, tensor)
    return network


def example(network: Network, side: int = 16) -> Tensor:
    """An input of the network as trained."""
    return torch.rand(1, network.config.signature.channels, side, side)


def traced(module: nn.Module, image: Tensor, *, wrapped: str = "", half: bool = False) -> bytes:
    """A TorchScript archive of a module, inside wrappers of the names that `wrapped` gives."""
    for name in reversed(wrapped.rstrip(".").split(".") if wrapped else []):
        module = Wrapper(name, module)
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # Tracing is announced as deprecated, and warns where it fixes a Python value.
        warnings.simplefilter("ignore")
        script = torch.jit.trace(module.eval(), image, check_trace=False)
        torch.jit.save(script.half() if half else script, file)
    return file.getvalue()


def edited(
    archive: bytes, edit: Callable[[Records], Mapping[str, bytes]], *, root: str = "archive"
) -> bytes:
    """An archive with other records, checksums right, in a folder of another name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        records = {name.partition("/")[2]: old.read(name) for name in old.namelist()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        for name, content in edit(records).items():
            new.writestr(f"{root}/{name}", content)
    return file.getvalue()


def as_old_torch(records: Records) -> Records:
    """Records as torch 1.10 writes them: without byte order and identity, version 3."""
    kept = {k: v for k, v in records.items() if k not in ("byteorder", ".data/serialization_id")}
    return {**kept, "version": b"3\n"}


def as_new_torch(records: Records) -> Records:
    """Records with a version beyond those there are, and files that nobody knows."""
    return {**records, "version": b"17\n", ".format_version": b"1", "extra/more.json": b"{}"}


def packaged(
    weights: bytes, rdf: str = RDF_04, *, source: str = "weights.pt", member: str | None = None
) -> bytes:
    """A BioImage.IO package around weights."""
    description = rdf.format(source=source, sha256=hashlib.sha256(weights).hexdigest())
    return zipped(
        {
            "rdf.yaml": description.encode(),
            source if member is None else member: weights,
            "test_input.npy": b"not read",
            "cover.png": b"not read",
        }
    )


def entries_of(network: Network) -> dict[str, Any]:
    """The official entries of a network, copied."""
    return {key: tensor.clone() for key, tensor in official_state_dict(network).items()}
