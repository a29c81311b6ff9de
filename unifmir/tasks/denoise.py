"""Denoising."""

from unifmir.tasks import base

DENOISE = base.TaskSpec(
    name="denoise",
    title="Denoising",
    summary="Removes noise from a stack, each slice with its neighbours in view.",
    input_axes="zyx",
    output_axes="zyx",
    normalization=base.CARE_PERCENTILES,
    network="unifmir.networks.swin:SwinRestoration",
    interfaces=("volumetric", "windows", "planes"),
    zoo_tags=("denoising", "image-restoration"),
    synonyms=("denoising", "noise"),
    training=base.TrainingRecipe(scene_size=96, scenes=240, patch=48, batch=4),
    simulation=base.Simulation(
        "unifmir.simulate.microscopes:stack",
        structures={
            "nuclei": 2,
            "smooth nuclei": 2.5,
            "nuclei with foci": 1.5,
            "cytoplasm": 1.5,
            "spots": 1.5,
            "microtubules": 1,
            "actin": 1,
            "reticulum": 0.7,
            "mitochondria": 1,
            "vesicles": 0.7,
            "bacteria": 0.7,
            "tissue": 1.5,
            "regions": 1.2,
            "walls": 1,
            "fibres": 0.7,
            "neurites": 1,
            "diffuse": 0.7,
            "empty": 0.4,
        },
        lenses=(
            base.Lens(1.4, 1.515, 0.08, 0.3, confocal=True),
            base.Lens(1.2, 1.33, 0.12, 0.4, confocal=True),
            base.Lens(1.1, 1.33, 0.15, 0.5, confocal=True),
            base.Lens(0.8, 1, 0.25, 1, confocal=True),
            base.Lens(1.4, 1.515, 0.1, 0.3),
            base.Lens(0.75, 1, 0.32, 1),
        ),
    ),
    evaluation=base.EvaluationRecipe(128, "unifmir.training.baselines:denoised"),
    workloads=base.Workloads(
        quick=((4, 96, 96),),
        patch=((8, 160, 128),),
        image=((8, 320, 256),),
        sweep=((4, 64, 64), (4, 96, 96), (4, 128, 128), (4, 192, 192), (4, 256, 256)),
        paper=((41, 160, 128),),
    ),
    card=base.CardText(
        intended_use=(
            "Noisy fluorescence stacks of any number of slices, one channel. Each slice is "
            "restored from itself and its neighbours."
        ),
        limitations=base.NORMALISED_OUTPUT
        + (
            " Consumers that pad a stack by mirroring show the network mirrored neighbours at the "
            "first and last slices; the official inference repeats the slice."
        ),
        cites_care=True,
    ),
    sample=base.SampleFile(
        file="denoise.tif",
        sha256="76b1292ccb2645c6472437f126a4ad2cf86692b7458d3ac75523cfa1f1f78e55",
        shape=(16, 128, 128),
        dtype="uint16",
        name="Pollen grains, deep slices",
        description=(
            "Pollen grains, optical sections of a 3D stack. The deeper slices are dim and noisy as"
            " they came: no noise was added. There is no clean counterpart. Values are multiples "
            "of 257: 8-bit data that the source stores as 16 bit."
        ),
        cut="planes 14 to 29, rows 0 to 127, columns 0 to 127, values unchanged",
        source="sdeconv 1.0.4 (PyPI), sdeconv/data/pollen.tif",
        licence="BSD-3-Clause",
        authors=("Sylvain Prigent (package author; who recorded the image is not documented)",),
        url="https://github.com/sylvainprigent/sdeconv",
    ),
    shape=base.NetworkShape(slices="odd"),
    multitask=base.MultiTaskPart(
        renamed={"conv_firstdT.": "conv_first.", **base.SHARED_TAIL}, channels="denoise_channels"
    ),
)
