"""A reference model: two convolutions for the toy task."""

from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.signature import Signature


class ToyConvolutions(Network):
    """Two 3 x 3 convolutions, added to the input.

    Parameters
    ----------
    features : int
        Channels between them.
    """

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, features, 3, padding=1)
        self.last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) -> the same shape, normalised float32 both."""
        out: Tensor = x + self.last(self.first(x).relu())
        return out


TOY_MODEL = ReferenceModel(
    name="toy-model",
    title="Toy convolutions",
    tasks=("toy-task",),
    network="tests.toys.reference:ToyConvolutions",
    options={"features": 4},
    signature=Signature(),
    parameters=4 * 9 + 4 + 4 * 9 + 1,
    citation="None: a test of adding a reference model",
    doi="10.0000/none",
)
