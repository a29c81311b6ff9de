"""Measuring: each subject in a process of its own, in interleaved rounds."""
