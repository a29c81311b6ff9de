"""Simulated fluorescence microscopy: structures, optics, cameras, and a pair for each task.

Training pairs of the embedded model come from here, and its held-out test images. Everything is
seeded: the same seed gives the same arrays.
"""

from unifmir.simulate.camera import Camera
from unifmir.simulate.optics import Optics, blur, psf
from unifmir.simulate.scenes import SimulatedPair, generator, normalize_pair, simulate_pair

__all__ = [
    "Camera",
    "Optics",
    "SimulatedPair",
    "blur",
    "generator",
    "normalize_pair",
    "psf",
    "simulate_pair",
]
