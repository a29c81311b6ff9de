"""Write the tables of README.md from the result files: `python -m benchmarks.tables [--check]`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. With --check nothing is written
and the exit code is 1 if a table differs from its result file.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
README = REPO / "README.md"
EMBEDDED = REPO / "zoo" / "weights" / "unifmir-small-sim.evaluation.json"
EXPORTS = REPO / "benchmarks" / "results" / "export-full-size-fp32.json"


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def export_table(document: dict[str, Any]) -> str:
    """Wall time and peak memory of full-size exports."""
    rows = []
    for row in document["rows"]:
        sizes = {a["format"]: f"{a['size_bytes'] / 1e6:.1f}" for a in row.get("artifacts", [])}
        worst = max((a["max_abs_over_std"] for a in row.get("artifacts", [])), default=None)
        scores = [
            a["details"]["expected_score"]["total"]
            for a in row.get("artifacts", [])
            if "expected_score" in a["details"]
        ]
        rows.append(
            [
                f"`{row['task']}`",
                f"{row['cpu_s']:.0f}",
                f"{row['wall_s']:.0f}",
                f"{row['peak_memory_mib'] / 1024:.1f}",
                sizes.get("onnx", "-"),
                sizes.get("bioimageio", "-"),
                "-" if worst is None else f"{worst:.1e}",
                f"{scores[0]:.3f}" if scores else "-",
            ]
        )
    columns = ["task", "CPU s", "wall s", "peak GiB", "ONNX MB", "package MB", "max diff / std"]
    table = markdown([*columns, "expected zoo score"], rows)
    machine, versions = document["machine"], document["versions"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{table}\n\n{machine['processor']}, {machine['cores']} cores; {told}."


def embedded_table(document: dict[str, Any]) -> str:
    """PSNR of the embedded model beside the best simple method."""
    rows = []
    for task, result in document["tasks"].items():
        best = result["baselines"][result["best_baseline"]]
        rows.append(
            [
                f"`{task}`",
                f"{result['model']['psnr_db']:.1f}",
                f"{best['psnr_db']:.1f}",
                result["best_baseline"],
                f"{result['gain_db']:+.1f}",
                f"{result['model']['ssim']:.3f}",
                f"{best['ssim']:.3f}",
            ]
        )
    columns = ["task", "PSNR, dB", "simple method, dB", "which", "gain, dB", "SSIM", "simple"]
    table = markdown(columns, rows)
    images = next(iter(document["tasks"].values()))["images"]
    machine = document["machine"]
    return (
        f"{table}\n\n{images} images per task, `{document['command']}`; {machine['processor']}, "
        f"torch {document['versions']['torch']}."
    )


TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "embedded": (EMBEDDED, embedded_table),
    "export-full-size": (EXPORTS, export_table),
}


def rendered(text: str) -> str:
    """The document with every table made anew."""
    for name, (source, render) in TABLES.items():
        table = render(json.loads(source.read_text("utf-8")))
        pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
        filled = rf"\g<1>{table}" + "\n" + r"\g<2>"
        text, count = re.subn(pattern, filled, text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"README.md has {count} places for the table {name!r}, expected 1")
    return text


def main() -> int:
    """Write or check."""
    text = README.read_text("utf-8")
    wanted = rendered(text)
    if "--check" in sys.argv[1:]:
        return int(text != wanted)
    README.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
