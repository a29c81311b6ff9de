"""Which precision is safe for a model, decided from data.

`measure_ranges` watches a module in fp32, `plan_precision` decides which modules stay in fp32 and
proves it on the same inputs, `stored` and `computing` make the two low-precision variants.

The rule behind both: each module runs its own operations in one dtype. What comes in is cast to
it, what goes out is cast to the dtype of the module that called it. So any choice of islands gives
a graph whose types agree, with every cast written out.

The names below are loaded on first use, so that the CLI can list `PRECISIONS` without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifmir.precision.planning import MIN_LOW_SHARE as MIN_LOW_SHARE
    from unifmir.precision.planning import PrecisionPlan as PrecisionPlan
    from unifmir.precision.planning import Step as Step
    from unifmir.precision.planning import plan_precision as plan_precision
    from unifmir.precision.ranges import ModuleRange as ModuleRange
    from unifmir.precision.ranges import RangeReport as RangeReport
    from unifmir.precision.ranges import measure_ranges as measure_ranges
    from unifmir.precision.variants import computing as computing
    from unifmir.precision.variants import first_nonfinite as first_nonfinite
    from unifmir.precision.variants import stored as stored
    from unifmir.precision.variants import stored_dtypes as stored_dtypes

PRECISIONS = ("fp32", "fp16", "bf16")

_HOME = {
    "MIN_LOW_SHARE": "planning",
    "PrecisionPlan": "planning",
    "Step": "planning",
    "plan_precision": "planning",
    "ModuleRange": "ranges",
    "RangeReport": "ranges",
    "measure_ranges": "ranges",
    "computing": "variants",
    "first_nonfinite": "variants",
    "stored": "variants",
    "stored_dtypes": "variants",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
