"""`unifmir verify`: an exported file, proved again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.trust import TrustOption, trust_given
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.export.verification_report import Report


def verify(
    artifact: Annotated[Path, typer.Argument(help="A file made by `unifmir export`.")],
    parent: Annotated[
        Path | None,
        typer.Option(help="The fp32 safetensors it was made from, if it lies elsewhere."),
    ] = None,
    trust: TrustOption = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Prove again that an artifact computes the same picture as its fp32 PyTorch parent."""
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.export.verification import verify as run

    trust_given(trust)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        # It moves from the first picture on; what is read before takes no known time.
        row = bar.add_task(output.bar_label(f"verifying {artifact.name}"), total=None)
        report = run(
            artifact,
            parent=parent,
            on_share=lambda share: bar.update(row, total=1.0, completed=share),
        )
    output.print_result(report.to_dict(), _case_table(report), as_json=as_json)
    if not report.passed:
        output.check_failed("\n  ".join([artifact.name, *report.failures]))


def _case_table(report: "Report") -> str:
    rows = []
    for case in report.results:
        c = case.comparison
        psnr = "exact" if c.identical else f"{c.psnr_db:.1f}"
        shape = "x".join(map(str, case.shape))
        verdict = "passed" if not case.failures else "failed"
        difference, slope = f"{c.max_abs_over_std:.1e}", f"{c.slope:.6f}"
        rows.append((case.source, shape, difference, psnr, slope, verdict))
    columns = ("input", "shape", "max diff / std", "unfitted PSNR, dB", "slope", "verdict")
    table = aligned(columns, rows)
    verdict = "passed" if report.passed else "failed"
    lines = [f"{table}\n", f"{report.artifact}: {verdict}, tolerance {report.tolerance}"]
    if report.weights_only:
        lines.append(
            f"{report.artifact} was not written here, so its program was not run: its weights "
            "were, in unifmir's own network. If you trust who made it, `unifmir trust` the file "
            "and verify it again"
        )
    return "\n".join(lines)
