"""Datasets to train on: found in a lab's folders, checked, cut, and kept in one Zarr store."""
