"""Precisions: what weights are stored in and what is computed in. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Literal, Self

from unifmir.registry import require_known

Variant = Literal["stored", "computing"]
"""`stored`: weights in the precision, arithmetic in fp32. `computing`: arithmetic in it too."""

_COMPUTE = "-compute"


@dataclass(frozen=True, slots=True)
class ElementType:
    """A floating-point type."""

    name: str
    bits: int
    dtype: str
    """Name of the type in torch and BioImage.IO."""


ELEMENT_TYPES: dict[str, ElementType] = {
    row.name: row
    for row in (
        ElementType("fp32", 32, "float32"),
        ElementType("fp16", 16, "float16"),
        ElementType("bf16", 16, "bfloat16"),
    )
}


@dataclass(frozen=True, slots=True)
class Precision:
    """Element types of weights and of arithmetic; names in `ELEMENT_TYPES`.

    As text `fp16` stores weights in two bytes and computes in fp32, `fp16-compute` computes in
    fp16 too.
    """

    stored: str
    computed: str = "fp32"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The precision that `str` gives the text of.

        Raises
        ------
        UnknownNameError
            There is none.
        """
        require_known("precision", text, PRECISIONS)
        stored = text.removesuffix(_COMPUTE)
        return cls(stored, stored if text.endswith(_COMPUTE) else "fp32")

    @classmethod
    def of_variant(cls, element_type: str, variant: Variant) -> Self:
        """The precision of a file, which records its element type and its variant."""
        return cls(element_type, element_type if variant == "computing" else "fp32")

    @property
    def variant(self) -> Variant:
        """`computing` if the arithmetic is in two bytes, else `stored`."""
        return "stored" if self.computed == "fp32" else "computing"

    def __str__(self) -> str:
        return self.stored if self.computed == "fp32" else f"{self.computed}{_COMPUTE}"


PRECISIONS: tuple[str, ...] = (
    *ELEMENT_TYPES,
    *(f"{name}{_COMPUTE}" for name in ELEMENT_TYPES if name != "fp32"),
)
"""All precisions, as text."""
