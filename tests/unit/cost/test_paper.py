"""Every row of the paper's cost tables: equal where it is, and not said to be where it is not."""

import json
import re

import pytest

from unifmir.cost.paper.paper_tables import CUT_OFF, PaperRow, as_table, paper_rows, printed_rows
from unifmir.cost.paper.recipes import RECIPES

pytestmark = pytest.mark.slow  # the paper's networks in full size

# (table, task, model, precision) of the rows that are reproduced to every printed digit.
EQUAL = {
    (2, "sr", "ENLCN", "float32"),
    (2, "sr", "prune-UniFMIR", "float32"),
    (2, "sr", "prune-UniFMIR", "float16"),
    (2, "denoise", "prune-UniFMIR", "float16"),
    (2, "isotropic", "prune-UniFMIR", "float32"),
    (2, "volume", "VCD-Net", "float32"),
    (2, "volume", "prune-UniFMIR", "float32"),
    (2, "volume", "prune-UniFMIR", "float16"),
    (1, "sr", "ENLCN", "float32"),
    (1, "sr", "DFCAN", "float32"),
    (1, "volume", "VCD-Net", "float32"),
}


@pytest.fixture(scope="module")
def rows() -> list[PaperRow]:
    """All rows."""
    return paper_rows()


@pytest.fixture(scope="module")
def named(rows: list[PaperRow]) -> dict[tuple[int, str, str, str], PaperRow]:
    """The rows by table, task, model and precision."""
    return {(row.table, row.task, row.model, row.precision): row for row in rows}


def test_every_printed_row_is_there_and_every_recipe_is_used(rows):
    printed = printed_rows()
    keys = {(int(row["table"]), row["task"], row["model"]) for row in printed}
    assert keys == set(RECIPES)
    assert [(row.params.printed, row.gflops.printed) for row in rows] == [
        (row["params_m"], row["gflops"]) for row in printed
    ]


def test_rows_that_are_equal_and_no_others(named):
    assert {key for key, row in named.items() if row.equal} == EQUAL
    assert {named[key].verdict.replace("gflops ", "").split("; ")[0] for key in EQUAL} == {
        "equal",
        CUT_OFF,
    }


def test_all_operations_of_unifmir_but_those_of_projection_are_the_papers(named):
    for (table, task, model, _), row in named.items():
        if model == "UniFMIR" or (model == "prune-UniFMIR" and task != "projection"):
            assert not row.gflops.verdict.startswith("not"), (table, task)
    cut_off = {key[1] for key, row in named.items() if "cut off" in row.gflops.verdict}
    assert cut_off == {"sr", "isotropic"}


def test_what_differs_has_its_reason(rows):
    for row in rows:
        for figure in row.figures.values():
            kind = figure.verdict.partition(":")[0]
            assert kind in ("equal", "equal, cut off", "last digits", "not reproducible")
            assert "no explanation" not in figure.verdict, row
            if not figure.equal:
                difference = abs(figure.exact / float(figure.printed) - 1)
                assert (difference < 5e-5) is figure.verdict.startswith("last digits")


def test_what_the_paper_calls_parameters(named):
    row = named[2, "volume", "prune-UniFMIR", "float32"]
    assert (row.parameters_are, row.params.ours, row.true_parameters) == (
        "scalars",
        "23.1294",
        20_689_400,
    )
    full = named[1, "sr", "UniFMIR", "float32"]
    assert (full.params.printed, full.params.ours) == ("100.4071", "100.3994")
    assert named[2, "projection", "prune-UniFMIR", "float32"].params.verdict.startswith("not rep")


def test_slips_of_the_last_digits_are_said_as_such(named):
    dfcan = named[2, "sr", "DFCAN", "float32"].bops
    assert (dfcan.printed, dfcan.ours) == ("32.2655", "32.2660")
    isotropic = named[2, "isotropic", "prune-UniFMIR", "float32"].gflops
    assert (isotropic.printed, isotropic.ours) == ("2.6081e5", "2.6081e5")
    assert isotropic.exact == pytest.approx(260_816.431153152, abs=1e-6)
    assert dfcan.verdict.startswith("last digits")


def test_other_ways_to_count_are_computed_too(named):
    (split,) = named[2, "projection", "prune-UniFMIR", "float32"].alternatives
    assert (split.gflops, split.equal) == ("2.8195e4", True)
    unpadded, port = named[2, "denoise", "GVTNets", "float32"].alternatives
    assert (unpadded.gflops, unpadded.equal) == ("8.2777e3", False)
    assert (port.params, port.gflops, port.equal) == ("1.4915", "1.3052e4", True)
    (care,) = named[2, "denoise", "CARE", "float32"].alternatives
    assert care.gflops == "4.6715e3"


def test_a_table_for_printing_and_values_for_json(rows):
    values = json.loads(json.dumps([row.to_dict() for row in rows]))
    shown = as_table(values)
    assert len(shown.rows) == len(rows) == 33
    assert {len(line) for line in shown.rows} == {len(shown.columns)}
    assert values[0]["gflops"]["equal"]
    # Every reason has a mark beside a figure, and every mark a reason.
    marks = {mark for line in shown.rows for cell in line for mark in re.findall(r"\[\d+\]", cell)}
    assert marks == {note.partition(" ")[0] for note in shown.notes}


def test_the_committed_table_is_what_is_computed(rows, repo):
    kept = json.loads((repo / "benchmarks/results/paper-tables.json").read_text("utf-8"))
    assert kept["rows"] == json.loads(json.dumps([row.to_dict() for row in rows]))
