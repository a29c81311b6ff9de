"""Restoring whole images of any size with a network that runs on tiles."""
