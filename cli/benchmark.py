"""`unifmir benchmark`: what models cost, measured; the paper's tables; two results compared."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import (
    DEVICE_NAMES,
    PrecisionChoice,
    RuntimeChoice,
    TableFormatChoice,
    TaskChoice,
    WorkloadChoice,
)
from unifmir.cli.commands import Command, CommandGroup
from unifmir.cli.trust import TrustOption, trust_given
from unifmir.reference import REFERENCES
from unifmir.shown_text import without_secrets
from unifmir.tasks import TASKS
from unifmir.text_tables import aligned
from unifmir.zoo import EMBEDDED

if TYPE_CHECKING:
    from unifmir.benchmarks.measure.results import Results
    from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan


FormOption = Annotated[TableFormatChoice, typer.Option("--format", help="How to print the tables.")]
DetailsFlag = Annotated[
    bool,
    typer.Option(
        "--details",
        help="Three tables a task in place of one: latency, cost and quality, with all intervals.",
    ),
]
PlotsOption = Annotated[
    Path | None, typer.Option("--plots", help="Folder for plots as PNG and SVG.")
]
app = typer.Typer(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def benchmark(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Zoo id, reference model or checkpoint file; repeatable, the first is the "
            f"baseline. {EMBEDDED} and the reference models of the tasks if none is named.",
        ),
    ] = None,
    artifacts: Annotated[
        list[Path] | None,
        typer.Option("--artifact", help="File that `unifmir export` made; repeatable."),
    ] = None,
    trust: TrustOption = None,
    tasks: Annotated[
        list[TaskChoice] | None,
        typer.Option("--task", help="Repeatable; all that the models can do if none."),
    ] = None,
    runtimes: Annotated[
        list[RuntimeChoice] | None,
        typer.Option(
            "--runtime",
            help="Repeatable; if none is named eager, native, native-bf16 and onnxruntime where "
            "they are here, and reference models in eager and onnxruntime, with --quick in "
            "onnxruntime alone.",
        ),
    ] = None,
    precisions: Annotated[
        list[PrecisionChoice] | None,
        typer.Option(
            "--precision",
            help="Repeatable; fp32 if none, and bf16 in native-bf16. fp16 stores weights so, "
            "fp16-compute also computes so.",
        ),
    ] = None,
    workloads: Annotated[
        list[WorkloadChoice] | None,
        typer.Option(
            "--workload",
            help="Image sizes; repeatable. patch and image, with --quick patch. batch: eight "
            "patches at once.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help=f"{DEVICE_NAMES}.")] = "cpu",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=output.MOST_PROCESSES,
            help="On the CPU; OMP_NUM_THREADS, else its physical cores, if not given.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="At least so many, over three starts or more.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="At least so long a row.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="At least so many a row.")] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="Half width of a ratio's 95 % interval at which it is known well enough: 0.03 is "
            "3 %, the default; with --quick 0.08."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Seconds a table after which nothing is started once more: 300, with --quick 60."
        ),
    ] = None,
    keep_memory: Annotated[
        bool,
        typer.Option(
            help="Let processes keep freed memory: returning it to the system after every run "
            "made eager PyTorch up to 2.6 times as slow, and differently so in each process."
        ),
    ] = True,
    baseline: Annotated[
        str, typer.Option(help="MODEL, MODEL/RUNTIME or MODEL/RUNTIME/PRECISION of the ratios.")
    ] = "",
    images: Annotated[
        int, typer.Option(min=0, help="Held-out images for the quality beside the cost.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order within each round.")] = 0,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A first answer, one to five minutes a task, marked as such."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Results file; named by machine and versions if not given.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure anew what is in the results file.")
    ] = False,
    form: FormOption = "text",
    details: DetailsFlag = False,
    plots: PlotsOption = None,
    paper_tables: Annotated[
        bool,
        typer.Option(
            "--paper-tables",
            help="Count the paper's Extended Data Tables 1 and 2 again instead, row by row.",
        ),
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure what models cost, beside reference models and their quality.

    One table a task: what is measured of your models stands first, and a sentence below says what
    to use. An interrupted run of the same plan goes on where it was. A row has a word where its
    ratio is not known well enough, it ran elsewhere, or its picture is another.
    """
    if ctx.invoked_subcommand is not None:
        return
    trust_given(trust)
    if paper_tables:
        _paper_tables(details=details, as_json=as_json)
        return
    from unifmir.benchmarks.measure.benchmark_run import default_name
    from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
    from unifmir.devices import chosen_device
    from unifmir.file_locks import held_files

    chosen = tuple(task.value for task in tasks or ())
    plan = BenchmarkPlan(
        models=tuple(models or ()) if models or artifacts else default_models(chosen),
        artifacts=tuple(artifacts or ()),
        tasks=chosen,
        runtimes=tuple(r.value for r in runtimes or ()),
        precisions=tuple(p.value for p in precisions or ()),
        device=device,
        threads=threads,
        workloads=tuple(w.value for w in workloads) if workloads else None,
        rounds=rounds,
        seconds=seconds,
        samples=samples,
        target=target,
        budget_s=budget,
        seed=seed,
        keep_memory=keep_memory,
        baseline=baseline,
        images=images,
        quick=quick,
    )
    path = out or Path(default_name(chosen_device(device).name))
    with held_files([None if plots is None else plots / "*.png"]):
        results = _measured(plan, path, overwrite=overwrite)
        output.note(f"results: {path}")
        _shown(results, form, plots, details=details, as_json=as_json)
    if not any(row.latency for row in results.rows):
        output.check_failed("nothing was measured: every row failed, with its reason in the table")


@app.command("show", cls=Command)
def show(
    results: Annotated[Path, typer.Argument(help="File that `unifmir benchmark` wrote.")],
    form: FormOption = "text",
    details: DetailsFlag = False,
    plots: PlotsOption = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Print the tables of a results file again, in any format, and draw its plots."""
    from unifmir.benchmarks.measure.results import read_results

    _shown(read_results(results), form, plots, details=details, as_json=as_json)


@app.command("diff", cls=Command)
def diff(
    before: Annotated[Path, typer.Argument(help="Results file.")],
    after: Annotated[Path, typer.Argument(help="Results file.")],
    threshold: Annotated[
        float, typer.Option(min=0, help="Share by which a row may be slower: 0.05 is 5 %.")
    ] = 0.05,
    as_json: output.JsonFlag = False,
) -> None:
    """Say what changed between two results, with significance; exit 1 on a regression."""
    from unifmir.benchmarks.measure.results import read_results
    from unifmir.benchmarks.report.results_comparison import compare
    from unifmir.benchmarks.report.tables.comparison_table import comparison_text

    found = compare(read_results(before), read_results(after), threshold=threshold)
    text = comparison_text(found, width=output.terminal_width())
    output.print_result(found.to_dict(), text, as_json=as_json)
    worse = [pair.subject.key for pair in (*found.regressions, *found.broken)]
    if worse:
        output.check_failed("\n  ".join(["slower or broken:", *worse]))


def default_models(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The embedded model, then every reference model of these tasks; of all tasks if none."""
    wanted = tasks or tuple(TASKS)
    others = (name for name, row in REFERENCES.items() if set(row.tasks) & set(wanted))
    return (EMBEDDED, *others)


def _without_folder(word: str) -> str:
    """A word of the command; of a file only its name: where it lay is nobody else's business."""
    path = Path(word)
    return path.name if path.is_absolute() or path.exists() else word


def _measured(plan: "BenchmarkPlan", out: Path, *, overwrite: bool) -> "Results":
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from unifmir.benchmarks.measure.benchmark_run import benchmark as run
    from unifmir.benchmarks.measure.progress import BenchmarkProgress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Where nobody watches, rich would still end its display with an empty line.
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task("benchmark", total=None)

    def tell(step: BenchmarkProgress) -> None:
        # Shown from the first step on: what is refused before has no bar.
        bar.start()
        bar.update(
            task, completed=step.done, total=step.total, description=output.bar_label(step.text)
        )

    command = without_secrets(" ".join(["unifmir", *map(_without_folder, sys.argv[1:])]))
    try:
        return run(plan, out, overwrite=overwrite, command=command, on_progress=tell)
    finally:
        if bar.live.is_started:
            bar.stop()


def _shown(
    results: "Results",
    form: TableFormatChoice,
    plots: Path | None,
    *,
    details: bool,
    as_json: bool,
) -> None:
    from unifmir.benchmarks.report.tables.table_formats import rendered
    from unifmir.benchmarks.report.tables.terminal_tables import terminal
    from unifmir.benchmarks.report.tables.views import VIEWS

    if plots is not None:
        _draw(results, plots)
    if as_json:
        output.print_result(results.to_dict(), "", as_json=True)
        return
    names = list(VIEWS) if details else []
    on_terminal = form == "text" and sys.stdout.isatty()
    if on_terminal:
        width = shutil.get_terminal_size().columns
        colour = "NO_COLOR" not in os.environ
        text = terminal(results, views=names, width=width, colour=colour)
    else:
        text = rendered(results, form, views=names)
    output.print_result(None, text, as_json=False, styled=on_terminal)


def _draw(results: "Results", folder: Path) -> None:
    from unifmir.benchmarks.report.plots.drawing import draw

    drawn = draw(results, folder)
    for path in drawn.paths:
        output.note(f"plot: {path}")
    for name, reason in drawn.skipped.items():
        output.note(f"no plot of {name}: {reason}")


def _paper_tables(*, details: bool, as_json: bool) -> None:
    from unifmir.benchmarks.report.tables.paper_text import paper_text
    from unifmir.cost.paper.paper_tables import as_table, paper_rows

    rows = [row.to_dict() for row in paper_rows()]
    text = paper_text(rows)
    if details:
        shown = as_table(rows)
        text = "\n".join([aligned(shown.columns, shown.rows), "", *shown.notes])
    output.print_result({"rows": rows}, text, as_json=as_json)
