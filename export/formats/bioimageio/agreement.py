"""Deviation of the package's three weight formats from the fp32 network."""

from collections.abc import Mapping

import numpy as np

from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.card import ModelCard, QuantitativeEvaluation
from unifmir.export.formats.bioimageio.tensors import Batch

TOLERANCE = 1e-3
"""Tolerance of the zoo: |difference| <= 1e-3 + 1e-3 |expected|."""


def measure_agreement(
    outputs: Mapping[str, Batch], restored: Batch, reference: Batch
) -> dict[str, dict[str, float]]:
    """Deviation of each weight format from the fp32 network on the normalised test input.

    Parameters
    ----------
    outputs : mapping
        Weight format -> what it made of the test input, in normalised units.
    restored : array
        Result of the module with the stored weights, likewise: the test output.
    reference : array
        Result of the fp32 network, likewise.

    Returns
    -------
    dict
        Per weight format: largest and root-mean-square deviation from the fp32 network, as
        fractions of its output's range.

    Raises
    ------
    ExportError
        A format does not reproduce the test output.
    """
    extent = float(reference.max() - reference.min()) or 1.0
    measured = {}
    for name, output in outputs.items():
        # NaN is close to nothing, so it counts as different.
        same_shape = output.shape == restored.shape
        if not same_shape or not np.isclose(output, restored, TOLERANCE, TOLERANCE).all():
            raise ExportError(
                f"the {name} file does not reproduce the test output of shape {restored.shape}; "
                "was it exported from the same network?"
            )
        difference = (output - reference).astype(np.float64)
        measured[name] = {
            "max_deviation": _rounded(float(np.abs(difference).max()) / extent),
            "rms_deviation": _rounded(float(np.sqrt(np.square(difference).mean())) / extent),
        }
    return measured


def as_evaluation(
    measured: Mapping[str, Mapping[str, float]], data_source: str, image_note: str
) -> tuple[QuantitativeEvaluation, ...]:
    """Row of the model card with the measurement; none without one, or an address for the image."""
    if not data_source or not measured:
        return ()
    short = {"pytorch_state_dict": "state dict"}
    return (
        QuantitativeEvaluation(
            dataset_id="unifmir-samples",
            dataset_source=data_source,
            dataset_role="unknown",
            sample_count=1,
            evaluation_factors=tuple(short.get(name, name) for name in measured),
            evaluation_factors_long=tuple(f"weights as {name}" for name in measured),
            metrics=("max deviation", "rms deviation"),
            metrics_long=(
                "largest deviation from the fp32 PyTorch network, as a fraction of its range",
                "root-mean-square deviation, likewise",
            ),
            results=tuple(
                tuple(values[key] for values in measured.values())
                for key in ("max_deviation", "rms_deviation")
            ),
            results_summary=f"Fidelity of the files, not restoration quality. Image: {image_note}",
        ),
    )


def quality_rows(card: ModelCard) -> tuple[QuantitativeEvaluation, ...]:
    """Rows with the restoration quality; none without an address of what the images are from."""
    if not card.git_repo:
        return ()
    return tuple(
        QuantitativeEvaluation(
            dataset_id="held-out-images",
            dataset_source=card.git_repo,
            dataset_role="test",
            sample_count=row.sample_count,
            evaluation_factors=("overall",),
            evaluation_factors_long=(row.dataset,),
            metrics=tuple(short for short, _, _ in row.figures),
            metrics_long=tuple(long for _, long, _ in row.figures),
            results=tuple((value,) for _, _, value in row.figures),
            results_summary=f"From {row.source}.",
        )
        for row in card.qualities
    )


def _rounded(value: float) -> float:
    """A number with one digit: more depend on the machine, and packages are byte-identical."""
    return float(f"{value:.0e}")
