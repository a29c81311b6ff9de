"""Restoring with Dask, on several processes, GPUs or machines."""
