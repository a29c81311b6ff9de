"""README of a package: what it is for, how well it was checked, and what it cannot do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.config import SingleConfig
from unifmir.export.credit import ImageQuality
from unifmir.export.formats.bioimageio.card import ModelCard
from unifmir.export.formats.bioimageio.halo import HaloMeasurement
from unifmir.export.formats.bioimageio.package_axes import PackageAxes, SpaceAxis, tile_rule
from unifmir.export.formats.bioimageio.tensors import AGREEMENT
from unifmir.interfaces import interface_of
from unifmir.networks.interface import BRIGHTEST_FRACTION
from unifmir.tasks import TASKS
from unifmir.tasks.base import SHARED_OUTPUT
from unifmir.text_tables import markdown_rows


@dataclass(frozen=True, slots=True)
class ReadmeFacts:
    """Facts that the README states."""

    config: SingleConfig
    card: ModelCard
    axes: PackageAxes
    halo: HaloMeasurement
    storage: str
    parameter_count: int
    image_note: str
    agreement: Mapping[str, Mapping[str, float]]
    """Deviations of each weight format from the fp32 network, as `measure_agreement` gives."""
    reports: tuple[Mapping[str, Any], ...]
    percentile_difference: float | None
    """Largest difference of the percentiles of the test image by nearest rank from interpolated
    ones, as a fraction of their span; None where extremes or none are declared."""
    origin: tuple[str, ...]
    """Sentences on where the weights came from."""


def readme(facts: ReadmeFacts) -> str:
    """README of a package as Markdown."""
    card, task = facts.card, TASKS[facts.config.task]
    sections = {
        "Description": f"{card.description}\n\n{_tensors(facts)}",
        "Intended Use": f"{card.intended_use}\n\n### Out of scope\n\n{card.out_of_scope}",
        "How to Run": _how_to_run(facts),
        "Validation": _validation(facts),
        "Limitations": (
            f"{card.limitations}\n\nRestoration can invent or remove structure, most of all on "
            "images unlike the training data. Keep the raw images."
        ),
        "Training": _training(card),
        "Provenance": _provenance(facts),
        "Citation": "\n".join(
            f"- {one.text} <{one.link}>" if one.link else f"- {one.text}" for one in card.cite
        ),
        "Licence": (
            f"{_licence(card.licence)} Architecture file: BSD-3-Clause.\n\n"
            f"Test image, also on the cover: {facts.image_note}"
        ),
    }
    if card.settings:
        sections["Intended Use"] += f"\n\n### Recommended settings\n\n{card.settings}"
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"# {card.name}\n\n{task.title}. {task.summary}\n\n{body}\n"


def _tensors(facts: ReadmeFacts) -> str:
    rows = [("input", *_axis_row(axis)) for axis in facts.axes.inputs]
    rows += [("output", *_axis_row(axis)) for axis in facts.axes.outputs]
    rule = facts.config.normalization
    if rule.method == "percentile":
        normalisation = (
            f"Normalisation (declared, done by the consumer): percentiles {rule.low_percent:g} and "
            f"{rule.high_percent:g} of the whole image are mapped to 0 and 1 ({rule.source})."
        )
        if facts.config.intensities == "shared":
            normalisation += f"\n\n{SHARED_OUTPUT}"
    else:
        normalisation = (
            "Normalisation (inside the network): intensities are divided by "
            f"{BRIGHTEST_FRACTION} of the image's maximum and shifted by -1 ({rule.source})."
        )
    table = markdown_rows(("tensor", "axis", "size", "halo (output px)"), rows)
    return (
        f"{facts.parameter_count:,} parameters, stored as {facts.storage}, computed in float32. "
        f"One channel, any batch size.\n\n{table}\n\n{normalisation}"
    )


def _axis_row(axis: SpaceAxis) -> tuple[str, str, str]:
    size = str(axis.fixed) if axis.fixed else f"{axis.minimum} + n * {axis.step}"
    return axis.id, size, str(axis.halo or "-")


def _how_to_run(facts: ReadmeFacts) -> str:
    whole = (
        "Run it on whole images: it depends on the brightest pixel of what it is given."
        if interface_of(facts.config).lenses
        else "Images larger than memory allows are restored in overlapping blocks with "
        f"`--blockwise={8 * tile_rule(facts.config).step}`, any multiple of "
        f"{tile_rule(facts.config).step}: blocks then lie on the grid that the network has on the "
        "whole image. Percentiles are still those of the whole image."
    )
    return (
        "```bash\npip install bioimageio.core torch\n"
        "bioimageio test package.zip\n"
        "bioimageio predict package.zip --inputs image.tif --outputs restored.tif\n```\n\n"
        f"{whole} unifmir itself also pads odd sizes and maps the result back to intensities: "
        "`pip install 'unifmir[cpu]'`.\n\n" + _other_programs(facts)
    )


def _other_programs(facts: ReadmeFacts) -> str:
    """Programs that scale images in another way than the library, and what comes of it."""
    if TASKS[facts.config.task].normalization.inside:
        return "QuPath restores tile by tile, each with its own brightest pixel: do not use it."
    text = (
        "QuPath knows no statistics of the whole image and scales each tile by itself, so that "
        "neighbouring tiles differ in brightness: scale the image before, or use another program."
    )
    if (difference := facts.percentile_difference) is None:
        return text
    ranked = "deepImageJ and Icy take percentiles by nearest rank, the library interpolates. "
    if difference <= AGREEMENT:
        return (
            f"{ranked}The test image is the part of the most contrast on which both agree, so "
            f"that their results can be compared; on other images they may differ slightly. {text}"
        )
    return (
        f"{ranked}On the test image they differ by {difference:.1e} of the span, and the results "
        f"by about as much. {text}"
    )


def _validation(facts: ReadmeFacts) -> str:
    intro = (
        "Before this package was written, its files were tested by bioimageio.core: each weight "
        "format reproduced the test output, and ran at three small sizes, below, at and above one "
        "window of the network, with batches of one and two. The ONNX file was also compared with "
        "the float32 PyTorch module it was made from, on images of several sizes. "
        "`bioimageio test` repeats the first and runs the smallest tiles."
    )
    parts = [intro]
    parts += [_quality_table(row) for row in facts.card.qualities]
    if facts.card.published_figures:
        printed = "\n".join(f"- {line}" for line in facts.card.published_figures)
        parts.append(
            "### As published\n\nPrinted by the authors of the weights, not computed again for "
            f"this package:\n\n{printed}"
        )
    parts.append("### Same picture\n\n" + _agreement_table(facts.agreement))
    if facts.reports:
        parts.append(
            "The files that were exported beside this package, on images of several sizes:\n\n"
            + report_table(facts.reports)
        )
    parts.append("### Halo\n\n" + _halo_text(facts))
    parts.append(
        "### On your own data\n\nRestore images of which you have a high-quality counterpart, "
        "align it, fit scale and offset of the others to it, and compare the fitted PSNR and SSIM "
        "of the restored with those of the raw image. Look at the difference image: structure in "
        "it is structure the network added or lost."
    )
    return "\n\n".join(parts)


def _quality_table(row: ImageQuality) -> str:
    table = markdown_rows(
        ("metric", "mean", "what it is"),
        [(short, f"{value:.4g}", long) for short, long, value in row.figures],
    )
    return f"### Restoration quality\n\n{row.dataset}. From {row.source}.\n\n{table}"


def _agreement_table(agreement: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown table of all weight formats in the package, on its test input."""
    rows = [
        (name, f"{found['max_deviation']:.0e}", f"{found['rms_deviation']:.0e}")
        for name, found in agreement.items()
    ]
    heads = ("weight format", "largest deviation", "rms deviation")
    return (
        "Each weight format in this package against the float32 PyTorch network, on the package's "
        "test input, as fractions of the output's range:\n\n" + markdown_rows(heads, rows)
    )


def _training(card: ModelCard) -> str:
    """Sentences on the training: what is known of it."""
    known = card.training.in_words() if card.training else {}
    lines = [f"Data: {card.training_data.rstrip('.')}."] if card.training_data else []
    if card.pixel_size_um:
        sizes = ", ".join(f"{axis} {size:g}" for axis, size in card.pixel_size_um)
        lines.append(f"Pixel size of the data: {sizes} micrometres.")
    source = known.pop("source", "")
    known.pop("data", None)
    if known:
        lines.append(markdown_rows(("fact", "value"), list(known.items())))
    if source:
        lines.append(f"Source: {source}")
    return "\n\n".join(lines) or "The checkpoint that this package was made from does not say."


def _licence(licence: str) -> str:
    if licence:
        return f"Weights: {licence}."
    return "No licence of the weights is known: ask who made them before you use or share them."


def report_table(reports: Iterable[Mapping[str, Any]]) -> str:
    """Markdown table of the verification of each weight format against fp32 PyTorch."""
    rows = []
    for report in reports:
        cases = report.get("cases", [])
        worst = max((c.get("max_abs_over_std", 0.0) for c in cases), default=0.0)
        psnr = min((c.get("psnr_db") or float("inf") for c in cases), default=float("inf"))
        rows.append(
            (
                str(report.get("format", "")),
                str(report.get("precision", "")),
                str(len(cases)),
                f"{worst:.2g}",
                f"{psnr:.1f}" if psnr != float("inf") else "-",
                "yes" if report.get("passed") else "NO",
            )
        )
    heads = (
        "format",
        "precision",
        "images",
        "largest difference / std",
        "least unfitted PSNR, dB",
    )
    return markdown_rows((*heads, "within tolerance"), rows)


def _halo_text(facts: ReadmeFacts) -> str:
    halo = facts.halo
    if interface_of(facts.config).lenses:
        return (
            "None is declared: the network works on the whole image's maximum and extent, so it "
            f"must be given whole images. Measured for the record: {halo.measured_px} input pixels "
            f"from a cut the output still changes by {halo.curve[-1]:.2g} of its range."
        )
    text = (
        f"Measured on the network: beyond {halo.measured_px} input pixels from a tile's edge the "
        f"output changes by less than {halo.limit:.2g} of its range, whether the image there is "
        f"replaced or missing. Rounded up to {halo.halo_px} input pixels, a multiple of the tile "
        f"step. The curve is in verification.json."
    )
    if halo.capped:
        text += (
            f" The network reaches further than the largest halo that a minimal tile leaves room "
            f"for, {halo.largest_halo_px} pixels: seams of up to {halo.curve[-1]:.2g} of the "
            "range remain. Prefer whole images."
        )
    if halo.limit > halo.threshold:
        text += (
            f" Whole-image statistics change every pixel by up to {halo.floor:.2g} of the range "
            "when a tile is cut; no halo removes that."
        )
    return text


def _provenance(facts: ReadmeFacts) -> str:
    lines = [f"Packaged by unifmir {facts.card.unifmir_version}.", *facts.origin]
    return "\n".join(f"- {line}" for line in lines)
