"""Writing our own checkpoints: safetensors with the configuration beside the weights."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from unifmir.atomic import writing
from unifmir.checkpoint.loading import is_finite
from unifmir.checkpoint.record import Record
from unifmir.checkpoint.serialization import tensors_sha256, write_safetensors
from unifmir.errors import CheckpointError
from unifmir.hashing import sha256_of
from unifmir.model import Provenance, PruneCertificate
from unifmir.networks.base import Network

logger = logging.getLogger(__name__)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""Element types that weights are written in."""


def save(
    network: Network,
    path: Path,
    *,
    dtype: torch.dtype | Mapping[str, torch.dtype] | None = None,
    metadata: dict[str, str] | None = None,
) -> Provenance:
    """Write a network as safetensors: the same bytes for the same network, everywhere.

    Parameters
    ----------
    network : Network
        From `load_file`, `prune` or `model.build`. Keeps its own precision.
    path : Path
        Replaced as a whole, or left as it was.
    dtype : torch.dtype, or mapping from key to torch.dtype, optional
        float32, float16 or bfloat16; by default the network's own. A mapping leaves the keys
        that it lacks as they are.
    metadata : dict, optional
        More free text for the file's header; "unifmir" and "format" are taken.

    Returns
    -------
    Provenance
        Of the file written.

    Raises
    ------
    CheckpointError
        If a weight does not fit `dtype`, or is not finite.
    """
    path = Path(path)
    keys = network.state_dict().keys()
    wanted = dtype if isinstance(dtype, Mapping) else dict.fromkeys(keys, dtype) if dtype else {}
    if unknown := set(wanted.values()) - set(DTYPES):
        raise CheckpointError(
            f"cannot save as {unknown.pop()}: expected float32, float16 or bfloat16"
        )
    extra = dict(metadata or {})
    if taken := {"unifmir", "format"} & set(extra):
        raise CheckpointError(f"metadata {sorted(taken)} is written by unifmir itself")
    state = {k: _stored(k, tensor, wanted.get(k)) for k, tensor in network.state_dict().items()}
    record = _record_of(network, state)
    header = {**extra, "format": "pt", "unifmir": json.dumps(record.to_dict(), sort_keys=True)}
    with writing(path) as aside:
        write_safetensors(state, header, aside)
        digest, size = sha256_of(aside), aside.stat().st_size
    return Provenance(path.name, digest, size, path)


def _stored(key: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach()
    if not tensor.is_floating_point():
        return tensor
    stored = tensor if dtype is None else tensor.to(dtype)
    if not is_finite(stored):
        raise CheckpointError(
            f"{key} cannot be saved as {stored.dtype}: its largest magnitude is "
            f"{tensor.abs().max().item():.4g}; keep float32, or bfloat16 for its wider range"
        )
    return stored


def _record_of(network: Network, state: Mapping[str, Tensor]) -> Record:
    """Record of a file. A certificate goes along only with the weights it is for."""
    if network.config is None:
        raise CheckpointError("this network has no configuration: make it with model.build")
    certificate: PruneCertificate | None = network.certificate
    parent: Provenance | None = network.source
    if certificate is not None:
        if parent is None or not parent.sha256:
            parent = certificate.parent
        if tensors_sha256(state) != certificate.child_sha256:
            logger.info("the weights have changed since pruning: the certificate is left out")
            certificate = None
    dtypes = {str(t.dtype).removeprefix("torch.") for t in state.values() if t.is_floating_point()}
    return Record(network.config, "+".join(sorted(dtypes)), parent, certificate)
