"""Small networks and predictors that the tests of whole-image restoration share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32

from tests.golden.weights import filled
from unifmir.config import (
    BodyConfig,
    MultiTaskConfig,
    ProjectorConfig,
    SingleTaskConfig,
    ViewUNetConfig,
)
from unifmir.images.base import ImageInfo, Region, Shape
from unifmir.interfaces import InputKind
from unifmir.model import build, image_interface
from unifmir.networks.base import Network
from unifmir.networks.interface import PlaneInterface
from unifmir.normalize import FloatImage, normalize
from unifmir.restoration.base import Placement, Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.placed_network import PlacedNetwork
from unifmir.restoration.restoration_options import Options
from unifmir.tasks import TASKS

SMALL = MultiTaskConfig(
    body=BodyConfig(embed_dim=12, depths=(2,), num_heads=(2,), mlp_hidden=12),
    projector=ProjectorConfig(planes=4, features=8, blocks=8, match_features=4, random_features=8),
    view_unet=ViewUNetConfig(
        views=9, planes=3, stem_features=32, entry_features=8, encoder=(8, 8, 8, 8, 8)
    ),
    tail_features=6,
    volume_tail_features=12,
    denoise_channels=5,
)
"""All parts of the real networks, one window shift, a reach of 16 pixels."""


def small(task: str) -> Network:
    """The single-task network of `SMALL`, with weights large enough that seams would be seen."""
    return weighted(SMALL.single(task))


def weighted(config: SingleTaskConfig) -> Network:
    """A network with the parity rule's weights."""
    network = build(config)
    network.load_state_dict(filled(network.state_dict(), seed=3))
    return network


def predictor_of(network: Network, interface: InputKind = "network") -> Predictor:
    """A predictor that runs the eager module."""
    module = network if interface == "network" else image_interface(network)

    def run(image: FloatImage) -> FloatImage:
        with torch.inference_mode():
            restored: FloatImage = module(torch.from_numpy(np.ascontiguousarray(image))).numpy()
        return restored

    run_placed: Callable[[FloatImage, Placement], FloatImage] | None = None
    if network.task == "volume" and interface == "network":
        placed = PlacedNetwork(network)

        def run_placed(views: FloatImage, place: Placement) -> FloatImage:
            with torch.inference_mode():
                volume: FloatImage = placed(
                    torch.from_numpy(views), place.start, place.whole
                ).numpy()
            return volume

    return Predictor(run, network.config, interface, run_placed=run_placed)


def options_for(task: str, **values: Any) -> Options:
    """Options; for isotropic, of a stack that is interpolated already if they say no factor."""
    known = {"z_factor": 1.0} if TASKS[task].isotropic_sampling else {}
    return Options(**(known | values))


def by_image_interface(network: Network, image: np.ndarray) -> np.ndarray:
    """What a user would compute without tiles: normalise, the image interface, and back."""
    normalised, scaling = normalize(image, TASKS[network.task].normalization)
    module, tensor = image_interface(network), torch.from_numpy(normalised)
    by_plane = isinstance(module, PlaneInterface) and tensor.ndim == 3
    with torch.inference_mode():
        restored = module(tensor[:, None] if by_plane else tensor[None, None]).numpy()
    return scaling.invert(restored[:, 0] if by_plane else restored[0, 0])


def restore_officially(
    image: np.ndarray, predictor: Predictor, *, options: Options | None = None, **known: Any
) -> np.ndarray:
    """`restore_array`, with intensities by percentiles as the official inference has them."""
    chosen = options or options_for(predictor.config.task)
    if TASKS[predictor.config.task].normalization.invertible:
        chosen = replace(chosen, intensity="percentile")
    return restore_array(image, predictor, options=chosen, **known)


def picture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Blurred noise with bright spots, uint16: structure at several scales."""
    rng = np.random.default_rng(seed)
    image = rng.gamma(2.0, 100.0, shape)
    for axis in range(len(shape) - 2, len(shape)):
        image = (image + np.roll(image, 1, axis) + np.roll(image, 2, axis)) / 3
    image += 2000 * (rng.random(shape) > 0.995)
    return (image + 100).astype(np.uint16)


class CountingSource:
    """An image computed where it is read, of any size; remembers the largest read."""

    def __init__(self, shape: Shape, axes: str = "yx", dtype: str = "uint16") -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.info = ImageInfo("generated", axes)
        self.chunks: Shape = (1, 1, 1, min(2048, shape[3]), min(2048, shape[4]))
        self.largest = 0

    def read(self, region: Region) -> np.ndarray:
        sizes = tuple(part.stop - part.start for part in region)
        self.largest = max(self.largest, int(np.prod(sizes)))
        rows = np.arange(region[3].start, region[3].stop).astype(np.uint16)[:, None]
        columns = np.arange(region[4].start, region[4].stop).astype(np.uint16)[None, :]
        plane = rows ^ columns
        return np.broadcast_to(plane, sizes).astype(self.dtype, copy=False)

    def close(self) -> None:
        pass


class ChecksumSink:
    """Keeps nothing but how many pixels were written, and a sum that any order gives."""

    resumed = False

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self.chunks = shape
        self.pixels = 0
        self.total = 0.0

    def write(self, region: Region, values: np.ndarray) -> None:
        assert values.shape == tuple(part.stop - part.start for part in region)
        self.pixels += values.size
        self.total += float(values.sum(dtype=np.float64))

    def flush(self) -> None:
        pass

    def publish(self) -> None:
        pass

    def discard(self) -> None:
        pass


class FileSink:
    """An array in a file beside its place, as the real sinks keep it."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path, self.shape = path, shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.chunks = shape
        self.aside = path.with_suffix(".partial")
        self.resumed = self.aside.exists()
        mode: Literal["r+", "w+"] = "r+" if self.resumed else "w+"
        self._array = np.memmap(self.aside, self.dtype, mode, shape=shape)

    def write(self, region: Region, values: np.ndarray) -> None:
        self._array[region] = values

    def flush(self) -> None:
        self._array.flush()

    def publish(self) -> None:
        self.flush()
        self.aside.replace(self.path)

    def discard(self) -> None:
        self.aside.unlink()


def seam_over_range(
    whole: Float32[np.ndarray, "*axes"], tiled: Float32[np.ndarray, "*axes"]
) -> float:
    """Largest difference of a tiled result from the untiled one, over the range of that.

    The difference itself where the untiled result is constant.
    """
    extent = float(whole.max() - whole.min())
    return float(np.abs(whole - tiled).max()) / (extent if extent > 0 else 1.0)
