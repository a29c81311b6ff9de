"""Comparison of a verification case: the output of a runtime with that of the fp32 module."""

from dataclasses import replace

import numpy as np
from torch import nn

from unifmir.compare import FP32, Comparison, Tolerance, beside_fp64, compare, may_be_rounding
from unifmir.errors import ExportError
from unifmir.export.expected_outputs import Expected, exact_output
from unifmir.export.verification_report import CaseResult


def compared(expected: Expected, actual: np.ndarray, tolerance: Tolerance) -> CaseResult:
    """Hold what a runtime made of a case against what the fp32 module did.

    Parameters
    ----------
    expected : Expected
    actual : ndarray
        float32, in the shape and range of the expected output.
    tolerance : Tolerance

    Raises
    ------
    ExportError
        It has another shape.
    """
    case = expected.case
    if actual.shape != expected.output.shape:
        raise ExportError(
            f"input {case.image.shape} gives {actual.shape}, the PyTorch module "
            f"{expected.output.shape}: a size was fixed while tracing"
        )
    comparison = compare(expected.output, actual)
    largest = tolerance.max_abs_over_std is not None
    if largest and expected.deviation is not None and comparison.finite:
        comparison = _through_the_root(comparison, expected, actual)
    return CaseResult(
        source=case.source,
        shape=case.image.shape,
        comparison=comparison,
        failures=tuple(tolerance.failures(comparison)),
        sizing=case.sizing,
    )


def held_against(
    module: nn.Module, expected: Expected, actual: np.ndarray, tolerance: Tolerance
) -> CaseResult:
    """Hold what a runtime made of a case against a module, in fp64 where fp32 may be at fault.

    Parameters
    ----------
    module : Module
        In fp32.
    expected : Expected
        What it made of the case.
    actual : ndarray
        float32, in the shape and range of the expected output.
    tolerance : Tolerance

    Raises
    ------
    ExportError
        It has another shape.
    """
    result = compared(expected, actual, tolerance)
    if may_be_rounding(result.comparison, tolerance):
        exact, bars = exact_beside(module, expected)
        in_fp64 = compared(exact, actual, bars)
        if not in_fp64.failures:
            return replace(in_fp64, reference="fp64")
    return result


def exact_beside(module: nn.Module, expected: Expected) -> tuple[Expected, Tolerance]:
    """Run a module on a case in fp64, and give the bars of fp32 for pictures beside that.

    Module and expected output as for `held_against`.
    """
    exact = exact_output(module, expected.case)
    return exact, beside_fp64(compared(exact, expected.output, FP32).comparison)


def _through_the_root(comparison: Comparison, expected: Expected, actual: np.ndarray) -> Comparison:
    """Hold the isotropic output to the bar of the two passes it is made of.

    The interface ends in sqrt(max(a, 0) * max(b, 0)), whose slope is infinite at 0: there a
    rounding difference of 1e-7 in a shows as 3e-4, so the largest difference of the output says
    nothing. If a and b differ by at most t of their standard deviations, the square differs by at
    most t * (|a| std(b) + |b| std(a)) to first order: that t is what the passes are held to. Raw
    intensities are a multiple of the root, and an offset that is taken off first.
    In low precision the bars are means over the picture, and the picture itself is compared.
    """
    assert expected.deviation is not None  # noqa: S101 - the caller's condition
    root, found = expected.output - expected.offset, actual - expected.offset
    difference = np.abs(np.square(found) - np.square(root))
    # Rounding of the square itself: 4 units in the last place of float32.
    rounding = 4 * np.finfo(np.float32).eps * np.abs(root) * np.abs(expected.output)
    share = np.maximum(difference - rounding, 0) / np.maximum(expected.deviation, 1e-12)
    where = np.unravel_index(int(share.argmax()), share.shape)
    return replace(
        comparison,
        max_abs_over_std=float(share.max()),
        where=tuple(int(i) for i in where),
    )
