"""Signature of a network: its input and output, whichever network it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """Input and output of a plain network, beside the batch."""

    channels: int = 1
    """Channels of the input: planes, slices or views."""
    out_channels: int = 1
    volumetric: bool = False
    """The input has a depth of its own, (N, channels, Z, Y, X)."""
    volumetric_output: bool = False
    scale: int = 1
    """Lateral magnification, output pixels per input pixel."""
    enlarge: int = 1
    """Factor by which an image is enlarged before the network reads it."""
