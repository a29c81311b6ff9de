"""Isotropic reconstruction."""

from unifmir.tasks import base

ISOTROPIC = base.TaskSpec(
    name="isotropic",
    title="Isotropic reconstruction",
    summary="Restores the axial resolution of a stack interpolated to isotropic sampling.",
    input_axes="zyx",
    output_axes="zyx",
    normalization=base.CARE_PERCENTILES,
    network="unifmir.networks.swin:SwinRestoration",
    interfaces=("volumetric-isotropic", "isotropic"),
    zoo_tags=("image-restoration", "image-reconstruction"),
    synonyms=("isotropic-reconstruction", "isotropy"),
    training=base.TrainingRecipe(scene_size=64, scenes=120, patch=48, batch=4),
    simulation=base.Simulation(
        "unifmir.simulate.microscopes:light_sheet",
        structures={
            "nuclei": 2,
            "smooth nuclei": 2.5,
            "nuclei with foci": 1.5,
            "cytoplasm": 1.5,
            "spots": 1.5,
            "microtubules": 0.7,
            "actin": 0.5,
            "reticulum": 0.5,
            "mitochondria": 1,
            "vesicles": 0.7,
            "bacteria": 0.5,
            "tissue": 1.5,
            "regions": 1.2,
            "walls": 1,
            "fibres": 0.7,
            "neurites": 1,
            "diffuse": 0.7,
            "empty": 0.2,
        },
        lenses=(
            base.Lens(1.1, 1.33, 0.15),
            base.Lens(1, 1.33, 0.2),
            base.Lens(0.8, 1.33, 0.2),
            base.Lens(0.8, 1.33, 0.26),
            base.Lens(0.5, 1.33, 0.3),
        ),
    ),
    evaluation=base.EvaluationRecipe(48, "unifmir.training.baselines:sharpened"),
    workloads=base.Workloads(
        quick=((16, 32, 32),),
        patch=((24, 48, 48),),
        image=((48, 96, 96),),
        sweep=((16, 24, 24), (16, 32, 32), (24, 48, 48), (32, 64, 64)),
        paper=((301, 188, 188),),
    ),
    card=base.CardText(
        intended_use=(
            "Fluorescence stacks whose axial axis has already been interpolated to the lateral "
            "pixel size, one channel. Sections along both lateral axes are restored and combined."
        ),
        limitations=base.NORMALISED_OUTPUT
        + " Interpolate z first: the package does not know your voxel size.",
        cites_care=True,
    ),
    # 60 cubed is 120 sections of 60 x 60: about 10 s on two cores at the paper's size.
    cover=base.CoverPicture(side=60, planes=60, view="section"),
    sample=base.SampleFile(
        file="isotropic.tif",
        sha256="34648d812f917df39831fb276113267e391fb916f6ea2de117a2902e1e457da4",
        shape=(48, 64, 64),
        dtype="uint16",
        name="Pollen grain, z interpolated",
        description=(
            "The wall of a pollen grain, a real 3D stack whose z sampling is interpolated: linear,"
            " 24 planes to 48. The package does not say the plane distance, so twofold is a choice"
            " and the voxels are only roughly cubic."
        ),
        cut="planes 2 to 25, rows 60 to 123, columns 162 to 225; z resampled linearly to 48",
        source="sdeconv 1.0.4 (PyPI), sdeconv/data/pollen.tif",
        licence="BSD-3-Clause",
        authors=("Sylvain Prigent (package author; who recorded the image is not documented)",),
        url="https://github.com/sylvainprigent/sdeconv",
        z_factor=1.0,
    ),
    # 9 % of white noise. At 4 px a bright wall lifts the dark beside it by 15 % (docs/restore.md).
    low_frequency_px=3.0,
    isotropic_sampling=True,
    shape=base.NetworkShape(),
    multitask=base.MultiTaskPart(
        renamed={"conv_firstiso.": "conv_first.", **base.SHARED_TAIL}, channels="isotropic_channels"
    ),
)
