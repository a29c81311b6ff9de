"""Results as plots: PNG to look at, SVG to print. Needs matplotlib, the `benchmark` extra."""
