"""A sixth task: sharpening of a plane, by the network of UniFMIR."""

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from unifmir.simulate.scenes import SimulatedPair
from unifmir.tasks.base import (
    CARE_PERCENTILES,
    CardText,
    EvaluationRecipe,
    SampleFile,
    Simulation,
    TaskSpec,
    TrainingRecipe,
    Workloads,
)
from unifmir.tasks.sr import SR


def scene(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Blurred points and the points, in photons."""
    points = (rng.random((size, size)) > 0.98).astype(np.float32) * 100
    sharp = scipy.ndimage.gaussian_filter(points, 0.7) + np.float32(10)
    blurred = scipy.ndimage.gaussian_filter(sharp, 2.0)
    image = rng.poisson(blurred).astype(np.float32)
    return SimulatedPair("toy-task", image, sharp, sharp, blurred, "points")


def baselines(scene: SimulatedPair) -> dict[str, NDArray[np.float32]]:
    """The image itself."""
    return {"input": scene.image}


TOY_TASK = TaskSpec(
    name="toy-task",
    title="Toy sharpening",
    summary="Sharpens a plane, as a test of adding a task.",
    input_axes="yx",
    output_axes="yx",
    normalization=CARE_PERCENTILES,
    network="unifmir.networks.swin:SwinRestoration",
    interfaces=("enlarged", "planes"),
    zoo_tags=("image-restoration",),
    training=TrainingRecipe(scene_size=32, scenes=3, patch=16, batch=2),
    simulation=Simulation("tests.toys.task:scene"),
    evaluation=EvaluationRecipe(32, "tests.toys.task:baselines"),
    workloads=Workloads(
        quick=((1, 16, 16),),
        patch=((1, 24, 24),),
        image=((1, 32, 32),),
        sweep=((1, 16, 16),),
        paper=((1, 24, 24),),
    ),
    card=CardText(
        intended_use="Planes of points in tests, one channel, none of them from a microscope.",
        limitations="It was trained for two steps.",
    ),
    sample=SampleFile(
        file=SR.sample.file,
        sha256=SR.sample.sha256,
        shape=SR.sample.shape,
        dtype=SR.sample.dtype,
        name=SR.sample.name,
        description=SR.sample.description,
        cut=SR.sample.cut,
        source=SR.sample.source,
        licence=SR.sample.licence,
        authors=SR.sample.authors,
        url=SR.sample.url,
    ),
)
