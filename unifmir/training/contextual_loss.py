"""Contextual bilateral loss (CoBi): truths that lie beside their inputs by some pixels.

Each place of the truth is compared with the place of the restored image that looks most like it
and lies near it (Zhang et al., "Zoom to Learn, Learn to Zoom", CVPR 2019; Ma et al. 2024, Methods,
equation 3):

    CoBi = 1/N sum over i of min over j of (D(p_i, q_j) + w_s D'(p_i, q_j))

p are features of the truth and q of the restored image, D is one minus their cosine similarity
after the truth's mean feature is taken off both, as in the contextual loss (Mechrez et al., ECCV
2018), and D' the distance between the two places. The loss is the mean over the layers conv1_2,
conv2_2 and conv3_2 of VGG-19, those of Zhang et al.; Ma et al. name none. Nor do they say in which
unit places are: here it is the side of the patch.

The sum is over the truth, the first argument in the paper's equation: a sum over the restored image
alone would let it be empty, as its background is found in every truth.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unifmir.training.vgg_features import Planes, VggFeatures

SPATIAL_WEIGHT = 0.1
"""w_s of Ma et al. 2024: a shift across the whole patch costs as much as a tenth of the way from
alike to unrelated features."""
MOST_PLACES = 1024
"""Places of a truth that are asked for, on a regular grid where a layer has more."""
MOST_DISTANCES = 1 << 24
"""Distances that are in memory at once: 64 MB."""

LayerFeatures = Float[Tensor, "c h w"]


def contextual_bilateral(
    restored: Planes, truth: Planes, features: VggFeatures
) -> Float[Tensor, ""]:
    """CoBi of restored planes and of truths that may lie beside them.

    Parameters
    ----------
    restored, truth : Tensor, shape (N, 1, H, W), float32
        Normalised, about 0 to 1, at least 4 pixels along y and x. Gradients go to the restored
        planes, by the pairs of places that were found: those of a minimum.
    features : VggFeatures

    Returns
    -------
    Tensor, shape (), float32
        Mean over planes and layers: 0 for the same, about 1 for unrelated planes.

    Notes
    -----
    Memory, beside that of the features: channels times 1,024 places of the truth, and 64 MB of
    distances, whatever the size of the planes.
    """
    with torch.no_grad():
        wanted = features(truth)
    losses = [
        _of_layer(one, other)
        for layer, target in zip(features(restored), wanted, strict=True)
        for one, other in zip(layer, target, strict=True)
    ]
    return torch.stack(losses).mean()


def _of_layer(restored: LayerFeatures, truth: LayerFeatures) -> Float[Tensor, ""]:
    """CoBi of the features of one plane at one layer."""
    channels, height, width = truth.shape
    mean = truth.mean(dim=(1, 2), keepdim=True)
    step = _grid_step(height, width)
    grid = (slice(None), _every(step, height), _every(step, width))
    asked = F.normalize((truth - mean)[grid].reshape(channels, -1), dim=0)
    given = F.normalize((restored - mean).reshape(channels, -1), dim=0)
    axes = [torch.arange(length, device=truth.device) / length for length in (height, width)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    asked_at, given_at = places[grid].reshape(2, -1), places.reshape(2, -1)
    nearest = _nearest(asked, given.detach(), asked_at, given_at)
    unlike = 1 - (asked * given[:, nearest]).sum(dim=0)
    away = (asked_at - given_at[:, nearest]).norm(dim=0)
    loss: Tensor = (unlike + SPATIAL_WEIGHT * away).mean()
    return loss


def _grid_step(height: int, width: int) -> int:
    """Smallest step of a grid that has no more than `MOST_PLACES` places."""
    step = 1
    while -(-height // step) * -(-width // step) > MOST_PLACES:
        step += 1
    return step


def _every(step: int, length: int) -> slice:
    """Every `step`-th place, as far from one end as from the other."""
    return slice((length - 1) % step // 2, None, step)


def _nearest(
    asked: Float[Tensor, "c n"],
    given: Float[Tensor, "c m"],
    asked_at: Float[Tensor, "2 n"],
    given_at: Float[Tensor, "2 m"],
) -> Int[Tensor, " n"]:
    """Number of the given place with the least sum of distances, for each place asked for."""
    rows = max(1, MOST_DISTANCES // given.shape[1])
    found = []
    for start in range(0, asked.shape[1], rows):
        part = slice(start, start + rows)
        away = torch.cdist(asked_at[:, part].T, given_at.T)
        found.append((SPATIAL_WEIGHT * away - asked[:, part].T @ given).argmin(dim=1))
    return torch.cat(found)
