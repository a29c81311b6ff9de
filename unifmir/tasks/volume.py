"""Light-field volume reconstruction."""

from unifmir.tasks import base

VOLUME = base.TaskSpec(
    name="volume",
    title="Light-field volume reconstruction",
    summary="Reconstructs a volume from one raw light-field image.",
    input_axes="yx",
    output_axes="zyx",
    normalization=base.Normalization(
        "light_field", invertible=False, source="as in the official inference"
    ),
    network="unifmir.networks.volume:VolumeRestoration",
    interfaces=("light-field",),
    zoo_tags=("image-reconstruction", "image-restoration"),
    synonyms=("light-field", "lightfield", "volumetric", "volume-reconstruction"),
    training=base.TrainingRecipe(
        scene_size=12,
        scenes=300,
        patch=8,
        batch=2,
        # A volume is dark in 97 % of its voxels, and the likeliest value, which L1 asks for, is
        # dark wherever a network is unsure.
        l1_share=0.0,
        first_stage_weight=0.1,
        # The paper gives weights for fine-tuning only. From random weights the U-Net needs the
        # direct way: behind a body that starts by giving a constant it had learned nothing after
        # 1,700 steps.
        pretraining_first_stage_weight=1.0,
    ),
    simulation=base.Simulation(
        "unifmir.simulate.microscopes:light_field",
        views=121,
        result_planes=31,
        structures={
            "nuclei": 2,
            "smooth nuclei": 1,
            "spots": 0.5,
            "microtubules": 0.5,
            "mitochondria": 1,
            "vesicles": 1.5,
            "bacteria": 0.5,
            "walls": 1,
            "neurites": 3,
        },
    ),
    evaluation=base.EvaluationRecipe(12, "unifmir.training.baselines:refocused"),
    workloads=base.Workloads(
        quick=((1, 11, 11),),
        patch=((1, 15, 15),),
        image=((1, 30, 30),),
        sweep=((1, 8, 8), (1, 11, 11), (1, 15, 15), (1, 21, 21), (1, 30, 30)),
        paper=((1, 15, 15),),
    ),
    card=base.CardText(
        intended_use=(
            "Raw light-field images, one channel, with the number of pixels behind each lens the "
            "network was trained with, rectified so that a lens starts at the first pixel."
        ),
        limitations=(
            "The network divides by the brightest pixel of what it is given: run it on whole "
            "images, not on tiles."
        ),
    ),
    cover=base.CoverPicture(side=24, view="maximum"),
    sample=base.SampleFile(
        file="volume.tif",
        sha256="d31445f184e1a89081c864ec7f1aff74f300fe937af9c25072a681778632b65a",
        shape=(275, 275),
        dtype="uint16",
        name="Giant vesicle, light field",
        description=(
            "Raw light field of a giant unilamellar vesicle, membrane dye Di-8, 60x/1.2 water "
            "immersion, 100 um lens pitch. Resampled from 15.40 to 11 pixels per lens, so that "
            "pixels [i::11, j::11] are one view; the camera's dark level is still in it."
        ),
        cut=(
            "25 x 25 lenses found in the radiometry frame (pitch 15.399 px), cubic resampling to "
            "11 x 11 pixels each"
        ),
        source="napari-LF 0.1.7 (PyPI), napari_lf/examples/GUVExperim1/Lightfield_GUVExperim1.tif",
        licence="BSD-3-Clause",
        authors=("Rudolf Oldenbourg, Marine Biological Laboratory, Woods Hole, 2019",),
        url="https://github.com/PolarizedLightFieldMicroscopy/napari-LF",
        pixel_size_um=0.1517,
    ),
    shape=base.NetworkShape(stage="view_unet"),
    multitask=base.MultiTaskPart(
        renamed={
            "conv_firstv.": "conv_first.",
            "conv_before_upsamplev.": "conv_before_upsample.",
            "conv_lastv.": "conv_last.",
        },
        first_stage="conv_first0.",
        channels="view_unet.planes",
        out_channels="view_unet.planes",
        tail_features="volume_tail_features",
        body_residual=False,
    ),
)
