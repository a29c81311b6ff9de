"""What a network costs: parameters, multiply-accumulates, bit operations.

`count` answers for a module and an input shape. The paper's cost tables, counted again in the
conventions they were made with, are in `unifmir.cost.paper`. That other ways of counting give the
same number is shown by `benchmarks/studies/count_macs.py`.

The names below are loaded on first use, so that the CLI can list them without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifmir.cost.bit_operations import Bops as Bops
    from unifmir.cost.bit_operations import bops as bops
    from unifmir.cost.bit_operations import count_bops as count_bops
    from unifmir.cost.counting import Counts as Counts
    from unifmir.cost.counting import count as count
    from unifmir.cost.dispatcher import DispatchCount as DispatchCount
    from unifmir.cost.dispatcher import count_dispatched as count_dispatched
    from unifmir.cost.paper.conventions import CONVENTIONS as CONVENTIONS
    from unifmir.cost.paper.conventions import ConventionCount as ConventionCount
    from unifmir.cost.paper.conventions import count_in as count_in
    from unifmir.cost.paper.tables import PaperRow as PaperRow
    from unifmir.cost.paper.tables import as_table as as_table
    from unifmir.cost.paper.tables import paper_rows as paper_rows
    from unifmir.cost.parameters import ParameterCount as ParameterCount
    from unifmir.cost.parameters import count_parameters as count_parameters

_HOME = {
    "Bops": "bit_operations",
    "CONVENTIONS": "paper.conventions",
    "ConventionCount": "paper.conventions",
    "Counts": "counting",
    "DispatchCount": "dispatcher",
    "PaperRow": "paper.tables",
    "ParameterCount": "parameters",
    "as_table": "paper.tables",
    "bops": "bit_operations",
    "count": "counting",
    "count_bops": "bit_operations",
    "count_dispatched": "dispatcher",
    "count_in": "paper.conventions",
    "count_parameters": "parameters",
    "paper_rows": "paper.tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
