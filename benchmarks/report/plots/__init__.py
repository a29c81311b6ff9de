"""Results as plots: PNG to look at, SVG to print. Needs matplotlib, the `benchmark` extra."""

from unifmir.benchmarks.report.plots.drawing import PLOTS, Drawn, draw, figures

__all__ = ["PLOTS", "Drawn", "draw", "figures"]
