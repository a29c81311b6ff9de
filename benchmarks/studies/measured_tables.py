"""Tables of the documents on how fast things are, as Markdown or as on a terminal."""

import json
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.tables.summary_table import WIDTH, summary_text
from unifmir.benchmarks.studies.document_facts import Render
from unifmir.benchmarks.studies.result_files import RESULTS, origin
from unifmir.devices import device_named
from unifmir.reference import REFERENCES
from unifmir.text_tables import command_lines, markdown_rows

KERNEL_COMPILERS = "kernel-compilers.json"
"""Result file of `kernel_compilers`."""
GPU_TIMINGS = "gpu-timings.json"
"""Result file of `gpu_check`."""


def gpu_timings_text(_document: dict[str, Any]) -> str:
    """Timings of `make gpu-check`, as a terminal shows them; a sentence where that never ran."""
    file = RESULTS / GPU_TIMINGS
    if not file.is_file():
        return f"Not measured: there is no `benchmarks/results/{GPU_TIMINGS}`."
    return screen(folded=False)(json.loads(file.read_text("utf-8")))


def screen(task: str | None = None, *, folded: bool = True) -> Render:
    """Writer of results of `unifmir benchmark` as a terminal shows them, of one task or of all.

    Below stand what was not measured, and the command.

    Parameters
    ----------
    task : str, optional
    folded : bool
        Hide the table until its reader opens it: on pages that show a plot first.
    """

    def render(document: dict[str, Any]) -> str:
        results = Results.from_dict(document)
        shown = summary_text(results, task=task).splitlines()
        shown += [*_not_measured(results, task), *command_lines(results.command, WIDTH)]
        # Indented: a block between fences is one to run.
        lines = ["", *(f"    {line}".rstrip() for line in shown), ""]
        if folded:
            # GitHub folds it as HTML; mkdocs reads Markdown inside only where the tag says so.
            head = ('<details markdown="1">', "<summary>The table</summary>")
            lines = [*head, *lines, "</details>"]
        return "\n".join(lines)

    return render


def _not_measured(results: Results, task: str | None) -> Iterator[str]:
    """Lines on the GPU, and on a task's reference models that are in no plot of quality."""
    if all(device_named(row.subject.device).is_cpu for row in results.rows):
        yield "GPU: not measured"
    good = {row.subject.model for row in results.rows if "psnr_db" in (row.quality or {})}
    missing = [name for name, row in REFERENCES.items() if task in row.tasks and name not in good]
    if good and missing:
        yield from wrap(f"Quality: not measured of {', '.join(missing)}", WIDTH)


def full_size_speed(instructions: str) -> str:
    """Result file of `full_size_speed`, which has the heavy imports, on a kind of processors."""
    return f"full-size-speed-{instructions}.json"


def full_size_speed_table(document: dict[str, Any]) -> str:
    """Rows of the tasks, as Markdown, and what was not run."""
    rows = [
        [
            f"`{row['task']}`",
            "x".join(map(str, row["input"])),
            row["runtime"],
            f"{row['times_as_fast']:.2f}",
            f"{row['slowest_round']:.2f} to {row['fastest_round']:.2f}",
            f"{_nearness(row['psnr_db'])}, {'same' if row['same_picture'] else 'another'} picture",
            f"{100 * row['share_of_peak']:.0f}",
        ]
        for row in document["rows"]
    ]
    columns = ["task", "input", "runtime", "times as fast", "rounds", "beside fp32 eager"]
    missing = "".join(
        f"Not run: `{name}` ({reason}). " for name, reason in document.get("missing", {}).items()
    )
    return (
        f"{markdown_rows([*columns, '% of peak'], rows)}\n\n{_paths(document)}{missing}"
        f"{document['rounds']} rounds; "
        f"{document['machine']['processor']}, one thread. {origin(document)}"
    )


PATHS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instructions that native kernels have a path for: two in fp32, of which the compiler takes the
wider one that the processor has, and two in bf16, of which the library chooses."""


def _paths(document: dict[str, Any]) -> str:
    """Sentences on the path that each native runtime took, and on those that none took.

    Nothing for files that do not say by what their rows ran.
    """
    ran = {row["runtime"]: row.get("provider", "") for row in document["rows"]}
    native = {name: by for name, by in ran.items() if name.startswith("native") and by}
    if not native:
        return ""
    widest = [name for name in PATHS[:2] if name in document["instructions"]][-1:]
    taken = {
        name: [path for path in PATHS[2:] if path in by.split(", ")] or widest
        for name, by in native.items()
    }
    told = "; ".join(
        f"`{name}` by {', '.join(paths) or 'no vectors'} ({native[name].split(',')[0]})"
        for name, paths in taken.items()
    )
    left = [path for path in PATHS if not any(path in paths for paths in taken.values())]
    return f"Paths: {told}. Not taken: {', '.join(left) or 'none'}. "


def _nearness(psnr_db: float | None) -> str:
    """PSNR against the picture that it should be; None: it is that, bit for bit."""
    return "identical" if psnr_db is None else f"{psnr_db:.1f} dB"


def kernel_compilers_table(document: dict[str, Any]) -> str:
    """CPU time by each compiler over the first one's, and how far the results are apart."""
    base, *others = document["compilers"]
    rows = [
        [
            row["what"],
            *(
                f"{one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"
                for one in row["compilers"].values()
            ),
            f"{max(one['max_abs_over_std'] for one in row['compilers'].values()):.0e}",
        ]
        for row in document["rows"]
    ]
    versions = "; ".join(f"`{name}`: {told}" for name, told in document["compilers"].items())
    return (
        f"{markdown_rows(['what', *(f'`{name}`' for name in others), 'max diff / std'], rows)}\n\n"
        f"CPU time over that of `{base}`, with least and most of {document['rounds']} rounds. "
        f"{versions}; "
        f"{document['machine']['processor']}, one thread. {origin(document)}"
    )


def start_up_table(document: dict[str, Any]) -> str:
    """Commands against a bare import of torch."""
    rows = [
        [row["what"], f"{row['wall_s']:.2f}", f"{row['wall_over_import']:.2f}"]
        + [f"{row['cpu_s']:.2f}", f"{row['cpu_over_import']:.2f}"]
        for row in document["rows"]
    ]
    columns = ["process", "s", "over the import", "CPU s", "over the import"]
    told = f"Medians of {document['rounds']} rounds; {document['image']}. {origin(document)}"
    return f"{markdown_rows(columns, rows)}\n\n{told}"


def whole_image_table(document: dict[str, Any]) -> str:
    """A whole stack against its pixels at the best rate of patches."""
    rows = [
        [
            row["runtime"],
            row["precision"],
            str(row["threads"]),
            f"{row['over_pixels_at_best_patch_rate']['cpu']:.2f}",
            f"{row['over_pixels_at_best_patch_rate']['wall']:.2f}",
            f"{row['peak_memory_bytes'] / 2**30:.2f}",
        ]
        for row in document["rows"]
    ]
    columns = ["runtime", "precision", "threads", "times its pixels, CPU time", "wall", "peak, GiB"]
    return f"{markdown_rows(columns, rows)}\n\n{origin(document)}"


def scaling_table(document: dict[str, Any]) -> str:
    """Two workers against one."""
    rows = [
        [str(index), f"{one['1'] / one['2']:.2f}", f"{efficiency:.2f}"]
        for index, (one, efficiency) in enumerate(
            zip(document["seconds_by_workers"], document["efficiencies"], strict=True), 1
        )
    ]
    columns = ["round", "times as fast", "efficiency"]
    return (
        f"{markdown_rows(columns, rows)}\n\nMedian efficiency {document['efficiency']:.2f}. "
        f"{origin(document)}"
    )
