"""Learning from noisy images alone: a pixel from its surroundings, or a frame from other frames.

Sources: Krull et al., CVPR 2019 (Noise2Void: a hidden pixel is predicted; its noise cannot be, so
its signal is); Lehtinen et al., ICML 2018 (Noise2Noise: one noisy frame is predicted from others).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from unifmir.datasets.stored_dataset import StoredDataset, StoredPatches
from unifmir.errors import ImageError
from unifmir.training.pool import Image, Pool

HIDDEN_SHARE = 0.02
"""Share of the pixels that is hidden at once: few enough that their surroundings are whole."""
REACH_PX = 2
"""A hidden pixel is shown the value of another one at most this far away."""
WHITE_RATIO = 20 / 6
"""Variance of third differences of white noise over that of its second differences."""
LEAST_WHITENESS = 0.8
"""Below it the noise of neighbouring pixels is alike; of white noise it is 1."""
HELD_OUT_EVERY = 5
"""Every fifth patch is held out where there are too few files for a validation split."""
LEAST_HELD_OUT = 5
"""Held-out patches without which there is no telling whether learning has helped."""
MOST_HELD_OUT = 64
"""Held-out patches that are judged; of more, as many at even distances."""
LEAST_GAIN = 1e-3
"""Share of the error on held-out images by which it must fall: most of it is their own noise."""
MOST_CHECKED = 16
"""Patches that the noise is looked at in."""

Batch = Float32[Tensor, "n c h w"]


def hide_pixels(
    inputs: Batch, targets: Float32[Tensor, "n 1 h w"], rng: np.random.Generator
) -> tuple[Batch, Float32[Tensor, "n 2 h w"]]:
    """Hide some pixels of the middle planes, one at least, behind values of their neighbours.

    Parameters
    ----------
    inputs : Tensor, shape (N, C, H, W), float32
        Normalised planes, any range, the one to restore in the middle. Planes that are copies of
        it, as beyond the ends of a stack, hide the same pixels.
    targets : Tensor, shape (N, 1, H, W), float32
        The middle planes as they were recorded.
    rng : Generator

    Returns
    -------
    inputs : Tensor, shape (N, C, H, W), float32
        Copies.
    targets : Tensor, shape (N, 2, H, W), float32
        The middle planes, and 1 where a pixel is hidden, else 0.
    """
    images, planes, height, width = inputs.shape
    hidden = torch.from_numpy(rng.random((images, height, width)) < HIDDEN_SHARE)
    if not hidden.any():
        hidden.view(-1)[int(rng.integers(hidden.numel()))] = True
    image, y, x = hidden.nonzero(as_tuple=True)
    # Numbers of the neighbours in reading order, without the one in the middle.
    side = 2 * REACH_PX + 1
    number = torch.from_numpy(rng.integers(side**2 - 1, size=len(y)))
    number = number + (number >= side**2 // 2)
    from_y, from_x = (
        _mirrored(at, offset - REACH_PX, length)
        for at, offset, length in ((y, number // side, height), (x, number % side, width))
    )
    middle = inputs[:, planes // 2]
    shown = inputs.clone()
    for plane in range(planes):
        copies = (inputs[:, plane] == middle).flatten(1).all(dim=1)[image]
        where = image[copies], y[copies], x[copies]
        shown[:, plane][where] = middle[image, from_y, from_x][copies]
    return shown, torch.cat([targets, hidden[:, None].float()], dim=1)


def _mirrored(at: Tensor, offset: Tensor, length: int) -> Tensor:
    """Places beside others; where that is outside, those on the other side."""
    place = at + offset
    return torch.where((place < 0) | (place >= length), at - offset, place)


def blind_spot_loss(
    restored: Float32[Tensor, "n 1 h w"], targets: Float32[Tensor, "n 2 h w"]
) -> Float32[Tensor, ""]:
    """Mean square error at hidden pixels: of noise without a bias, the mean is the best guess.

    Parameters
    ----------
    restored : Tensor, shape (N, 1, H, W), float32
        Normalised, any range.
    targets : Tensor, shape (N, 2, H, W), float32
        As `hide_pixels` gives them.
    """
    recorded, hidden = targets[:, :1], targets[:, 1:]
    return ((restored - recorded).square() * hidden).sum() / hidden.sum().clamp(min=1)


def diagonal_halves(
    images: Batch,
) -> tuple[Float32[Tensor, "n c y x"], Float32[Tensor, "n c y x"]]:
    """Two images of half the sampling: the means of either diagonal of each 2 x 2 pixels.

    Both lie at the same places and show the same structure, and no pixel is in both: their noise
    has nothing in common. So a network that sees all of one is judged by the other. Hidden pixels
    would judge by a handicap: a network that was not trained to fill them fills them badly.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W), float32
        Any range; an odd last row or column is left out.

    Returns
    -------
    first, second : Tensor, shape (N, C, H // 2, W // 2), float32
    """
    height, width = (length // 2 * 2 for length in images.shape[-2:])
    upper, lower = images[..., 0:height:2, :width], images[..., 1:height:2, :width]
    return (
        (upper[..., 0::2] + lower[..., 1::2]) / 2,
        (upper[..., 1::2] + lower[..., 0::2]) / 2,
    )


def fitted_errors(
    patches: Sequence[tuple[Float32[Tensor, " pixels"], Float32[Tensor, " pixels"]]],
) -> tuple[float, ...]:
    """Mean square error of each patch, after one line for all that fits them best.

    Parameters
    ----------
    patches : sequence of (Tensor, Tensor), shape (pixels,) each, float32
        What was restored and what was recorded, of any range.
    """
    restored, recorded = (torch.cat(part).double() for part in zip(*patches, strict=True))
    centred = restored - restored.mean()
    slope = (centred * recorded).sum() / centred.square().sum().clamp(min=1e-12)
    offset = recorded.mean() - slope * restored.mean()
    return tuple(
        float((slope * one.double() + offset - other.double()).square().mean())
        for one, other in patches
    )


@dataclass(frozen=True, slots=True)
class _OtherFrames(Sequence[Image]):
    """Stacks of repeated frames, each frame replaced by one outside of its window."""

    stacks: StoredPatches
    reach: int

    def __len__(self) -> int:
        return len(self.stacks)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        """One of them, or some."""
        if isinstance(index, slice):
            return _OtherFrames(self.stacks[index], self.reach)
        other: Image = np.roll(self.stacks[index], -(self.reach + 1), axis=0)
        return other


def noisy_pools(dataset: StoredDataset, slices: int, *, repeats: bool) -> tuple[Pool, Pool]:
    """Images to learn from, and held-out ones.

    Parameters
    ----------
    dataset : StoredDataset
        Its inputs are read, and no truths.
    slices : int
        Planes that the network reads.
    repeats : bool
        The planes of an image are frames of one field that does not change.

    Returns
    -------
    learned, held_out : Pool
        Held out are the validation split or, where there is none, some of the patches.

    Raises
    ------
    ImageError
        There are too few patches to learn from or to judge by, or too few frames, or the noise is
        alike in neighbouring pixels.
    """
    patches, others = dataset.patches("train"), dataset.patches("validation")
    learned, held_out = StoredPatches(dataset, patches), StoredPatches(dataset, others)
    how = "of other files"
    if not len(others):
        chosen = range(len(patches))
        how = "of the same files"
        learned = StoredPatches(dataset, [patches[n] for n in chosen if n % HELD_OUT_EVERY])
        held_out = StoredPatches(dataset, [patches[n] for n in chosen if not n % HELD_OUT_EVERY])
    if not learned or len(held_out) < LEAST_HELD_OUT:
        raise ImageError(
            f"{dataset.path.name} has {len(learned)} patches to learn from and {len(held_out)} "
            f"held out to judge by ({how}); expected one at least, and {LEAST_HELD_OUT} held out, "
            "each of which counts once: prepare it from more images, or with a smaller --patch"
        )
    frames = dataset.manifest.patch[0]
    if repeats and frames < slices + 1:
        raise ImageError(
            f"the images of {dataset.path.name} have {frames} frames; expected {slices + 1} at "
            "least, as the network reads some and predicts another: learn without --repeats"
        )
    if not repeats:
        require_white_noise(held_out[:MOST_CHECKED], dataset.path.name)
    count = min(len(held_out), MOST_HELD_OUT)
    judged = [held_out.patches[number * len(held_out) // count] for number in range(count)]
    held_out = StoredPatches(dataset, judged)
    origin = (
        f"{len(learned)} noisy patches in {dataset.path.name} (manifest {dataset.sha256[:16]}), "
        f"judged by {count} {how}"
    )
    first, second = (
        Pool(
            dataset.manifest.task,
            part,
            _OtherFrames(part, slices // 2) if repeats else part,
            origin,
        )
        for part in (learned, held_out)
    )
    return first, second


def require_white_noise(images: Sequence[Image], name: str) -> None:
    """Refuse images whose noise is alike in neighbouring pixels.

    A hidden pixel's noise would be predicted from its neighbours', and kept.

    Raises
    ------
    ImageError
        It is.
    """
    for axis, word in ((-1, "row"), (-2, "column")):
        found = float(np.mean([whiteness(image, axis) for image in images]))
        if found < LEAST_WHITENESS:
            raise ImageError(
                f"{name}: the noise of neighbouring pixels of a {word} is alike (whiteness "
                f"{found:.2f}, expected at least {LEAST_WHITENESS}): a hidden pixel's would be "
                "learned as if it were signal. Images as the camera gives them, not resampled, "
                "smoothed or compressed, or repeated frames (--repeats) can be learned from"
            )


def whiteness(image: Image, axis: int) -> float:
    """How the noise of an image varies from pixel to pixel along an axis, 1 for white noise.

    Parameters
    ----------
    image : array, shape (..., H, W), float32
        Any range; smooth structure, which differences take away, does not matter.

    Returns
    -------
    float
        Ratio, without a unit: third to second differences, over that of white noise.
    """
    second, third = (np.diff(image, order, axis=axis) for order in (2, 3))
    return float(third.var() / max(float(second.var()), 1e-12) / WHITE_RATIO)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Squared errors of held-out patches before and after learning, one of each, normalised."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    repeats: bool

    @property
    def gain(self) -> float:
        """How much smaller the error has become, on average."""
        return float(np.mean(self.before) - np.mean(self.after))

    @property
    def standard_error(self) -> float:
        """Standard error of `gain`, of the differences patch by patch."""
        differences = np.subtract(self.before, self.after)
        return float(differences.std(ddof=1) / len(differences) ** 0.5)

    @property
    def has_helped(self) -> bool:
        """Whether the gain is larger than two standard errors, and worth a model."""
        return self.gain > max(2 * self.standard_error, LEAST_GAIN * float(np.mean(self.before)))

    @property
    def words(self) -> str:
        """The figures, in a sentence."""
        what = "other frames" if self.repeats else "the other half of the pixels"
        return (
            f"mean square error of {what} of {len(self.before)} held-out patches (fitted by scale "
            f"and offset) {np.mean(self.before):.5f} before and {np.mean(self.after):.5f} after, "
            f"{self.gain:.5f} +- {self.standard_error:.5f} less"
        )
