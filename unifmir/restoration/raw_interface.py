"""Image interface in raw intensities: the scaling of a whole image, and the way back, in a graph.

What `unifmir restore` does around the network, as operations that exported files have: percentiles
of the whole image, the network in its image interface, scaling back, and the line from restored to
raw intensities. A file of it needs no code around it, and no tiles: part of an image has other
percentiles than the whole.
"""

from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.config import SingleConfig
from unifmir.interfaces import Counterpart, interface_of
from unifmir.normalize import EPSILON
from unifmir.restoration.intensity_line import LEAST_VARIANCE
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.tasks.base import Intensity, Normalization


def raw_interface(interface: nn.Module, config: SingleConfig) -> nn.Module:
    """An image interface that takes and gives raw intensities; the weights are shared.

    Parameters
    ----------
    interface : module
        A network of `config` in its image interface, in any precision, float32 in and out.
    config : SingleConfig

    Returns
    -------
    module
        In eval mode. `interface` itself where it scales the image by itself, as light fields do.
    """
    normalization = config.normalization
    if normalization.inside:
        return interface
    row = interface_of(config)
    return RawInterface(
        interface,
        normalization,
        intensity_of(config, Options()),
        scale=row.scale(config.signature, "image"),
        counterpart=row.counterpart,
    ).eval()


class RawInterface(nn.Module):
    """Image interface around an image interface: raw counts in, intensities out.

    Each image of a batch has its own percentiles and its own line.

    Parameters
    ----------
    interface : module
        Takes and gives normalised images.
    normalization : Normalization
        By percentiles.
    intensity : {"percentile", "matched", "local"}
        `local` is computed as `matched`: the low frequencies of what the line leaves are not added.
    scale : int
        Lateral magnification of the interface.
    counterpart : {"stack", "maximum"}
        Image that the result is held against.

    Notes
    -----
    Arithmetic is float32, whatever the precision of the network. Means are taken axis by axis: one
    sum over a large image in float32 loses the digits that the line is made of.
    """

    def __init__(
        self,
        interface: nn.Module,
        normalization: Normalization,
        intensity: Intensity,
        *,
        scale: int = 1,
        counterpart: Counterpart = "stack",
    ) -> None:
        super().__init__()
        self.interface = interface
        self.normalization = normalization
        self.intensity = intensity
        self.scale = scale
        self.counterpart = counterpart

    def forward(self, image: Tensor) -> Tensor:
        """Restore raw images of any shape that the interface takes, (N, 1, ..., Y, X), float.

        Returns
        -------
        Tensor
            Restored, in the image's intensities; of a relative task, in the network's units. NaN
            throughout where an image cannot be scaled: it holds NaN or Inf, or its percentiles
            coincide although it is not constant.
        """
        normalised, low, span = self.scaled(image)
        restored: Tensor = self.interface(normalised)
        if not self.normalization.invertible:
            return restored
        if self.normalization.clip:
            restored = restored.clamp(0, 1)
        gain, offset = self.line(restored, normalised, low, span)
        return _like(gain, restored) * restored + _like(offset, restored)

    def scaled(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images as the network reads them, what became 0, and what became a step of 1.

        Returns
        -------
        normalised : Tensor, shape of `image`
        low, span : Tensor, shape (N, 1)
            `low` is NaN for an image that cannot be scaled.
        """
        flat = image.flatten(1)
        low = percentile(flat, self.normalization.low_percent)
        high = percentile(flat, self.normalization.high_percent)
        varies = flat.amax(1, keepdim=True) > flat.amin(1, keepdim=True)
        finite = torch.isfinite(flat).all(1, keepdim=True)
        # Without the condition the network would read values beyond 1e20.
        usable = finite & ((high > low) | ~varies)
        span = torch.where(usable, high - low + EPSILON, torch.ones_like(low))
        normalised = (image - _like(low, image)) / _like(span, image)
        if self.normalization.clip:
            normalised = normalised.clamp(0, 1)
        return normalised, torch.where(usable, low, torch.full_like(low, torch.nan)), span

    def line(
        self, restored: Tensor, normalised: Tensor, low: Tensor, span: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gain and offset, (N, 1) each, from the network's output to intensities.

        As `unifmir.restoration.intensity_line.fit_line`.
        """
        if self.intensity == "percentile":
            return span, low
        raw = normalised.amax(2) if self.counterpart == "maximum" else normalised
        x, y = restored.flatten(1, -3), raw.flatten(1, -3)
        if self.scale > 1:
            x = F.avg_pool2d(x, self.scale)
        x_mean, y_mean = _mean(x), _mean(y)
        x, y = x - _like(x_mean, x), y - _like(y_mean, y)
        variance, covariance = _mean(x * x), _mean(x * y)
        fits = (variance > LEAST_VARIANCE) & (covariance > 0)
        one = torch.ones_like(variance)
        slope = torch.where(fits, covariance / torch.where(fits, variance, one), one)
        return slope * span, (y_mean - slope * x_mean) * span + low


def percentile(values: Tensor, percent: float) -> Tensor:
    """Percentile of each row, linear between two ranks, as `numpy.percentile`.

    Parameters
    ----------
    values : Tensor, shape (N, count), float
        Of any count from 1 on, which a trace keeps free.
    percent : float
        From 0 to 100.

    Returns
    -------
    Tensor, shape (N, 1)

    Notes
    -----
    Only the shorter end is sorted, up to the rank. Ranks are integers: float32 has too few digits
    for the place in a large image.
    """
    if percent in (0, 100):
        return values.amin(1, keepdim=True) if percent == 0 else values.amax(1, keepdim=True)
    share = Fraction(str(percent)) / 100
    from_below = share <= Fraction(1, 2)
    # The same from above: the percentile of 100 - percent among descending values.
    numerator, denominator = (share if from_below else 1 - share).as_integer_ratio()
    last = values.shape[1] - 1
    first = last * numerator // denominator
    second = last - last * (denominator - numerator) // denominator
    ends = values.topk(second + 1, dim=1, largest=not from_below).values
    near, far = ends[:, first : first + 1], ends[:, second : second + 1]
    # The difference first: a trace divides two integers as integers.
    return near + (far - near) * (last * numerator - first * denominator) / denominator


def _mean(values: Tensor) -> Tensor:
    """Mean of each image, (N, 1)."""
    for _ in range(values.dim() - 2):
        values = values.mean(-1)
    return values.mean(-1, keepdim=True)


def _like(values: Tensor, image: Tensor) -> Tensor:
    """One value an image, (N, 1), to be broadcast over images (N, ...)."""
    return values.reshape(-1, *(1 for _ in range(image.dim() - 1)))
