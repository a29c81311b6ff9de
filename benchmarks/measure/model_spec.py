"""Specification of the model that a worker loads, and the module made of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.json_values import JsonOutput
from unifmir.plain_text_values import read_json
from unifmir.precision.element_types import Precision

if TYPE_CHECKING:
    from torch import nn

    from unifmir.precision.recipe import PrecisionRecipe


@dataclass(frozen=True, slots=True)
class ModelSpec(JsonOutput):
    """A file, and what is to be made of it."""

    path: Path
    """The file that the runtime reads; for one that runs modules, a checkpoint of one task."""
    precision: str = "fp32"
    """Text of a `Precision`."""
    task: str = ""
    """Task of a checkpoint whose weights fit several."""
    plan: Path | None = None
    """Which modules stay in fp32, from `save_recipe`; None in fp32, and for files of the user."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ModelSpec":
        """Read what `to_dict` gives."""
        plan = data["plan"]
        return cls(
            Path(data["path"]),
            data["precision"],
            data["task"],
            None if plan is None else Path(plan),
        )


def module_of(source: ModelSpec) -> "nn.Module":
    """The network of a checkpoint with the image interface around it, in its precision.

    Weights that are stored in two bytes were rounded when the checkpoint was written.
    """
    from unifmir.checkpoint.loading import load_file
    from unifmir.model import image_interface
    from unifmir.precision.variants import computing

    module = image_interface(load_file(source.path, task=source.task or None))
    if source.plan is None or Precision.parse(source.precision).variant == "stored":
        return module
    return computing(module, read_recipe(source.plan))


def save_recipe(recipe: "PrecisionRecipe", path: Path) -> None:
    """Write what making a variant needs."""
    path.write_text(json.dumps(recipe.to_dict()), "utf-8")


def read_recipe(path: Path) -> "PrecisionRecipe":
    """The recipe that `save_recipe` wrote."""
    from unifmir.precision.recipe import PrecisionRecipe

    return PrecisionRecipe.from_dict(read_json(path))
