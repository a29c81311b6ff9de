"""The cost tables of the paper, computed again.

Ma et al., Nature Methods 2024, Extended Data Tables 1 (training) and 2 (prediction). The printed
figures lie in costs.csv, digit by digit; ours are computed when they are asked for, on
networks without weights. A row says `equal` only if ours, rounded or cut off to the printed digits,
is the printed figure.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

from torch import Tensor, nn

from unifmir.config import ModelConfig
from unifmir.cost.bit_operations import paper_bops
from unifmir.cost.dispatcher import count_dispatched
from unifmir.cost.meta_device import meta_network
from unifmir.cost.paper.conventions import count_in
from unifmir.cost.paper.parameters import ParameterCount, count_parameters
from unifmir.cost.paper.recipes import RECIPES, Definition, Other, Recipe, Run
from unifmir.json_values import JsonOutput
from unifmir.precision.element_types import ELEMENT_TYPES
from unifmir.text_tables import TextTable

EQUAL = "equal"
CUT_OFF = "equal, cut off: the paper did not round the last digit"
LAST_DIGITS = "last digits"
NOT_REPRODUCIBLE = "not reproducible"
SLIP = Fraction(1, 20_000)
"""Relative. Ours and the printed figure differ by their last digits only: the paper's rounding."""
BITS = {row.dtype: row.bits for row in ELEMENT_TYPES.values()}


@dataclass(frozen=True, slots=True)
class Figure(JsonOutput):
    """One printed figure and ours."""

    computed = ("equal",)

    unit: str
    printed: str
    """The figure as in the paper."""
    ours: str
    """Our figure at the printed digits: rounded, or cut off where the paper did so."""
    exact: float
    """Ours in `unit`, not rounded to the printed digits."""
    verdict: str
    """`equal`, `equal, cut off: why`, `last digits: why`, or `not reproducible: why`."""

    @property
    def equal(self) -> bool:
        """Whether ours is the printed figure at its printed digits."""
        return self.verdict in (EQUAL, CUT_OFF)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to count a row."""

    description: str
    params: str
    """Millions, at the digits of the paper's; empty if only a part is counted."""
    gflops: str
    """Billions of operations, at the digits of the paper's."""
    equal: bool
    """Whether these are the printed figures."""


@dataclass(frozen=True, slots=True)
class PaperRow(JsonOutput):
    """One row of the paper's Extended Data Table 1 or 2, as printed and as computed now."""

    computed = ("equal", "verdict")

    table: int
    """1 training, 2 prediction."""
    task: str
    model: str
    precision: str
    image_size: str
    input_size: str
    """Size of the input, as printed."""
    counted_input: tuple[int, ...]
    """Shape that ours was counted on, batch included."""
    repeats: int
    """Times that input is run for the whole image."""
    convention: str
    """Convention of the GFLOPs, see `unifmir.cost.paper.conventions`."""
    parameters_are: Definition
    """Meaning of the paper's parameters in this row."""
    params: Figure
    gflops: Figure
    bops: Figure | None
    """Bit operations; None in Table 1, which has none."""
    true_parameters: int
    """Trainable values of our network."""
    true_gmacs: float
    """10^9 multiply-accumulates, attention products included, for the same input and repeats."""
    alternatives: tuple[Alternative, ...] = ()
    note: str = ""

    @property
    def figures(self) -> dict[str, Figure]:
        """The printed figures by name."""
        named = {"params": self.params, "gflops": self.gflops, "bops": self.bops}
        return {name: figure for name, figure in named.items() if figure is not None}

    @property
    def equal(self) -> bool:
        """Whether every figure of the row is reproduced to its printed digits."""
        return all(figure.equal for figure in self.figures.values())

    @property
    def verdict(self) -> str:
        """Verdict on the whole row: `equal`, or what each other figure is."""
        rest = [f"{name} {f.verdict}" for name, f in self.figures.items() if f.verdict != EQUAL]
        return "; ".join(rest) or EQUAL


def printed_rows() -> list[dict[str, str]]:
    """The tables as printed; empty strings where a table has no such column."""
    text = (files("unifmir.cost.paper") / "costs.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def paper_rows() -> list[PaperRow]:
    """Every row of Extended Data Tables 1 and 2, in the order of the data file."""
    return [_row(printed) for printed in printed_rows()]


def as_table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """Rows for printing, from their `to_dict`. M, G and T are 10^6, 10^9 and 10^12.

    Notes say why a figure is not the paper's; `[1]` beside a figure is the first.
    """
    notes: dict[str, int] = {}

    def cell(name: str, figure: Mapping[str, str] | None) -> str:
        if figure is None:
            return "-"
        shown = f"{figure['printed']} / {figure['ours']}"
        if figure["verdict"] == EQUAL:
            return shown
        number = notes.setdefault(f"{name} {figure['verdict']}", len(notes) + 1)
        return f"{shown} [{number}]"

    cells = tuple(
        (
            *(f"ED {row['table']}", row["task"], row["model"], row["precision"]),
            cell("parameters", row["params"]),
            cell("GFLOPs", row["gflops"]),
            row["convention"],
            cell("BOPs", row["bops"]),
            *(f"{row['true_parameters'] / 1e6:.4f}", f"{row['true_gmacs']:.4f}"),
            "equal" if row["equal"] else "",
        )
        for row in rows
    )
    names = ["table", "task", "model", "precision", "params M, paper / ours"]
    names += ["GFLOPs, paper / ours", "convention", "BOPs T, paper / ours"]
    names += ["true params M", "true GMAC", "row"]
    told = tuple(f"[{number}] {note}" for note, number in notes.items())
    return TextTable(columns=tuple(names), rows=cells, words=(True,) * len(names), notes=told)


class _OneTask(nn.Module):
    """A multi-task network that is asked for one task, so that it takes one tensor."""

    def __init__(self, network: nn.Module, task: str) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.train(network.training)

    def forward(self, x: Tensor) -> Tensor:
        """The network's result: shape (N, C, H, W), float32; on the meta device without a range."""
        out: Tensor = self.network(x, self.task)
        return out


def _row(printed: dict[str, str]) -> PaperRow:
    recipe = RECIPES[int(printed["table"]), printed["task"], printed["model"]]
    run, bits = recipe.run, BITS[printed["precision"]]
    sizes = _parameters(run.config, run.part)
    operations = _operations(run, recipe.convention)
    params = Fraction(_defined(sizes, recipe.parameters), 10**6)
    gflops = _figure("G", printed["gflops"], Fraction(operations, 10**9), recipe.gflops_why)
    return PaperRow(
        table=int(printed["table"]),
        **{key: printed[key] for key in ("task", "model", "precision")},
        **{key: printed[key] for key in ("image_size", "input_size")},
        counted_input=run.shape,
        repeats=run.repeats,
        convention=recipe.convention,
        parameters_are=recipe.parameters,
        params=_figure("M", printed["params_m"], params, recipe.params_why),
        gflops=gflops,
        bops=_bops_figure(printed, gflops, paper_bops(operations, bits), bits, recipe),
        true_parameters=sizes.parameters,
        true_gmacs=_macs(run) / 1e9,
        alternatives=tuple(_alternative(printed, other) for other in recipe.others),
        note=recipe.note,
    )


def _figure(unit: str, printed: str, ours: Fraction, why: str) -> Figure:
    rounded, cut = rounded_like(printed, ours), rounded_like(printed, ours, rounding=ROUND_DOWN)
    if Decimal(rounded) == Decimal(printed):
        verdict = EQUAL
    elif Decimal(cut) == Decimal(printed):
        rounded, verdict = cut, CUT_OFF
    elif why and abs(ours / Fraction(printed) - 1) <= SLIP:
        verdict = f"{LAST_DIGITS}: {why}"
    else:
        verdict = f"{NOT_REPRODUCIBLE}: {why or 'no explanation is known'}"
    return Figure(unit, printed, rounded, float(ours), verdict)


def _bops_figure(
    printed: dict[str, str], gflops: Figure, ours: Fraction, bits: int, recipe: Recipe
) -> Figure | None:
    text = printed["bops_t"]
    if not text:
        return None
    why = recipe.bops_why
    if gflops.verdict.startswith(NOT_REPRODUCIBLE):
        implied = rounded_like(text, Fraction(gflops.printed) * bits * bits / 1000)
        why = f"follows from the GFLOPs; those printed give {implied}"
    return _figure("T", text, ours, why)


def _alternative(printed: dict[str, str], other: Other) -> Alternative:
    operations = sum(_operations(run, other.convention) for run in other.runs)
    gflops = rounded_like(printed["gflops"], Fraction(operations, 10**9))
    equal = Decimal(gflops) == Decimal(printed["gflops"])
    params = ""
    if all(not run.part for run in other.runs):
        count = _parameters(other.runs[0].config, "").parameters
        params = rounded_like(printed["params_m"], Fraction(count, 10**6))
        equal = equal and Decimal(params) == Decimal(printed["params_m"])
    return Alternative(other.description, params, gflops, equal)


def rounded_like(printed: str, value: Fraction, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """A value at as many digits as a printed figure, and written as it: 2.6082e5 like 2.6081e5."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    mantissa, _, power = printed.partition("e")
    places = len(mantissa.partition(".")[2])
    if not power:
        return str(exact.quantize(Decimal(1).scaleb(-places), rounding=rounding))
    # One digit stands before the point.
    rounded = Context(prec=places + 1, rounding=rounding).create_decimal(exact)
    return f"{rounded:.{places}e}".replace("e+", "e")


def _defined(sizes: ParameterCount, definition: Definition) -> int:
    return {
        "all": sizes.official_parameters,
        "layers": sizes.leaf_parameters,
        "scalars": sizes.official_scalars,
    }[definition]


# One network and one size serve several rows, and both of its precisions.
@cache
def _network(config: ModelConfig) -> nn.Module:
    return meta_network(config)


@cache
def _parameters(config: ModelConfig, part: str) -> ParameterCount:
    return count_parameters(_network(config).get_submodule(part))


def _counted(run: Run) -> nn.Module:
    network = _network(run.config)
    return _OneTask(network, run.task) if run.task else network.get_submodule(run.part)


@cache
def _operations(run: Run, convention: str) -> int:
    return count_in(convention, _counted(run), run.shape).operations * run.repeats


@cache
def _macs(run: Run) -> int:
    return count_dispatched(_counted(run), run.shape).macs * run.repeats
