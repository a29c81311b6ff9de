"""The networks that UniFMIR is compared with, from their papers: one file and one row each.

`unifmir.load("care")` gives one with fresh weights; it is trained, exported and benchmarked as a
UniFMIR network is.
"""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    # The command line lists the models: importing them must stay light.
    from unifmir.reference.base import ReferenceModel

REFERENCES: "Registry[ReferenceModel]" = Registry(
    "reference model",
    [
        ("care", "unifmir.reference.care:CARE"),
        ("care-2d", "unifmir.reference.care:CARE_2D"),
        ("care-projection", "unifmir.reference.care_projection:CARE_PROJECTION"),
        ("gvtnets", "unifmir.reference.gvtnets:GVTNETS"),
        ("gvtnets-projection", "unifmir.reference.gvtnets_projection:GVTNETS_PROJECTION"),
        ("dfcan", "unifmir.reference.dfcan:DFCAN"),
        ("enlcn", "unifmir.reference.enlcn:ENLCN"),
        ("vcd-net", "unifmir.reference.vcd_net:VCD_NET"),
        ("unet", "unifmir.reference.unet:UNET"),
    ],
)
