"""The loop around a traced network: few images at a time, and the same picture."""

import pytest
import torch
from torch import nn

from tests.compat.packages import network
from unifmir.compare import FP32, compare
from unifmir.export.formats.script_loop import InParts, looped
from unifmir.model import image_interface

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Counts(nn.Module):
    """Doubles images, and remembers how many it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, images):
        self.given.append(images.shape[0])
        return 2 * images


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ((1, 5, 200, 300), [1]),  # larger than a part
        ((3, 1, 128, 64), [1, 1, 1]),
        ((7, 1, 56, 56), [2, 2, 2, 1]),
        ((9, 2, 8, 8), [9]),
    ],
)
def test_a_part_has_8192_pixels_and_at_least_one_image(shape, parts):
    counts, images = Counts(), torch.rand(shape)
    assert torch.equal(InParts(counts)(images), 2 * images)
    assert counts.given == parts


@pytest.mark.parametrize("task", ["denoise", "isotropic"])
def test_slices_and_sections_are_restored_in_a_loop(task):
    interface = image_interface(network(task))
    inside = interface.get_submodule("network")
    small, large = torch.rand(1, 1, 3, 8, 9), torch.rand(2, 1, 6, 40, 72)
    with torch.no_grad(), looped(interface, small):
        assert isinstance(interface.get_submodule("network"), torch.jit.ScriptModule)
        traced = torch.jit.trace(interface, small, check_trace=False)
    assert interface.get_submodule("network") is inside
    assert "prim::Loop" in str(traced.network.graph)
    with torch.no_grad():
        expected, actual = interface(large), traced(large)
    if task == "isotropic":
        # A volume is the root of a product of both sections, whose slope is infinite at 0, where
        # it makes 1e-5 of rounding: what is under the root is compared.
        expected, actual = expected.square(), actual.square()
    found = compare(expected.numpy(), actual.numpy())
    assert not FP32.failures(found), found


def test_what_cuts_nothing_stays_as_it_is():
    interface = image_interface(network("sr"))
    before = interface.network
    with looped(interface, torch.rand(1, 1, 8, 8)):
        assert interface.network is before
