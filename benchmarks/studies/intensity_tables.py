"""Tables of the documents on intensities and on a real pair, from their result files."""

from typing import Any

from unifmir.benchmarks.studies.result_files import origin
from unifmir.metrics import FILE_METRICS, METRICS
from unifmir.metrics.base import FIT, Metric
from unifmir.text_tables import markdown_rows

FITTED = f"Fitted: after {FIT}; unfitted: before."
"""Sentence under tables of figures that forgive units."""


def intensities_table(document: dict[str, Any]) -> str:
    """Error to the truth on held-out images, and totals of the packaged ones, by intensity."""
    rows = []
    for row in document["rows"]:
        held_out, real = row["held_out"], row["sample"]
        name = f"`{row['intensity']}`" if real else "raw image"
        ratios = ("mean", "background")
        told = [f"{real[r] / real[f'raw_{r}']:.3f}" if real else "1" for r in ratios]
        figures = [f"{held_out[name]:.4f}" for name in ("nrmse", "nrmse_fitted", "slope")]
        default = "default" if row.get("default") else ""
        rows.append([f"`{row['task']}`", name, *figures, *told, default])
    columns = ["task", "intensity", "unfitted NRMSE", "fitted NRMSE", "slope"]
    columns += ["sample's total", "its background", ""]
    taken = f"{document['images']} held-out images per task; {origin(document)}"
    return f"{markdown_rows(columns, rows)}\n\n{FITTED} {taken}"


def shared_intensities_table(document: dict[str, Any]) -> str:
    """Figures of the same training with truths in two scalings."""
    rows = [
        [
            f"`{row['task']}`",
            f"`{row['intensities']}`",
            f"{row['slope']:.3f}",
            f"{row['slope_least']:.3f} to {row['slope_most']:.3f}",
            f"{row['psnr_unfitted_db']:.1f}",
            f"{row['psnr_db']:.1f}",
            f"{row['nrmse_unfitted']:.4f}",
            f"{row['nrmse']:.4f}",
        ]
        for row in document["rows"]
    ]
    columns = ["task", "intensities", "slope", "of single images", "unfitted PSNR, dB"]
    columns += ["fitted PSNR, dB", "unfitted NRMSE", "fitted NRMSE"]
    return (
        f"{markdown_rows(columns, rows)}\n\nSlope: of restored on true photons, unfitted. {FITTED} "
        f"{document['steps']} steps from random weights, seed {document['seed']}, "
        f"{document['images']} held-out images per task; {origin(document)}"
    )


def real_pair_table(document: dict[str, Any]) -> str:
    """Figures of a real image, restored, against the same cell at a higher resolution."""
    metrics: dict[str, Metric] = {**METRICS, **FILE_METRICS}
    names = [name for name in document["rows"][0] if name != "name"]
    rows = [
        [f"`{row['name']}`", *(f"{row[name]:.{metrics[name].decimals}f}" for name in names)]
        for row in document["rows"]
    ]
    columns = ["restored by", *(metrics[name].heading for name in names)]
    y, x = document["shift_px"]
    return (
        f"{markdown_rows(columns, rows)}\n\n{FITTED} Pixels are those of the result, half of the "
        f"TIRF image's; STORM was moved by {y:.2f} and {x:.2f} of them along y and x. That STORM "
        f"explains the TIRF image, as SQUIRREL measures it: RSP "
        f"{document['storm_explains_tirf_rsp']:.3f}. {origin(document)}"
    )
