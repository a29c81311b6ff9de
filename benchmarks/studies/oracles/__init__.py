"""Counts by other ways than the package counts: closed forms, exported graphs, their agreement."""
