"""What a network costs: parameters, multiply-accumulates, bit operations.

`count` answers for a module and an input shape. The same number is had in three independent ways,
by torch's dispatcher, in closed form, and from an exported ONNX graph
(`unifmir.export.onnx_macs`), which `compare_counts` holds against each other. `paper_rows` computes
the cost tables of the UniFMIR paper again, in the conventions they were made with.

The names below are loaded on first use, so that the CLI can list them without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifmir.cost.agreement import Agreement as Agreement
    from unifmir.cost.agreement import compare_counts as compare_counts
    from unifmir.cost.analytic import count_analytic as count_analytic
    from unifmir.cost.bit_operations import Bops as Bops
    from unifmir.cost.bit_operations import bops as bops
    from unifmir.cost.bit_operations import count_bops as count_bops
    from unifmir.cost.conventions import CONVENTIONS as CONVENTIONS
    from unifmir.cost.conventions import ConventionCount as ConventionCount
    from unifmir.cost.conventions import count_in as count_in
    from unifmir.cost.counting import Counts as Counts
    from unifmir.cost.counting import count as count
    from unifmir.cost.dispatcher import DispatchCount as DispatchCount
    from unifmir.cost.dispatcher import count_dispatched as count_dispatched
    from unifmir.cost.items import AnalyticCount as AnalyticCount
    from unifmir.cost.paper import PaperRow as PaperRow
    from unifmir.cost.paper import as_table as as_table
    from unifmir.cost.paper import paper_rows as paper_rows
    from unifmir.cost.parameters import ParameterCount as ParameterCount
    from unifmir.cost.parameters import count_parameters as count_parameters

_HOME = {
    "Agreement": "agreement",
    "AnalyticCount": "items",
    "Bops": "bit_operations",
    "CONVENTIONS": "conventions",
    "ConventionCount": "conventions",
    "Counts": "counting",
    "DispatchCount": "dispatcher",
    "PaperRow": "paper",
    "ParameterCount": "parameters",
    "as_table": "paper",
    "bops": "bit_operations",
    "compare_counts": "agreement",
    "count": "counting",
    "count_analytic": "analytic",
    "count_bops": "bit_operations",
    "count_dispatched": "dispatcher",
    "count_in": "conventions",
    "count_parameters": "parameters",
    "paper_rows": "paper",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
