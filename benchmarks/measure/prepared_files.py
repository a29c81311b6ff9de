"""Files that workers load, made for the names in a plan: checkpoints and exported files."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from unifmir.atomic import writing
from unifmir.benchmarks.measure.model_spec import ModelSpec, read_recipe, save_recipe
from unifmir.benchmarks.plan.groups import ExportedFile, PreparedModel
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.checkpoint.saving import save
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.config import MultiTaskConfig
from unifmir.errors import BenchmarkError, ExportError, UnifmirError
from unifmir.export.base import ExportJob
from unifmir.export.cases import calibration_inputs, example
from unifmir.export.credit import Credit
from unifmir.export.formats import FORMATS
from unifmir.export.formats.onnx import DEFAULT_OPSET
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import RUNTIMES
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.precision.variants import VARIANTS, stored, stored_dtypes
from unifmir.reference import REFERENCES
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.load import (
    fresh_reference,
    load,
    load_model,
    trained_reference,
)

logger = logging.getLogger(__name__)

_FP32 = PrecisionRecipe("fp32")
"""Recipe of fp32: nothing stays apart, and nothing has to be settled."""


class PreparedFiles:
    """Files that are timed, each made once, in a folder that a resumed run finds again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._refused: dict[str, ExportError] = {}

    def models(self, name: str, tasks: Sequence[str]) -> list[PreparedModel]:
        """A model for each of the tasks that it has, of all tasks if none is named.

        Raises
        ------
        UnifmirError
            There is no such model, it cannot be had, or it has none of the tasks.
        """
        found = [self._saved(name, network) for network in _networks(name, tasks)]
        if not found:
            raise BenchmarkError(f"{name} is for none of the tasks asked for: {', '.join(tasks)}")
        return found

    def spec(self, model: PreparedModel, runtime: str, precision: str) -> ModelSpec:
        """Specification of what a worker loads to run a model in a runtime and a precision.

        Raises
        ------
        ExportError
            The precision is not the same picture as fp32.
        """
        row, wanted = RUNTIMES[runtime], Precision.parse(precision)
        row_format = row.format
        plan = None
        if precision != "fp32" and not row.own_arithmetic:
            plan = self._plan(model, precision)
        start = f"{model.file.stem}.{precision}"
        path = model.file
        if row_format is not None:
            path = self._once(
                start + FORMATS[row_format].suffix,
                lambda aside: self._export(model, row_format, precision, plan, aside),
            )
        elif plan is not None and wanted.variant == "stored":
            path = self._once(
                f"{start}.safetensors", lambda aside: self._rounded(model, plan, aside)
            )
        return ModelSpec(path, precision, model.task, plan)

    def _saved(self, name: str, network: Network) -> PreparedModel:
        digest = tensors_sha256(network.state_dict())
        short = Path(name).name
        slug = re.sub(r"[^A-Za-z0-9]+", "-", short)
        key = hashlib.sha256(f"{digest} {network.config.to_dict()}".encode()).hexdigest()[:12]
        path = self.folder / f"{slug}-{network.task}-{key}.safetensors"
        origin = save(network, path)
        certificate = network.certificate
        trained = certificate is not None and bool(certificate.parent.sha256)
        return PreparedModel(short, network.task, network.config, origin, path, trained)

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        """A file of the folder, made if it is not there: names hold the digest of the weights."""
        path = self.folder / name
        if not path.exists():
            logger.info("writing %s", name)
            with writing(path) as aside:
                make(aside)
                # What a format puts beside its file, such as an engine's passport, keeps to it.
                for beside in self.folder.glob(f"{aside.name}.*"):
                    beside.replace(path.with_name(beside.name.replace(aside.name, name, 1)))
        return path

    def _network(self, model: PreparedModel) -> Network:
        return load_file(model.file, task=model.task)

    def _plan(self, model: PreparedModel, precision: str) -> Path:
        """Which modules stay in fp32, settled once; refused once too, because that takes longer."""
        name = f"{model.file.stem}.{precision}.recipe.json"
        if name in self._refused:
            raise self._refused[name]
        try:
            return self._once(name, lambda aside: self._settle(model, precision, aside))
        except ExportError as error:
            self._refused[name] = error
            raise

    def _settle(self, model: PreparedModel, precision: str, path: Path) -> None:
        wanted = Precision.parse(precision)
        network = self._network(model)
        inputs = calibration_inputs(network.config, "network", [sample(model.task).image])
        plan = plan_precision(network, wanted.stored, inputs, variants=(wanted.variant,))
        if not plan.passed:
            raise ExportError(
                f"{model.name} in {precision} is not the same picture as in fp32: "
                + "; ".join(plan.failures[:3])
            )
        save_recipe(plan.recipe, path)

    def _rounded(self, model: PreparedModel, plan: Path, path: Path) -> None:
        """The checkpoint with weights in two bytes."""
        network, chosen = self._network(model), read_recipe(plan)
        save(stored(network, chosen), path, dtype=stored_dtypes(network, chosen))

    def _export(
        self, model: PreparedModel, format_name: str, precision: str, plan: Path | None, path: Path
    ) -> None:
        """One file of a format; that it is the same picture is seen on the timed image."""
        wanted = Precision.parse(precision)
        network = self._network(model)
        module, chosen = image_interface(network), _FP32
        if plan is not None:
            chosen = read_recipe(plan)
            module = VARIANTS[wanted.variant](module, chosen)
        job = ExportJob(
            network=network,
            module=module,
            example=example(network.config, "image"),
            lineage=lineage_of(network.config, "image", wanted, model.origin),
            recipe=chosen,
            opset=DEFAULT_OPSET,
            credit=Credit(),
        )
        try:
            FORMATS[format_name].write(job, path)
        except UnifmirError:
            raise
        except Exception as error:  # what tracing and its libraries raise shares no base
            raise ExportError(
                f"{model.name} cannot be written as {format_name} ({type(error).__name__}: {error})"
            ) from error


def _networks(name: str, tasks: Sequence[str]) -> Iterator[Network]:
    """A network for one task each; one after the other, because the full-size ones are large."""
    if name in REFERENCES and not Path(name).is_file():
        for task in REFERENCES[name].tasks:
            if not tasks or task in tasks:
                entry = trained_reference(name, task)
                network = load_model(entry.id) if entry else fresh_reference(name, task=task)
                yield prune(network, task)
        return
    network = load(name, task=tasks[0] if len(tasks) == 1 else None)
    if isinstance(network.config, MultiTaskConfig):
        for task in tasks or TASKS:
            yield prune(network, task)
    elif not tasks or network.task in tasks:
        # A copy, as `unifmir export` makes one: then its files name this checkpoint as parent.
        yield prune(network, network.task)


def exported_file(path: Path) -> ExportedFile:
    """A file of `unifmir export`, with what it says of itself.

    Raises
    ------
    BenchmarkError
        No runtime reads such files, or it takes no images.
    ExportError
        It is not one of ours.
    """
    formats = readable_formats()
    for name, suffix in formats.items():
        if path.name.endswith(suffix):
            lineage = FORMATS[name].lineage(path)
            if lineage.interface != "image":
                raise BenchmarkError(
                    f"{path.name} takes {lineage.interface} input; expected a file that takes "
                    "normalised images: export it with --interface image"
                )
            return ExportedFile(path, name, lineage, lineage.network_config)
    raise BenchmarkError(
        f"{path.name}: no runtime reads such a file; expected a name that ends in "
        f"{' or '.join(formats.values())}. Checkpoints are given as models"
    )


def readable_formats() -> dict[str, str]:
    """Export format -> suffix, of those that some runtime reads."""
    found = {row.format for row in RUNTIMES.values()}
    return {name: FORMATS[name].suffix for name in FORMATS if name in found}
