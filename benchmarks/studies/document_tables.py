"""Write the tables of the documents from the result files.

    python -m benchmarks.studies.document_tables [--check]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. With --check nothing is written
and the exit code is 1 if a table differs from its result file.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from unifmir.atomic import write_text
from unifmir.benchmarks.studies.busy_neighbour import RESULT as BUSY_NEIGHBOUR
from unifmir.benchmarks.studies.busy_neighbour import busy_neighbour_text
from unifmir.benchmarks.studies.document_facts import (
    Render,
    formats_table,
    recipes,
    references_table,
    runtimes_table,
    sample_text,
    task_facts,
)
from unifmir.benchmarks.studies.export_full_size import GOAL_MEMORY_MIB, GOAL_WALL_S, misses
from unifmir.benchmarks.studies.install_tables import INSTALL_TABLES
from unifmir.benchmarks.studies.intensity_tables import (
    FITTED,
    intensities_table,
    real_pair_table,
    shared_intensities_table,
)
from unifmir.benchmarks.studies.measured_tables import (
    KERNEL_COMPILERS,
    full_size_speed,
    full_size_speed_table,
    gpu_timings_text,
    kernel_compilers_table,
    scaling_table,
    screen,
    start_up_table,
    whole_image_table,
)
from unifmir.benchmarks.studies.partner_table import partners_table
from unifmir.benchmarks.studies.result_files import REPO, RESULTS, origin
from unifmir.benchmarks.studies.simulator_tables import SIMULATOR_TABLES
from unifmir.benchmarks.studies.training_tables import EMBEDDED_TABLES, TRAINING_TABLES
from unifmir.benchmarks.studies.web_tables import WEB_TABLES
from unifmir.cost.paper.paper_tables import as_table
from unifmir.tasks import multitask_parts
from unifmir.text_tables import markdown_rows

README = REPO / "README.md"
COSTS = REPO / "docs" / "costs.md"
MEASURED = REPO / "docs" / "results"
QUANTISED = REPO / "docs" / "openvino.md"
RESTORE = REPO / "docs" / "restore.md"
TRAINING = REPO / "docs" / "training.md"
SPEED = REPO / "docs" / "speed.md"
PARTNERS = REPO / "docs" / "partners.md"
THREATS = REPO / "docs" / "threats.md"
EXPORTED = REPO / "docs" / "exported.md"
EMBEDDED = REPO / "zoo" / "catalogue" / "weights" / "unifmir-small-sim.evaluation.json"
EXPORTS = RESULTS / "export-full-size-fp32.json"


PERCENTILES = (
    "Intensities are those of `--intensity percentile`; what `unifmir restore` makes of them by "
    "default is in [docs/restore.md](docs/restore.md#intensities)."
)
"""Sentence on unfitted figures of `unifmir evaluate`."""


def export_table(document: dict[str, Any]) -> str:
    """Wall time and peak memory of full-size exports, held against their goals."""
    rows = []
    for row in document["rows"]:
        sizes = {a["format"]: f"{a['size_bytes'] / 1e6:.1f}" for a in row.get("artifacts", [])}
        worst = max((a["max_abs_over_std"] for a in row.get("artifacts", [])), default=None)
        rows.append(
            [
                f"`{row['task']}`",
                f"{row['cpu_s']:.0f}",
                f"{row['wall_s']:.0f}",
                f"{GOAL_WALL_S[row['task']]}",
                f"{row['peak_memory_mib'] / 1024:.1f}",
                "**missed**" if misses(row) else "met",
                sizes.get("onnx", "-"),
                sizes.get("bioimageio", "-"),
                "-" if worst is None else f"{worst:.1e}",
            ]
        )
    columns = ["task", "CPU s", "wall s", "goal, wall s", "peak GiB", "goal"]
    columns += ["ONNX MB", "package MB", "max diff / std"]
    table = markdown_rows(columns, rows)
    machine, versions = document["machine"], document["versions"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    commits = dict.fromkeys(row.get("commit") or "not recorded" for row in document["rows"])
    return (
        f"{table}\n\nThe goal: less than this wall time on two cores, and than "
        f"{GOAL_MEMORY_MIB / 1024:g} GiB.\n\n"
        f"{machine['processor']}, {machine['cores']} cores; {told}; commit: {', '.join(commits)}."
    )


def embedded_table(document: dict[str, Any]) -> str:
    """PSNR of the embedded model beside the best simple method."""
    rows = []
    for task, result in document["tasks"].items():
        best = result["baselines"][result["best_baseline"]]
        rows.append(
            [
                f"`{task}`",
                result["best_baseline"],
                *(f"{one['psnr_db']:.1f}" for one in (result["model"], best)),
                f"{result['gain_db']:+.1f}",
                *(f"{one['psnr_unfitted_db']:.1f}" for one in (result["model"], best)),
                *(f"{one['ssim']:.3f}" for one in (result["model"], best)),
                *(f"{one['ssim_unfitted']:.3f}" for one in (result["model"], best)),
            ]
        )
    columns = ["task", "simple method", "fitted PSNR, dB", "simple", "gain, dB"]
    columns += ["unfitted PSNR, dB", "simple", "fitted SSIM", "simple", "unfitted SSIM", "simple"]
    table = markdown_rows(columns, rows)
    images = next(iter(document["tasks"].values()))["images"]
    machine = document["machine"]
    return (
        f"{table}\n\n{FITTED} {PERCENTILES} {images} images per task, `{document['command']}`; "
        f"{machine['processor']}, torch {document['versions']['torch']}."
    )


def macs_table(document: dict[str, Any]) -> str:
    """Three counts of every full-size network."""
    methods = ["dispatcher", "closed form", "ONNX"]
    rows = []
    for row in document["rows"]:
        shape = "x".join(map(str, row["input_shape"]))
        totals = [f"{row['totals'][method] / 1e9:.6g}" for method in methods]
        verdict = "identical" if row["spread"] == 0 else f"{row['spread']:+.1%}, itemised below"
        rows.append([row["network"], shape, f"{row['parameters']:,}", *totals, verdict])
    columns = ["network", "input", "parameters", *(f"{method}, GMAC" for method in methods), ""]
    return f"{markdown_rows(columns, rows)}\n\n{origin(document)}"


def paper_table(document: dict[str, Any]) -> str:
    """The paper's cost tables, as printed and as counted now."""
    shown = as_table(document["rows"])
    listed = "\n".join(f"- {note}" for note in shown.notes)
    return f"{markdown_rows(shown.columns, shown.rows)}\n\n{listed}\n\n`{document['command']}`"


def fast_table(document: dict[str, Any]) -> str:
    """Quality and speed of the embedded model without its middle group."""
    rows = []
    for row in document["rows"]:
        whole, fast = row["whole"], row["fast"]
        rows.append(
            [
                f"`{row['task']}`",
                f"{whole['psnr_db']:.1f}",
                f"{fast['psnr_db']:.1f}",
                f"{fast['psnr_db'] - whole['psnr_db']:+.1f}",
                f"{whole['ssim']:.3f}",
                f"{fast['ssim']:.3f}",
                f"{row['cpu_ratio']:.2f}",
            ]
        )
    columns = ["task", "fitted PSNR, dB", "fast, dB", "cost, dB", "fitted SSIM", "fast"]
    columns += ["times as fast"]
    taken = f"{document['images']} images per task; {origin(document)}"
    return f"{markdown_rows(columns, rows)}\n\n{FITTED} {taken}"


def quantisation_table(document: dict[str, Any]) -> str:
    """Table of the embedded model's difference from fp32, by arithmetic of fewer bits."""
    tasks = list(dict.fromkeys(row["task"] for row in document["rows"]))
    kinds = ("arithmetic", "scope", "runtime")
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in document["rows"]:
        figure = f"{row['image_psnr_db']:.1f} / {row['psnr_db']:.1f}"
        cell = f"**{figure}**" if row["passed"] else figure
        found.setdefault(tuple(row[kind] for kind in kinds), {})[row["task"]] = cell
    rows = [[*key, *(cells[task] for task in tasks)] for key, cells in found.items()]
    columns = ["arithmetic", "layers", "runtime", *(f"`{task}`" for task in tasks)]
    passed = sum(row["passed"] for row in document["rows"])
    bar = document["tolerance"]["psnr_db"]
    return (
        f"{markdown_rows(columns, rows)}\n\nPSNR is unfitted. {passed} of "
        f"{len(document['rows'])} pass, which takes {bar:g} dB on every "
        f"input and intensities within a thousandth. {origin(document)}"
    )


def task_pages() -> dict[Path, dict[str, tuple[Path, Render]]]:
    """The pages of the tasks."""
    source = RESULTS / "macs.json"
    return {
        REPO / "docs" / "tasks" / f"{task}.md": {
            "sample": (source, sample_text(task)),
            "facts": (source, task_facts(task)),
        }
        for task in multitask_parts()
    }


def measured_pages() -> dict[Path, dict[str, tuple[Path, Render]]]:
    """The pages of measured results, one a task."""
    return {
        MEASURED / f"{task}.md": {
            "measured": (result_of(f"benchmark-{task}"), screen(task)),
            "whole-images": (result_of("benchmark-whole-images"), screen(task)),
            "full-size": (result_of("benchmark-full-size"), screen(task)),
        }
        for task in multitask_parts()
    }


def kills_table(document: dict[str, Any]) -> str:
    """Kills of commands at random moments, and what they left."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in document["rows"]:
        found.setdefault(row["command"], []).append(row)
    rows = [
        [
            command,
            str(len(kills)),
            *(str(sum(kill["signal"] == name for kill in kills)) for name in _SIGNALS),
            str(sum(kill["code"] == 0 for kill in kills)),
            str(sum(bool(kill["left_aside"]) for kill in kills)),
            _had_state(kills),
            str(sum(bool(kill["half"]) for kill in kills)),
            str(sum(not kill["again_code"] and not kill["differing"] for kill in kills)),
            str(sum(bool(kill["left"] or kill["not_cleaned"]) for kill in kills)),
        ]
        for command, kills in found.items()
    ]
    commits = ", ".join(sorted({row["commit"][:7] for row in document["rows"]}))
    columns = ["command", "kills", *_SIGNALS, "too late", "something aside after it"]
    columns += [
        "resumed from a state",
        "half under a final name",
        "next run as if undisturbed",
        "something left then",
    ]
    return (
        f"{markdown_rows(columns, rows)}\n\n{len(document['rows'])} kills, seed "
        f"{document['seed']}, at {commits}. Resumed from a state: kills after which a training had "
        f"one to go on from (-: not noted). {origin(document)}"
    )


def _had_state(kills: list[dict[str, Any]]) -> str:
    """How many left a state of a training; a dash where that was not noted."""
    noted = [kill["had_state"] for kill in kills if "had_state" in kill]
    return str(sum(noted)) if noted else "-"


def hostile_table(document: dict[str, Any]) -> str:
    """Counts of the hostile inputs of each kind, by what came of them."""
    bad = ["executed", "outside", "traceback", "hang", "believed"]
    rows = [
        [row["kind"], *(str(row[key]) for key in ("given", "refused", "right", *bad))]
        for row in document["rows"]
    ]
    kept = [
        sum(row[key] for row in document["rows"]) for key in ("given", "refused", "right", *bad)
    ]
    rows.append(["all", *map(str, kept)])
    columns = ["hostile input", "given", "refused", "served rightly", "executed"]
    columns += ["touched other files", "traceback", "over 30 s", "lie believed"]
    return f"{markdown_rows(columns, rows)}\n\n{origin(document)}"


def result_of(start: str) -> Path:
    """The results whose names start so; machine and versions follow."""
    (found,) = RESULTS.glob(f"{start}-*.json")
    return found


_SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")

DOCUMENTS: dict[Path, dict[str, tuple[Path, Render]]] = {
    README: {
        "embedded": (EMBEDDED, embedded_table),
        "export-full-size": (EXPORTS, export_table),
        "benchmark": (result_of("benchmark-runtimes"), screen("volume", folded=False)),
    },
    COSTS: {
        "macs": (RESULTS / "macs.json", macs_table),
        "paper-costs": (RESULTS / "paper-tables.json", paper_table),
        "references": (RESULTS / "macs.json", references_table),
        "quick": (result_of("benchmark-quick"), screen(folded=False)),
        "busy-neighbour": (RESULTS / BUSY_NEIGHBOUR, busy_neighbour_text),
    },
    QUANTISED: {"quantisation": (result_of("quantisation"), quantisation_table)},
    RESTORE: {
        "intensities": (result_of("intensities"), intensities_table),
        "fast": (result_of("fast"), fast_table),
    },
    TRAINING: {
        "shared-intensities": (RESULTS / "shared-intensities.json", shared_intensities_table),
        **TRAINING_TABLES,
    },
    REPO / "docs" / "embedded-model.md": EMBEDDED_TABLES,
    REPO / "docs" / "results.md": {"real-pair": (RESULTS / "real-pair.json", real_pair_table)},
    EXPORTED: {"recipes": (RESULTS / "macs.json", recipes)},
    PARTNERS: {"partner-checks": (RESULTS / "partner-checks.json", partners_table)},
    THREATS: {
        "hostile-inputs": (RESULTS / "hostile-inputs.json", hostile_table),
        "kills": (RESULTS / "kills.json", kills_table),
    },
    SPEED: {
        "start-up": (RESULTS / "start-up.json", start_up_table),
        **{
            f"full-size-speed-{kind}": (RESULTS / full_size_speed(kind), full_size_speed_table)
            for kind in ("avx512_bf16", "avx2")
        },
        "kernel-compilers": (RESULTS / KERNEL_COMPILERS, kernel_compilers_table),
        "whole-image": (RESULTS / "whole-image.json", whole_image_table),
        "scaling": (RESULTS / "scaling.json", scaling_table),
        # Its file is not there before a GPU was; the one named is any.
        "gpu-timings": (RESULTS / "macs.json", gpu_timings_text),
    },
    REPO / "docs" / "formats.md": {
        "formats": (RESULTS / "macs.json", formats_table),
        "runtimes": (RESULTS / "macs.json", runtimes_table),
    },
    REPO / "docs" / "simulator.md": {
        name: (RESULTS / "macs.json", render) for name, render in SIMULATOR_TABLES.items()
    },
    **{
        REPO / "docs" / document: {name: (RESULTS / file, render)}
        for document, (name, file, render) in WEB_TABLES.items()
    },
    REPO / "docs" / "install.md": INSTALL_TABLES,
    **task_pages(),
    **measured_pages(),
}
"""Document -> name of a table in it -> result file, and what writes it."""


def rendered(document: Path) -> str:
    """A document with every table made anew."""
    text = document.read_text("utf-8")
    for name, (source, render) in DOCUMENTS[document].items():
        table = render(json.loads(source.read_text("utf-8")))
        pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
        found = list(re.finditer(pattern, text, re.DOTALL))
        if len(found) != 1:
            raise ValueError(f"{document} has {len(found)} places for {name!r}, expected 1")
        text = f"{text[: found[0].end(1)]}{table}\n{text[found[0].start(2) :]}"
    return text


def main() -> int:
    """Write or check."""
    stale = [path for path in DOCUMENTS if rendered(path) != path.read_text("utf-8")]
    if "--check" in sys.argv[1:]:
        return int(bool(stale))
    for path in stale:
        write_text(path, rendered(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
