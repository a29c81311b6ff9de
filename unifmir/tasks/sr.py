"""Super-resolution."""

from unifmir.tasks import base

SR = base.TaskSpec(
    name="sr",
    title="Super-resolution",
    summary="Doubles the sampling of a widefield image and restores detail.",
    input_axes="yx",
    output_axes="yx",
    normalization=base.Normalization(
        "percentile", 0.0, 100.0, clip=True, source="min-max, as in the official inference"
    ),
    network="unifmir.networks.swin:SwinRestoration",
    interfaces=("enlarged", "planes"),
    zoo_tags=("super-resolution", "image-restoration"),
    synonyms=("super-resolution", "superresolution", "super_resolution", "superres"),
    training=base.TrainingRecipe(scene_size=96, scenes=400, patch=32, batch=4),
    simulation=base.Simulation(
        "unifmir.simulate.microscopes:widefield",
        structures={
            "nuclei": 2,
            "smooth nuclei": 2.5,
            "nuclei with foci": 1.5,
            "cytoplasm": 1.5,
            "spots": 1.5,
            "microtubules": 4,
            "actin": 2,
            "reticulum": 1.5,
            "mitochondria": 1.5,
            "vesicles": 1.5,
            "bacteria": 1,
            "tissue": 0.7,
            "regions": 1.2,
            "walls": 1,
            "fibres": 0.7,
            "neurites": 0.5,
            "diffuse": 0.7,
            "empty": 0.3,
        },
        lenses=(
            base.Lens(1.49, 1.515, 0.065),
            base.Lens(1.49, 1.515, 0.1),
            base.Lens(1.4, 1.515, 0.065),
            base.Lens(1.4, 1.515, 0.08),
            base.Lens(1.2, 1.33, 0.08),
            base.Lens(1.2, 1.33, 0.108),
            base.Lens(0.95, 1, 0.11),
            base.Lens(0.75, 1, 0.16),
            base.Lens(0.75, 1, 0.2),
            base.Lens(0.5, 1, 0.27),
        ),
    ),
    evaluation=base.EvaluationRecipe(128, "unifmir.training.baselines:enlarged"),
    workloads=base.Workloads(
        quick=((1, 96, 96),),
        patch=((1, 128, 128),),
        image=((1, 256, 256),),
        sweep=((1, 64, 64), (1, 96, 96), (1, 128, 128), (1, 192, 192), (1, 256, 256)),
        paper=((1, 128, 128),),
    ),
    card=base.CardText(
        intended_use=(
            "Two-dimensional fluorescence images, one channel, of the kind the weights were "
            "trained on. Each image is scaled by its own minimum and maximum."
        ),
        limitations="A hot pixel sets the maximum and darkens the rest: remove it first. "
        + base.NORMALISED_OUTPUT,
    ),
    cover=base.CoverPicture(side=120),
    sample=base.SampleFile(
        file="sr.tif",
        sha256="3e7d159818a7683e43a29b55f56ad46fb5cc452e67814e06edf7de595de90b35",
        shape=(160, 160),
        dtype="uint8",
        name="Microtubules, TIRF",
        description=(
            "Microtubules in a COS-7 cell, Alexa Fluor 647, TIRF microscope. 8 bit: the package "
            "ships the picture as a JPEG thumbnail at full sampling, so compression and contrast "
            "stretching are part of it; intensities are not photon counts."
        ),
        cut="rows 140 to 299, columns 100 to 259, values unchanged",
        source="nanopyx 2.1.5 (PyPI), nanopyx/data/examples/Cell2_TIRF_COS7_IC/thumbnail.jpg",
        licence="CC-BY-4.0",
        authors=("Inês Cunha, Instituto Gulbenkian de Ciência, 2023",),
        url="https://github.com/HenriquesLab/NanoPyx",
    ),
    shape=base.NetworkShape(magnifies=True),
    multitask=base.MultiTaskPart(
        renamed={"conv_firstsr.": "conv_first.", "upsamplesr.": "upsample.", **base.SHARED_TAIL},
        channels="sr_channels",
        scale="sr_scale",
    ),
)
