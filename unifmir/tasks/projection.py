"""Surface projection."""

from unifmir.tasks import base

PROJECTION = base.TaskSpec(
    name="projection",
    title="Surface projection",
    summary="Projects the surface inside a stack onto one denoised plane.",
    input_axes="zyx",
    output_axes="yx",
    normalization=base.Normalization(
        "percentile",
        2.0,
        99.8,
        source="training data of the paper; its test images are stored normalised",
    ),
    network="unifmir.networks.projection:ProjectionRestoration",
    interfaces=("volumetric-projection", "projection"),
    # A surface laid flat is no projection of the raw stack: noise and tissue below lift its maximum
    # and dilute its mean, and a line to either is farther from the truth (docs/restore.md).
    intensity="percentile",
    zoo_tags=("image-reconstruction", "image-restoration"),
    synonyms=("project", "surface-projection"),
    training=base.TrainingRecipe(
        scene_size=80,
        scenes=240,
        patch=64,
        batch=2,
        first_stage_weight=0.001,
        pretraining_first_stage_weight=0.001,
    ),
    simulation=base.Simulation(
        "unifmir.simulate.microscopes:surface",
        planes=50,
        result_planes=1,
        structures={
            "nuclei": 1,
            "smooth nuclei": 1,
            "nuclei with foci": 0.5,
            "spots": 0.5,
            "vesicles": 0.5,
            "tissue": 6,
            "diffuse": 0.3,
            "empty": 0.2,
        },
        lenses=(
            base.Lens(1.2, 1.33, 0.15, 0.5, confocal=True),
            base.Lens(1.1, 1.33, 0.2, 0.5, confocal=True),
            base.Lens(0.9, 1.33, 0.2, 0.8, confocal=True),
            base.Lens(0.8, 1.33, 0.25, 1, confocal=True),
        ),
    ),
    evaluation=base.EvaluationRecipe(96, "unifmir.training.baselines:projected"),
    workloads=base.Workloads(
        quick=((50, 48, 48),),
        patch=((50, 48, 48),),
        image=((50, 96, 96),),
        sweep=((50, 24, 24), (50, 32, 32), (50, 48, 48), (50, 64, 64), (50, 96, 96)),
        paper=((50, 144, 176),),
    ),
    card=base.CardText(
        intended_use=(
            "Stacks of a surface, one channel, with exactly the number of planes the network was "
            "trained with."
        ),
        limitations=(
            "The attention of the projecting network is global: a tile gives another result than "
            "the whole image, within the amount stated under Validation. "
        )
        + base.NORMALISED_OUTPUT,
    ),
    cover=base.CoverPicture(side=64, planes=None, view="maximum"),
    sample=base.SampleFile(
        file="projection.tif",
        sha256="0d4b67cda24f97c4e28bd887827ce069f915d1e7130028fe1a1e33a26a76c4a3",
        shape=(50, 96, 96),
        dtype="uint16",
        name="Pollen grain, curved surface",
        description=(
            "The curved upper surface of a pollen grain in a real 3D stack, standing in for an "
            "epithelium. Resampled along z from 32 planes to the 50 the network reads."
        ),
        cut="rows 160 to 255, columns 72 to 167; z resampled linearly from 32 to 50 planes",
        source="sdeconv 1.0.4 (PyPI), sdeconv/data/pollen.tif",
        licence="BSD-3-Clause",
        authors=("Sylvain Prigent (package author; who recorded the image is not documented)",),
        url="https://github.com/sylvainprigent/sdeconv",
    ),
    shape=base.NetworkShape(stage="projector"),
    multitask=base.MultiTaskPart(
        renamed={"conv_firstproj.": "conv_first.", **base.SHARED_TAIL},
        first_stage="project.",
        restoration="denoise.",
        body_residual=False,
    ),
)
