"""Restoring with a model by its name: arrays, files, folders, on one machine or a cluster."""
