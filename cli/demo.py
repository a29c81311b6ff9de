"""Demo after an export: a real image restored by the exported ONNX file.

    python -m unifmir.cli.demo OUT

reads OUT/unifmir-denoise.onnx and the reports beside it, and leaves before-after.png and
summary.md in OUT.
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from unifmir.atomic import write_text
from unifmir.cli import output
from unifmir.errors import UnifmirError
from unifmir.export.recorded_report import REPORT_SUFFIX, read_report
from unifmir.samples import Sample, sample
from unifmir.text_tables import aligned
from unifmir.zoo.restore.files import restore
from unifmir.zoo.site.sample_pictures import CONTRAST_PERCENT, shown_greys

Stack = Shaped[np.ndarray, "z y x"]
"""Planes of an image, in any type."""
ENLARGED = 3
"""Screen pixels per image pixel."""


def side_by_side(
    before: Shaped[np.ndarray, "y x"], after: Shaped[np.ndarray, "y x"]
) -> Image.Image:
    """Two images in one picture, at one contrast: between percentiles of the first."""
    limits, one = np.percentile(before, CONTRAST_PERCENT), np.ones((ENLARGED, ENLARGED), np.uint8)
    shown = [np.kron(shown_greys(plane, limits), one) for plane in (before, after)]
    gap = np.full((shown[0].shape[0], 2 * ENLARGED), 255, np.uint8)
    return Image.fromarray(np.concatenate([shown[0], gap, shown[1]], axis=1))


def noise_level(stack: Stack) -> float:
    """Standard deviation of white noise in intensities (Immerkaer 1996, equation 4)."""
    from scipy.ndimage import convolve

    second = np.array([1.0, -2.0, 1.0])
    kernel = np.outer(second, second)[None]
    response = np.abs(convolve(stack.astype(np.float64), kernel))
    return float(np.sqrt(np.pi / 2) / 6 * response.mean())


def summary(folder: Path, taken: Sample, before: Stack, after: Stack) -> str:
    """The table that the demo leaves: artifacts, and the intensities before and after."""
    rows = []
    for path in sorted(folder.glob(f"*{REPORT_SUFFIX}")):
        artifact = path.with_name(path.name.removesuffix(REPORT_SUFFIX))
        report = read_report(artifact)
        if report is None:
            continue
        worst = max((case.max_abs_over_std or 0.0 for case in report.cases), default=0.0)
        size = artifact.stat().st_size
        verdict = "passed" if report.passed else "failed"
        rows.append((artifact.name, f"{size / 1e6:.2f}", f"{worst:.1e}", verdict))
    table = aligned(("artifact", "MB", "max diff / std", "same picture"), rows)
    noise = aligned(
        ("image", "noise sd", "mean intensity"),
        [
            ("before", f"{noise_level(before):.2f}", f"{before.mean():.2f}"),
            ("after", f"{noise_level(after):.2f}", f"{after.mean():.2f}"),
        ],
    )
    file = taken.file
    return f"{table}\n\n{file.name}: {file.description}\n{file.source} ({file.licence})\n\n{noise}"


def main(folder: Path) -> None:
    """Restore the sample, write before-after.png and summary.md, print the table."""
    model = folder / "unifmir-denoise.onnx"
    if not model.is_file():
        raise UnifmirError(f"{model}: no such file; run `unifmir export --task denoise` first")
    taken = sample("denoise")
    restored = restore(taken.image, model)
    middle = taken.image.shape[0] // 2
    side_by_side(taken.image[middle], restored[middle]).save(folder / "before-after.png")
    text = summary(folder, taken, taken.image, restored)
    write_text(folder / "summary.md", f"```\n{text}\n```\n")
    output.print_result({}, text, as_json=False)


if __name__ == "__main__":
    with output.known_errors():
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
