"""Recipe of a low-precision variant: which modules stay in fp32. Nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from unifmir.errors import ExportError
from unifmir.json_values import JsonValues

if TYPE_CHECKING:
    from torch import nn

INNER = "network"
"""Name of the network inside its image interface."""
INTERFACE_REASON = "image interface: reads and gives a user's image"


@dataclass(frozen=True, slots=True)
class PrecisionRecipe(JsonValues):
    """All that making a low-precision variant of a module needs, without the proof of it.

    An island is a module whose *own* operations and weights are fp32; the modules inside it have
    entries of their own. So a residual stream can be fp32 while its branches are fp16.
    """

    precision: str
    """Name in `ELEMENT_TYPES`."""
    islands: Mapping[str, str] = field(default_factory=dict)
    """Module name -> reason why it stays in fp32."""
    callers: Mapping[str, str | None] = field(default_factory=dict)
    """Module that ran -> the module that calls it; None for the outermost."""

    def element_type(self, name: str) -> str:
        """Name in `ELEMENT_TYPES` of the type a module computes in; fp32 if it never ran."""
        low = name in self.callers and name not in self.islands
        return self.precision if low else "fp32"

    def fitted(self, module: "nn.Module") -> "PrecisionRecipe":
        """The recipe with the names of a module that has or lacks the image interface around it.

        The interface's own operations are fp32: they read and give a user's image.

        Raises
        ------
        ExportError
            The recipe is for another network.
        """
        if not self.callers and self.precision == "fp32":
            return self
        names = {name for name, _ in module.named_modules()}
        for recipe in (self, self._wrapped(), self._unwrapped()):
            if recipe.callers and recipe.callers.keys() <= names:
                return recipe
        first = next((name for name in self.callers if name not in names), "that ran")
        raise ExportError(
            f"this precision plan is for another network: {type(module).__name__} has no module "
            f"{first!r}. Run `plan_precision` on this one."
        )

    def _wrapped(self) -> "PrecisionRecipe":
        callers = {
            _inside(name): "" if caller is None else _inside(caller)
            for name, caller in self.callers.items()
        }
        islands = {_inside(name): reason for name, reason in self.islands.items()}
        if self.precision != "fp32":
            islands = {"": INTERFACE_REASON, **islands}
        return replace(self, islands=islands, callers={"": None, **callers})

    def _unwrapped(self) -> "PrecisionRecipe":
        callers = {
            _outside(name): _outside(caller) if caller else None
            for name, caller in self.callers.items()
            if name
        }
        islands = {_outside(name): reason for name, reason in self.islands.items() if name}
        return replace(self, islands=islands, callers=callers)


def _inside(name: str) -> str:
    return f"{INNER}.{name}" if name else INNER


def _outside(name: str) -> str:
    return "" if name == INNER else name.removeprefix(f"{INNER}.")
