"""Checkpoints: told what they are, read safely, loaded, pruned to one task, written."""
