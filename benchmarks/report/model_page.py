"""Everything known of a model on one HTML page that needs no other file and no network."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.plan.workloads import image_sizes, input_shape
from unifmir.benchmarks.report.html_page import (
    heading,
    page,
    paragraph,
    picture,
    section,
    table,
)
from unifmir.benchmarks.report.tables.result_tables import footer, tables
from unifmir.checkpoint.pruning import prune
from unifmir.config import MultiTaskConfig, SingleConfig
from unifmir.cost.dispatcher import count_dispatched
from unifmir.cost.meta_device import meta_network
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.formats.bioimageio.cover import cover_png
from unifmir.export.formats.bioimageio.partners.recorded_checks import (
    RecordedChecks,
    read_checks,
)
from unifmir.export.recorded_report import RecordedReport, read_report
from unifmir.hashing import sha256_of
from unifmir.model import image_interface
from unifmir.samples import sample
from unifmir.tasks import TASKS, multitask_parts
from unifmir.training.training_record import read_training_record, record_path
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.publish.destinations import DESTINATIONS
from unifmir.zoo.publish.submission import read_submission
from unifmir.zoo.publish.submission import record_path as submission_path

if TYPE_CHECKING:
    from unifmir.networks.base import Network
    from unifmir.zoo.catalogue.schema import ZooEntry

COMMAND = "unifmir report"
"""Command that writes these pages."""
Row = tuple[str, ...]


def model_page(
    network: "Network",
    *,
    artifacts: Sequence[Path] = (),
    results: Results | None = None,
    pictures: bool = True,
) -> str:
    """Write everything known of a model as one HTML document.

    Parameters
    ----------
    network : Network
        From `unifmir.load`, with one task or all.
    artifacts : sequence of Path
        Files of `unifmir export`; the report beside each is shown, and held against the file. Of
        packages also what `unifmir zoo lint` and `unifmir publish` recorded beside them.
    results : Results, optional
        Of a benchmark; the rows of this model are shown.
    pictures : bool
        Run the network on the sample of each task. It takes seconds a task at the paper's size.

    Raises
    ------
    ExportError
        An artifact has no report beside it, or that of another file, or a record there is none.
    CheckpointError
        The training record beside a model of the user is none.
    ZooError
        The record of a submission beside a package is none, or somebody else's.
    BenchmarkError
        The results have no row of this model.
    """
    source = network.source
    entry = find(source.zoo_id) if source.zoo_id else None
    title = entry.title if entry else source.name
    sections = [
        section("Model", table((), _identity(network, entry))),
        *([_pictures(network)] if pictures else []),
        *_described(entry),
        *_packaged(network, entry),
        section("Cost", table(("task", "parameters", "input", "GFLOPs"), _costs(network))),
        *([section("Verification", _verified(artifacts))] if artifacts else []),
        *_published(artifacts),
        *([section("Benchmark", _measured(network, results))] if results else []),
        section("Configuration", table((), _flat(network.config.to_dict()))),
    ]
    return page(title, sections, command=COMMAND)


def _identity(network: "Network", entry: "ZooEntry | None") -> Iterator[Row]:
    source = network.source
    yield "name", source.name
    if source.sha256:
        yield "SHA-256", source.sha256
    if source.size_bytes:
        yield "bytes", f"{source.size_bytes:,}"
    yield "tasks", ", ".join(TASKS[name].title for name in _single(network))
    yield "parameters", f"{sum(one.numel() for one in network.parameters()):,}"
    if entry is None:
        return
    yield "id", f"{entry.id} {entry.version}"
    yield "dataset", entry.dataset
    yield "authors", ", ".join(entry.authors)
    yield "licence", entry.licence or "not stated"
    if entry.licence_note:
        yield "on the licence", entry.licence_note
    yield "cite", ", ".join(entry.cite)
    if entry.pixel_size_um:
        yield "pixel size of the training data", f"{entry.pixel_size_um} um"
    if entry.notes:
        yield "notes", entry.notes
    stated = entry.source.model_dump(mode="json", exclude_none=True)
    yield from _flat({name: _told(value) for name, value in stated.items()}, "source ")


def _described(entry: "ZooEntry | None") -> Iterator[str]:
    if entry is None:
        return
    columns = ("metric", "value", "dataset", "precision", "source")
    rows = [
        (m.metric, f"{m.value:g} {m.unit or ''}", m.dataset, m.precision or "", m.source)
        for m in entry.measured
    ]
    if rows:
        yield section("Evaluations", table(columns, rows))
    scaling = [
        (name, *_flat_values(part.model_dump())) for name, part in entry.normalisation.items()
    ]
    names = next(iter(entry.normalisation.values())).model_dump()
    yield section("Normalisation", table(("task", *names), scaling))


def _packaged(network: "Network", entry: "ZooEntry | None") -> Iterator[str]:
    """Statements of a package of the model, and its training as far as it was recorded."""
    if entry and (stated := entry.package) is not None:
        values = stated.model_dump(exclude={"cite"}, exclude_none=True)
        rows = [(name.replace("_", " "), _told(value)) for name, value in values.items() if value]
        rows += [("cite", f"{work.text} {work.doi}") for work in stated.cite]
        yield section("Package", table((), rows))
    record = entry.training if entry else None
    if entry is None and network.source.path:
        beside = record_path(network.source.path)
        record = read_training_record(beside) if beside.is_file() else None
    if record and (facts := record.in_words()):
        yield section("Training", table((), facts.items()))


def _costs(network: "Network") -> Iterator[Row]:
    for task, config in _single(network).items():
        module = image_interface(meta_network(config))
        _, size = next(image_sizes("patch", task))
        shape = input_shape(config, size)
        parameters = sum(one.numel() for one in module.parameters())
        flops = count_dispatched(module, shape).flops
        yield task, f"{parameters:,}", "x".join(map(str, shape)), f"{flops / 1e9:.6g}"


def _pictures(network: "Network") -> str:
    parts = []
    for task, config in _single(network).items():
        child = prune(network, task) if isinstance(network.config, MultiTaskConfig) else network
        taken = sample(task)
        png = cover_png(image_interface(child), config, taken.image)
        origin = f"{taken.file.name}. {taken.file.source}; {taken.file.licence}."
        words = f"Left the raw image, right the result, each at its own contrast. {origin}"
        parts += [
            heading(TASKS[task].title),
            picture(png, "before and after"),
            paragraph(words),
        ]
    return section("Pictures", "\n".join(parts))


def _verified(artifacts: Sequence[Path]) -> str:
    rows = []
    for path in artifacts:
        report = _report_of(path)
        worst = max((case.max_abs_over_std or 0.0 for case in report.cases), default=0.0)
        verdict = "passed" if report.passed else "failed"
        cases, parent = str(len(report.cases)), f"{report.parent.name}, {report.parent.sha256}"
        rows.append((path.name, verdict, cases, f"{worst:.1e}", report.sha256, parent))
    columns = ("file", "same picture", "comparisons", "max diff / std", "SHA-256", "made from")
    return table(columns, rows)


def _published(artifacts: Sequence[Path]) -> Iterator[str]:
    """Records of `unifmir zoo lint` and `unifmir publish` beside packages."""
    for path in artifacts:
        if (checks := read_checks(path)) is not None:
            yield section(f"Checks of {path.name}", _checked(path, checks))
        for destination in DESTINATIONS:
            record = read_submission(submission_path(path, destination))
            if record is not None:
                kept = ("destination", "server", "package_sha256", "state", "record", "link", "doi")
                rows = [(name.replace("_", " "), getattr(record, name)) for name in kept]
                rows += [("test of the server", _told(record.report.get("status", "")))]
                told = table((), [row for row in rows if row[1]])
                yield section(f"Submission of {path.name}", told)


def _checked(path: Path, checks: RecordedChecks) -> str:
    if checks.sha256 != sha256_of(path):
        return paragraph(
            "The checks beside it are of another file of this name: `unifmir zoo lint` runs them."
        )
    rows = [(one.name, one.outcome, one.detail) for one in checks.checks]
    shown = table(("check", "outcome", "detail"), rows)
    if checks.score is None:
        return shown
    score = checks.score.to_dict()
    parts = {name.replace("_", " "): _told(value) for name, value in score.items() if value}
    return shown + table((), parts.items(), caption="Expected score in the BioImage Model Zoo")


def _report_of(path: Path) -> RecordedReport:
    report = read_report(path) if path.is_file() else None
    if report is None:
        raise ExportError(
            f"{path.name}: expected a file of `unifmir export` with its report beside it; "
            "`unifmir export` writes both"
        )
    found = sha256_of(path)
    if report.sha256 != found:
        raise ExportError(
            f"{path.name} is not the file that its report is of: SHA-256 {found}, the report has "
            f"{report.sha256}; export it again"
        )
    return report


def _measured(network: "Network", results: Results) -> str:
    known = {network.source.name, network.source.zoo_id}
    parts = []
    for task in _single(network):
        for view in ("latency", "cost", "quality"):
            for shown_table in tables(results, view, task=task):
                place = shown_table.columns.index("model")
                rows = [row for row in shown_table.rows if row[place] in known]
                if rows:
                    parts.append(table(shown_table.columns, rows, caption=shown_table.title))
                    # The marks in the cells refer to them, and say which times are not trusted.
                    parts += [paragraph(note) for note in shown_table.notes]
    if not parts:
        models = sorted({row.subject.model for row in results.rows})
        raise BenchmarkError(
            f"the results have no row of {network.source.name}, but of {', '.join(models)}: give "
            "those of `unifmir benchmark --model` with this model"
        )
    return "\n".join([*parts, paragraph(footer(results))])


def _single(network: "Network") -> dict[str, SingleConfig]:
    config: Any = network.config
    if isinstance(config, MultiTaskConfig):
        return {task: config.single(task) for task in multitask_parts()}
    return {config.task: config}


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[Row]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, *_flat_values({name: value})


def _told(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _flat_values(values: Mapping[str, Any]) -> Row:
    return tuple("" if value is None else str(value) for value in values.values())
