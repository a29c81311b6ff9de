"""Base of the networks: the facts that travel with one besides its layers."""

from typing import Any

from torch import nn


class Network(nn.Module):
    """A network and what is known of it.

    Attributes
    ----------
    kind : {"single", "multitask"}
    task : str
        Name of the task; empty for a multi-task network.
    config : SingleTaskConfig or MultiTaskConfig
        The hyper-parameters it was built from.
    source : Source or None
        The file it was loaded from.
    certificate : PruneCertificate or None
        Set by `unifmir.prune`.
    """

    # Any: these modules import nothing but torch, so that a BioImage.IO package can carry them.
    kind: str = "single"
    task: str = ""
    config: Any = None
    source: Any = None
    certificate: Any = None
