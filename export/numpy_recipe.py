"""The lines of NumPy that bring an image to an exported file, and its result back.

Exported files take the normalised image, unless raw ones were asked for: a network never sees raw
intensities, and no format but BioImage.IO's has a place to say so. Generated from the task's row;
the documents show them, and the tests run them.
"""

from unifmir.config import SingleConfig
from unifmir.export.lineage import IMAGE
from unifmir.interfaces import interface_of
from unifmir.tasks import TASKS


def numpy_recipe(config: SingleConfig) -> str:
    """Python source that restores `image.tif` to `restored.tif` with `unifmir-TASK.onnx`.

    What `unifmir restore --intensity percentile` gives, for a whole image: one channel, one time
    point.

    Parameters
    ----------
    config : SingleConfig
        Of the exported network.
    """
    task, interface = config.task, interface_of(config)
    row = TASKS[task]
    rule = config.normalization
    # Networks that read single planes take a stack as a batch of them.
    flat = "z" in row.input_axes and interface.depth == "none"
    batch = ":, None" if flat else "None, None"
    first = ":, 0" if flat else "0, 0"
    axes = ", ".join(row.input_axes)
    wanted = [f"axes {axes}"]
    if row.isotropic_sampling:
        wanted.append("planes as far apart as pixels: interpolate it along z before")
    if interface.depth == "fixed":
        wanted.append(f"{config.signature.channels} planes")
    if interface.lenses:
        side = interface.lens_px(config.signature)
        wanted.append(f"whole lenses of {side} x {side} pixels")
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "import tifffile",
        "",
        f"# {'; '.join(wanted)}",
        'image = tifffile.imread("image.tif").astype(np.float32)',
    ]
    if rule.inside:
        lines.append("normalised = image  # the file scales by the brightest pixel itself")
    else:
        percents = f"({rule.low_percent:g}, {rule.high_percent:g})"
        lines += [
            f"low, high = np.percentile(image, {percents})  # of the whole image, never of a tile",
            "normalised = (image - low) / (high - low)",
        ]
        if rule.clip:
            lines.append("normalised = normalised.clip(0, 1)")
    lines += [
        f'session = onnxruntime.InferenceSession("unifmir-{task}.onnx")',
        f'(restored,) = session.run(None, {{"{IMAGE}": normalised[{batch}].astype(np.float32)}})',
        f"restored = restored[{first}]" + (".clip(0, 1)" if rule.clip else ""),
    ]
    if rule.invertible and not rule.inside:
        lines.append("restored = restored * (high - low) + low  # back in the image's intensities")
    lines.append('tifffile.imwrite("restored.tif", restored.astype(np.float32))')
    return "\n".join(lines) + "\n"
