"""Rows of reference models: everything that is known of one."""

from collections.abc import Mapping
from dataclasses import dataclass

from unifmir.signature import Signature

SIZE_MULTIPLE = 16
"""Pixels: a multiple of what every reference model halves its images by."""


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """One row of `REFERENCES`."""

    name: str
    title: str
    tasks: tuple[str, ...]
    """Tasks it is a reference for, the one it is best known for first."""
    network: str
    """`module:class`; a `Network` that imports nothing but torch and `unifmir.networks`."""
    options: Mapping[str, int | tuple[int, ...]]
    """Constructor arguments of the published network."""
    signature: Signature
    """Input and output of the plain network."""
    parameters: int
    """Number of parameters of the published network."""
    citation: str
    doi: str
    learning_rate: float | None = None
    """Adam's highest, where the one of the presets does not do."""
    notes: str = ""
    """Remarks for a reader of the paper's tables."""
