"""Type of a metric's row."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

RestoredImage = Float[np.ndarray, "*axes"]
"""Plane or stack in the units of the truth."""
FIT = "the scale and offset that fit the truth best (least squares, as Weigert et al. 2018)"
"""Words for the fit that a fitted figure grants the restored image."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How near a restored image is to the truth, as one number. A row of `METRICS`."""

    measure: Callable[[RestoredImage, RestoredImage], float]
    """Function from a restored image and the truth, of one shape, to the figure."""
    title: str
    """Title, which says fitted or unfitted where the figure could be either."""
    decimals: int
    """Digits that are reported after the point."""
    unit: str | None = None
    fitted: bool = False
    """Whether the restored image is first granted the scale and offset that fit the truth best."""
    short: str = ""
    """Title where room is short."""

    @property
    def heading(self) -> str:
        """Heading of a column."""
        return ", ".join(filter(None, (self.short or self.title, self.unit)))


def fitted(metric: Metric) -> Metric:
    """Row of an unfitted metric's figure after the fit."""
    return replace(metric, title=metric.title.replace("unfitted", "fitted"), fitted=True)


def span_of(truth: RestoredImage) -> float:
    """Largest minus smallest intensity of the truth."""
    return float(truth.max() - truth.min())
