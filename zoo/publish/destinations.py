"""The rows of the places to publish at."""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    from unifmir.zoo.publish.destination import Destination

DESTINATIONS: "Registry[Destination]" = Registry(
    "destination",
    [
        ("bioimageio", "unifmir.zoo.publish.bioimageio:BIOIMAGEIO"),
        ("huggingface", "unifmir.zoo.publish.huggingface:HUGGINGFACE"),
        ("zenodo", "unifmir.zoo.publish.zenodo:ZENODO"),
    ],
)
"""Destinations by the name that `unifmir publish --to` takes."""
