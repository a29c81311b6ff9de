"""`unifmir doctor`: what this machine has, what would be used, what is missing, what is fastest."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unifmir.cli import output
from unifmir.cli.choices import TaskChoice

if TYPE_CHECKING:
    from unifmir.zoo.doctor.device_findings import DeviceFinding
    from unifmir.zoo.doctor.diagnose import Diagnosis, Speed

_NOT_MEASURED = (
    "not measured: never run where unifmir is developed; held against the CPU on first use"
)


def doctor(
    task: Annotated[
        TaskChoice | None,
        typer.Option(help="Time the runtimes for this task, for half a minute or so."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the runtimes; for sr if no task is named.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Say what this machine has, what each path would use, and what is missing or mismatched.

    Exits with 1 if no model can run here.
    """
    from rich.console import Console

    from unifmir.benchmarks.measure.speeds import with_speeds
    from unifmir.zoo.doctor.diagnose import diagnose

    wanted = task.value if task else ("sr" if measure else None)
    with Console(stderr=True).status("measuring" if wanted else "looking"):
        found = diagnose()
        if wanted is not None:
            found = with_speeds(found, wanted)
    output.print_result(found.to_dict(), _told(found), as_json=as_json)
    if not found.usable:
        output.check_failed("no model can run here; the rows above say what is missing")


def _told(found: "Diagnosis") -> str:
    parts = [
        _hardware(found),
        output.folded([", ".join(f"{name} {version}" for name, version in found.versions.items())]),
        "what restoring would use\n"
        + output.folded_table(
            ("for", "device", "runtime", "provider", "precisions"),
            [
                (one.source, one.device, one.runtime, one.provider, ", ".join(one.precisions))
                for one in found.routes
            ],
            folds=2,
        ),
        output.folded_table(
            ("device", "here", "measured", "runtimes that serve it"),
            [_device(one) for one in found.devices],
            folds=1,
        ),
        output.folded([_NOT_MEASURED]),
        output.folded_table(
            ("kind", "name", "state", "detail"),
            [(one.kind, one.name, one.state, one.detail) for one in found.findings],
            folds=1,
        ),
    ]
    if remedies := _remedies(found):
        parts.append(output.folded(["to do, where you need it:", *remedies]))
    if found.speeds:
        parts.append(_speeds(found))
    return "\n\n".join(parts)


def _remedies(found: "Diagnosis") -> list[str]:
    """Lines on what to do, each remedy once."""
    told = [
        *((one.names[0], f"needs {one.needs}") for one in found.devices if not one.here),
        *((one.name, one.remedy) for one in found.findings if one.remedy),
    ]
    names_of: dict[str, dict[str, None]] = {}
    for name, remedy in told:
        names_of.setdefault(" ".join(remedy.split()), {})[name] = None
    return [f"  {', '.join(names)}: {remedy}" for remedy, names in names_of.items()]


def _device(one: "DeviceFinding") -> tuple[str, ...]:
    here = ", ".join(one.hardware) or "yes" if one.here else "no"
    return ", ".join(one.names), here, "yes" if one.measured else "no", ", ".join(one.runtimes)


def _hardware(found: "Diagnosis") -> str:
    facts = found.hardware
    gib = 2**30
    rows = [
        ("processor", f"{facts['processor']}, {facts['usable_cores']} of {facts['cores']} cores"),
        ("instructions", " ".join(facts["instructions"]) or "not said by the system"),
        (
            "memory",
            f"{facts['memory_bytes'] / gib:.1f} GiB, {facts['available_bytes'] / gib:.1f} free",
        ),
        *(("GPU", f"{_gpu(gpu)}, driver {facts['driver']}") for gpu in facts["gpus"]),
        ("system", facts["system"]),
    ]
    if not facts["gpus"]:
        rows.append(("GPU", "none that NVIDIA's library knows"))
    return output.folded_facts(rows)


def _gpu(gpu: dict[str, Any]) -> str:
    memory = f"{gpu['memory_bytes'] / 2**30:.0f} GiB"
    return f"{gpu['name']}, {memory}, compute capability {gpu['compute_capability']}"


def _speeds(found: "Diagnosis") -> str:
    columns = ("device", "runtime", "precision", "ms", "times eager fp32", "same picture", "")
    table = output.folded_table(columns, [_speed(one) for one in found.speeds], folds=1)
    best = found.fastest
    verdict = ["nothing gave the same picture"]
    if best is not None:
        verdict = [f"fastest for {found.task}: {best.runtime} in {best.precision} on {best.device}"]
    if any(one.problems and one.median_ms is not None for one in found.speeds):
        verdict.append("~ rough: the machine was busy or unsteady; --json says how")
    return f"{table}\n\n{output.folded(verdict)}"


def _speed(one: "Speed") -> tuple[str, ...]:
    same = {True: "yes", False: "NO", None: "-"}[one.same_picture]
    return (
        one.device,
        one.runtime,
        one.precision,
        "-" if one.median_ms is None else f"{'~' if one.problems else ''}{one.median_ms:.1f}",
        "-" if one.ratio is None else f"{one.ratio:.2f}",
        same,
        "; ".join(one.problems) if one.median_ms is None or one.same_picture is False else "",
    )
