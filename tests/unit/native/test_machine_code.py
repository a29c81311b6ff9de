"""What compilers make of the loops that most of the time is spent in, also for other processors."""

import platform
import re
from pathlib import Path

import pytest

from unifmir.native import compilation
from unifmir.native.compilers import compilers_here

# `cc` is a link to one of the others.
COMPILERS = {str(Path(one.command[0]).resolve()): one for one in compilers_here()}
PRODUCTS = 12
"""Of a turn of the loop: six rows times two vectors of pixels at least."""


def functions(assembly: str) -> dict[str, list[str]]:
    """Lines of each function of a program in assembly, by its name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in assembly.splitlines():
        if name := re.match(r"([A-Za-z_][\w.]*):", line):
            lines = found.setdefault(name[1], [])
        lines.append(line)
    return found


def innermost_loops(lines: list[str]) -> list[list[str]]:
    """From a label to the jump back to it, without those that hold another."""
    label_at = {line.split(":")[0]: n for n, line in enumerate(lines) if line.startswith(".L")}
    spans = [
        (label_at[jump[1]], n)
        for n, line in enumerate(lines)
        if (jump := re.match(r"\s+j\w+\s+(\.L\w+)", line)) and label_at.get(jump[1], n) < n
    ]
    inner = [
        (a, b) for a, b in spans if not any(a <= c and d <= b for c, d in spans if (c, d) != (a, b))
    ]
    return [lines[a : b + 1] for a, b in inner]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the assembly of x86")
@pytest.mark.parametrize("architecture", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize(
    "compiler", COMPILERS.values(), ids=[Path(name).name for name in COMPILERS]
)
def test_sums_of_a_matrix_product_stay_in_registers(compiler, architecture, tmp_path):
    out = tmp_path / "swin.s"
    options = [option for option in compilation._OPTIONS if option != "-shared"]
    source = str(compilation.SOURCES / "swin.c")
    result = compiler.run(
        [*options, compiler.target(architecture), "-S", "-o", str(out), source], tmp_path
    )
    assert result.returncode == 0, result.stderr
    rows = {name: f for name, f in functions(out.read_text()).items() if "six_rows" in name}
    assert rows  # inside another function, GCC ran out of registers for AVX2
    for name, lines in rows.items():
        loops = [one for one in innermost_loops(lines) if str(one).count("vfmadd") >= PRODUCTS]
        assert loops, name
        for loop in loops:
            on_stack = [line for line in loop if re.search(r"\(%r[sb]p\)", line)]
            assert not on_stack, name
            # Pixels that are loaded once for each row, and not once.
            products = [line for line in loop if "vfmadd" in line]
            assert not [line for line in products if re.search(r"\(%r\w+[,)]", line)], name
