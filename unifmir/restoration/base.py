"""Predictor: what restoring needs of whatever runs the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unifmir.config import SingleConfig
from unifmir.interfaces import InputKind
from unifmir.normalize import FloatImage

EAGER_BODY_MAPS = 9
"""Feature maps of its body that the eager network holds at once; a graph holds more."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Place of a network's input in the whole image, in pixels of the network's input."""

    start: tuple[int, int]
    """Row and column of the input's first pixel."""
    whole: tuple[int, int]
    """Rows and columns of the whole image."""


# Compared by identity: measurements are kept as long as the predictor lives.
@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Predictor:
    """A network that is loaded and can run, by whichever runtime."""

    run: Callable[[FloatImage], FloatImage]
    """`network`: normalised (N, C, H, W) -> (N, C', scale * H, scale * W). `image`: as
    `unifmir.model.image_interface`. Any batch, any size. Raises MemoryError (or a subclass) when
    the memory of its device does not suffice."""
    config: SingleConfig
    interface: InputKind = "network"
    device: str = "cpu"
    ran: Mapping[str, Any] = field(default_factory=dict)
    """Facts of what really runs, as `unifmir.export.runtimes` says them."""
    run_placed: Callable[[FloatImage, Placement], FloatImage] | None = None
    """Function for a network that must know where its tile lies in the whole image: those of light
    fields, `unifmir.restoration.placed_network`. None: it cannot be told, as a file cannot, and a
    light field is then restored untiled."""
    bytes_per_pixel: float | None = None
    """Memory that a run needs for each pixel of the image it reads (voxel, for networks with a
    depth). None: estimated for the eager network."""
    body_maps: int = EAGER_BODY_MAPS
    """Feature maps of the network's body that the runtime holds at once."""
    holds_attention: bool = False
    """Whether it also holds the attention weights of all windows, as a graph does."""
