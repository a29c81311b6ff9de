"""Tables of the documents say what was not measured, and by which command the rest was."""

import re
from dataclasses import replace

import pytest

from tests.helpers.benchmark_results import quality_of, results, row, subject
from unifmir.benchmarks.studies.document_plots import screen_picture
from unifmir.benchmarks.studies.measured_tables import screen

COMMAND = (
    "unifmir benchmark --task sr --model unifmir-small-sim --model care-2d --runtime eager "
    "--runtime native --out sr.json"
)


def test_the_picture_of_a_terminal_has_its_marks_and_colours_and_fetches_nothing():
    mine = row(subject("unifmir-small-sim"))
    doubtful = row(subject("care-2d"), problems=("x",), word="wide")
    drawn = screen_picture(results(mine, doubtful))
    texts = re.findall(r'<text class="quick-(r\d+)"[^>]*>([^<]*)</text>', drawn)
    (own,) = (style for style, said in texts if said.startswith("*unifmir-small-sim"))
    (other,) = (style for style, said in texts if said.startswith("&#160;care-2d"))
    assert own != other
    assert "url(" not in drawn.replace("url(#", "")


def lines(**changes: object) -> list[str]:
    rows = (
        row(subject("unifmir-small-sim"), quality=quality_of(34.7)),
        row(subject("care-2d"), quality=quality_of(34.4)),
    )
    told = replace(results(*rows, command=COMMAND), **changes)  # type: ignore[arg-type]  # fields of it
    return screen("sr", folded=False)(told.to_dict()).splitlines()


def test_a_table_ends_with_the_command_of_its_own_file():
    *_, first, last = lines()
    assert first.endswith(" \\")
    assert max(map(len, (first, last))) <= 84
    assert " ".join(f"{first[:-1]} {last}".split()) == COMMAND


def test_what_was_not_measured_is_said():
    assert "    GPU: not measured" in lines()
    assert "    Quality: not measured of dfcan, enlcn" in lines()


@pytest.mark.parametrize("device", ["cuda:0", "openvino:GPU"])
def test_where_a_gpu_was_measured_nothing_is_said(device):
    rows = (row(subject("unifmir-small-sim", device=device)),)
    found = lines(rows=rows)
    assert not [line for line in found if "not measured" in line]
