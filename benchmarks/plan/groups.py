"""Groups of subjects that are compared: those of a plan that read the same image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unifmir.benchmarks.plan.benchmark_plan import USUAL_RUNTIMES, BenchmarkPlan
from unifmir.benchmarks.plan.subject import Subject
from unifmir.benchmarks.plan.workloads import (
    BATCH,
    image_shape,
    image_sizes,
    input_shape,
)
from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.errors import BenchmarkError
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes import RUNTIMES
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS
from unifmir.tasks.base import BATCHED, Size


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """One model for one task, saved where workers find it."""

    name: str
    """Name of its subjects."""
    task: str
    config: SingleConfig
    origin: Provenance
    """Provenance of `file`; its digest is the parent's in exported files."""
    file: Path
    """The fp32 checkpoint in the work folder."""
    trained: bool
    """Whether the weights come from a file; those of a reference model only if the zoo has some."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that the user gave."""

    path: Path
    format: str
    lineage: Lineage
    config: SingleConfig

    @property
    def precision(self) -> str:
        """Precision of the file, as a subject's."""
        return str(Precision.of_variant(self.lineage.precision, self.lineage.variant))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject, and what it is made of."""

    subject: Subject
    config: SingleConfig
    model: PreparedModel | None = None
    file: ExportedFile | None = None

    @property
    def fresh(self) -> bool:
        """Whether the weights are a reference model's untrained ones."""
        return self.model is not None and not self.model.trained


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects that read the same image, timed in turn."""

    task: str
    workload: str
    image_shape: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    baseline: str
    """Key of the subject that the others are compared with."""

    @property
    def title(self) -> str:
        """Task, workload and size, for people."""
        return f"{self.task} {self.workload} {'x'.join(map(str, self.image_shape))}"


def groups_of(
    plan: BenchmarkPlan, models: Sequence[PreparedModel], files: Sequence[ExportedFile]
) -> tuple[list[Group], list[str]]:
    """The groups of a settled plan, and a sentence for each combination that no runtime has.

    Raises
    ------
    BenchmarkError
        Nothing is left, a file is for another task than those asked for, the baseline is not
        among the subjects, or two of them cannot be told apart.
    """
    _check_tasks(plan, files)
    left_out = dict.fromkeys(_missing(plan))
    members: dict[tuple[str, str, tuple[int, ...]], list[Candidate]] = {}
    tasks = [task for task in TASKS if any(task == m.task for m in models)]
    tasks += [f.lineage.task for f in files if f.lineage.task not in tasks]
    for task in dict.fromkeys(tasks):
        for workload in plan.workloads or ():
            for name, size in image_sizes(workload, task):
                for candidate in _candidates(plan, task, name, size, models, files, left_out):
                    shape = image_shape(task, candidate.subject.input_shape)
                    members.setdefault((task, name, shape), []).append(candidate)
    if not members:
        raise BenchmarkError(f"nothing is left to benchmark: {'; '.join(left_out)}")
    every = [candidate for found in members.values() for candidate in found]
    if plan.baseline and not any(_is_wanted(plan, candidate) for candidate in every):
        raise BenchmarkError(_no_baseline(plan, every))
    groups = [Group(*key, tuple(found), baseline_of(plan, found)) for key, found in members.items()]
    _check_distinct(groups)
    return groups, list(left_out)


def baseline_of(plan: BenchmarkPlan, candidates: Sequence[Candidate]) -> str:
    """Key of the wanted baseline, else of the first model in fp32 eager, else of the first."""
    for candidate in candidates:
        if _is_wanted(plan, candidate):
            return candidate.subject.key
    for candidate in candidates:
        if candidate.subject.runtime == "eager" and candidate.subject.precision == "fp32":
            return candidate.subject.key
    return candidates[0].subject.key


def _names(candidate: Candidate) -> list[str]:
    s = candidate.subject
    return [s.model, s.runtime, s.precision]


def _is_wanted(plan: BenchmarkPlan, candidate: Candidate) -> bool:
    wanted = plan.baseline.split("/")
    return _names(candidate)[: len(wanted)] == wanted


def _no_baseline(plan: BenchmarkPlan, candidates: Iterable[Candidate]) -> str:
    known = dict.fromkeys("/".join(_names(candidate)) for candidate in candidates)
    return (
        f"nothing of this plan is the baseline {plan.baseline!r}: expected MODEL, MODEL/RUNTIME or "
        f"MODEL/RUNTIME/PRECISION of {', '.join(known)}"
    )


def _candidates(
    plan: BenchmarkPlan,
    task: str,
    workload: str,
    size: Size,
    models: Sequence[PreparedModel],
    files: Sequence[ExportedFile],
    left_out: dict[str, None],
) -> Iterator[Candidate]:
    for model in models:
        for runtime, precision in _ways(plan, model, left_out) if model.task == task else ():
            subject = _subject(plan, model.name, model.config, runtime, precision, workload, size)
            yield Candidate(subject, model.config, model=model)
    for file in files:
        for runtime in _runtimes(plan, file) if file.lineage.task == task else ():
            subject = _subject(
                plan, file.path.name, file.config, runtime, file.precision, workload, size
            )
            yield Candidate(subject, file.config, file=file)


def _missing(plan: BenchmarkPlan) -> Iterator[str]:
    """Sentences on the usual runtimes that are not here, where none was named."""
    for name in USUAL_RUNTIMES if plan.reference_runtimes else ():
        if name not in plan.runtimes:
            yield f"{name} is not here (`unifmir doctor`)"


def _ways(
    plan: BenchmarkPlan, model: PreparedModel, left_out: dict[str, None]
) -> Iterator[tuple[str, str]]:
    """Runtime and precision of each of a model's subjects."""
    by_name = not plan.reference_runtimes
    named_only = model.name in REFERENCES and not by_name
    for runtime in plan.reference_runtimes if named_only else plan.runtimes:
        row = RUNTIMES[runtime]
        able = row.precisions(plan.device)
        if row.own_arithmetic and isinstance(model.config, ReferenceConfig) and not by_name:
            # Its kernels are for Swin blocks: who asks for it is told so in a row.
            left_out[f"{runtime} has nothing to compute in {model.name}"] = None
            continue
        own = [str(one) for one in able] if row.own_arithmetic else []
        for precision in plan.precisions or own or ("fp32",):
            if Precision.parse(precision) in able:
                yield runtime, precision
            else:
                left_out[f"{runtime} has no {precision} on {plan.device}"] = None


def _runtimes(plan: BenchmarkPlan, file: ExportedFile) -> list[str]:
    """Runtimes of the plan that read the file; where there is none, the first of its format."""
    own = [name for name in RUNTIMES if RUNTIMES[name].format == file.format]
    able = [name for name in RUNTIMES if file.format in RUNTIMES[name].also_reads] + own
    return [name for name in plan.runtimes if name in able] or own[:1]


def _subject(
    plan: BenchmarkPlan,
    name: str,
    config: SingleConfig,
    runtime: str,
    precision: str,
    workload: str,
    size: Size,
) -> Subject:
    shape = input_shape(config, size, images=BATCH if workload == BATCHED else 1)
    return Subject(name, config.task, runtime, precision, plan.device, workload, shape)


def _check_tasks(plan: BenchmarkPlan, files: Sequence[ExportedFile]) -> None:
    for file in files:
        if plan.tasks and file.lineage.task not in plan.tasks:
            raise BenchmarkError(
                f"{file.path.name} is for {file.lineage.task}, and for none of the tasks asked "
                f"for: {', '.join(plan.tasks)}"
            )


def _check_distinct(groups: Sequence[Group]) -> None:
    seen: set[str] = set()
    for group in groups:
        for candidate in group.candidates:
            key = candidate.subject.key
            if key in seen:
                raise BenchmarkError(
                    f"two subjects are both {key}: files are told apart by their names; rename one"
                )
            seen.add(key)
