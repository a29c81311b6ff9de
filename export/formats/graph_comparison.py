"""Whether two graphs compute the same: operator by operator, from the result back to the image.

That a graph gives the right picture at the sizes it was run at says nothing of other sizes, or of
images with a certain pixel: it may hold a condition in any disguise, as a comparison, as arithmetic
or in a table. So a graph from elsewhere must be the one that the exporter writes for its parent:
then there is no room for one.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

RELATIVE = {"fp32": 2.0**-20, "fp16": 2.0**-9, "bf16": 2.0**-6}
"""Largest relative difference of a number from the parent's, by the precision of the file. In fp32
it is what folding a normalisation into a convolution rounds; else two steps of the type, as a
number may be rounded up or down by what the network then gives."""
_SMALLEST = 2.0**-24
"""Step of fp16 near 0; times the largest magnitude of the tensor where that is above 1."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator of a graph, or a constant."""

    label: str
    """Name, for messages."""
    kind: str
    """Type of the operator, its settings, and which of its results it is about."""
    inputs: tuple[Hashable, ...] = ()
    """Values that it reads, for `ComparedGraph.operation`."""
    constant: np.ndarray | None = None
    """Numbers, where it is a constant; of any type."""


class ComparedGraph(ABC):
    """A graph as `differences` walks it."""

    result: Hashable
    """The value that is the restored image."""
    size: int
    """Operators that the graph holds; constants and changes of the float type are not counted."""

    @abstractmethod
    def operation(self, value: Hashable) -> Operation:
        """Find the operator that makes a value; changes of the float type are passed over."""


def differences(found: ComparedGraph, made: ComparedGraph, precision: str) -> Iterator[str]:
    """Sentences on where one graph computes otherwise than another; the first that is found.

    Parameters
    ----------
    found : ComparedGraph
        Of the file.
    made : ComparedGraph
        As the exporter makes it from the parent, in fp32.
    precision : str
        Of the file.
    """
    pairs: list[tuple[Hashable, Hashable]] = [(found.result, made.result)]
    seen = set(pairs)
    operators: set[str] = set()
    while pairs:
        left, right = pairs.pop()
        one, other = found.operation(left), made.operation(right)
        if (problem := _difference(one, other, precision)) is not None:
            yield problem
            return
        if one.constant is None and one.inputs:
            operators.add(one.label)
        for pair in zip(one.inputs, other.inputs, strict=True):
            if pair not in seen:
                seen.add(pair)
                pairs.append(pair)
    if len(operators) < found.size:
        yield f"{found.size - len(operators)} of its operators have no part in the result"


def _difference(found: Operation, made: Operation, precision: str) -> str | None:
    where = f"{found.label[:80]!r}"
    if (found.constant is None) != (made.constant is None) or found.kind != made.kind:
        return f"{where} is {found.kind[:120]}, expected {made.kind[:120]}"
    if len(found.inputs) != len(made.inputs):
        return f"{where} reads {len(found.inputs)} values, expected {len(made.inputs)}"
    if found.constant is None or made.constant is None:
        return None
    if found.constant.shape != made.constant.shape:
        return f"{where} has shape {found.constant.shape}, expected {made.constant.shape}"
    wrong = unequal_numbers(found.constant, made.constant, RELATIVE[precision])
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        said, expected = found.constant[first], made.constant[first]
        return f"{where} holds {said:.9g} at {list(first)}, the parent has {expected:.9g} there"
    return None


def unequal_numbers(found: np.ndarray, made: np.ndarray, relative: float) -> np.ndarray:
    """Mask of the numbers that differ; whole ones by anything at all.

    Parameters
    ----------
    found, made : ndarray of one shape, any dtype and range
    relative : float
        Part of a floating-point number by which two of them may differ.

    Returns
    -------
    ndarray of bool, of their shape
    """
    if made.dtype.kind != "f" or found.dtype.kind != "f":
        return np.asarray((found != made) | (found.dtype.kind != made.dtype.kind))
    # Damaged numbers may be signalling NaN, which a cast warns of.
    with np.errstate(invalid="ignore"):
        wanted, given = made.astype(np.float64), found.astype(np.float64)
        largest = float(np.abs(wanted).max(initial=1.0, where=np.isfinite(wanted)))
        near = np.abs(given - wanted) <= relative * np.abs(wanted) + _SMALLEST * largest
    unequal: np.ndarray = ~(near | (given == wanted) | (np.isnan(given) & np.isnan(wanted)))
    return unequal
