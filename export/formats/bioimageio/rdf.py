"""The resource description: built with bioimageio.spec's classes, written in the older dialect.

Fields from format 0.5.11 on (`documentation` and `covers` as objects) cannot be read by
bioimageio.core up to 0.10.4, ilastik, deepImageJ and QuPath, and no released library writes the
earlier form: `portable` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.export.credit import Citation, Person, checked_licence
from unifmir.export.formats.bioimageio.architecture import FILE_NAME, Bundle
from unifmir.export.formats.bioimageio.card import ModelCard, QuantitativeEvaluation
from unifmir.export.formats.bioimageio.package_axes import PackageAxes, SpaceAxis
from unifmir.export.formats.bioimageio.testing import quiet_library
from unifmir.export.runtimes.onnx_graph import FIJI_OPSET
from unifmir.hashing import sha256_of
from unifmir.model import title_of
from unifmir.tasks import TASKS
from unifmir.tasks.base import TruthScaling
from unifmir.training.training_record import TrainingRecord

PORTABLE_FORMAT = "0.5.7"
"""The last format before the break that the zoo already holds models of."""
PYTORCH_VERSION = "2.5.1"
"""The version that the zoo can build, not the one the files were made with: its CI makes a conda
environment with exactly this version and the torchvision that goes with it, which is known up to
2.9.1; 2.5.1 is what BioEngine runs. The architecture needs nothing newer, and a trace made by
2.13 loads in 2.0."""
INPUT_ID, OUTPUT_ID = "raw", "restored"
FILES = {
    "readme": "README.md",
    "cover": "cover.png",
    "pytorch_state_dict": "weights.pt",
    "torchscript": "weights.torchscript.pt",
    "onnx": "weights.onnx",
    "test_input": "test_input.npy",
    "test_output": "test_output.npy",
    "sample_input": "sample_input.tif",
    "sample_output": "sample_output.tif",
    "verification": "verification.json",
}
RDF = "rdf.yaml"
_UNITS: Mapping[TruthScaling, str] = {
    "own": "Restored image in normalised units.",
    "shared": (
        "Restored image in units of the normalised input: times (p_high - p_low), plus p_low, it "
        "has the raw intensities."
    ),
}
"""Description of the output, by how the network's truths were scaled: 128 characters at most."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a description, besides the files in the folder."""

    config: SingleConfig
    card: ModelCard
    axes: PackageAxes
    architecture: Bundle
    parameter_count: int
    evaluations: tuple[QuantitativeEvaluation, ...]
    inference_time: str
    """Empty where it was not measured; so is `memory`."""
    memory: str
    tolerance: dict[str, float]
    """Entry of `reproducibility_tolerance`."""
    provenance: dict[str, Any]
    """Section `config.unifmir`: parent, configuration, halo, verification; JSON values."""


def describe(contents: Contents, folder: Path) -> dict[str, Any]:
    """Description of a package as YAML values in the portable dialect.

    Parameters
    ----------
    contents : Contents
    folder : Path
        Holds every file of the package; the library reads and hashes them.
    """
    # Here, as it takes as long to import as torch, and running a file needs none of it.
    from bioimageio.spec import ValidationContext, dump_description
    from bioimageio.spec.model import v0_5 as spec

    # Reading the files is left to the test on the finished zip, where a wrong hash must show. What
    # the library would log of missing people, the lint says with the option to give.
    context = ValidationContext(root=folder, file_name=RDF, perform_io_checks=False)
    with quiet_library(), context:
        description = spec.ModelDescr(**_fields(contents, folder))
        return portable(dump_description(description, exclude_unset=True))


def portable(content: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped description down-levelled to format 0.5.7 with plain strings."""
    plain = dict(content)
    plain["format_version"] = PORTABLE_FORMAT
    plain["documentation"] = _source(plain["documentation"])
    plain["covers"] = [_source(cover) for cover in plain["covers"]]
    # The library adds a cast to float32 before and after, here and again whenever it loads a
    # description; consumers that count the operations (BiaPy takes one) need not see them.
    plain["inputs"] = [_without_casts(tensor) for tensor in plain["inputs"]]
    plain["outputs"] = [_without_casts(tensor) for tensor in plain["outputs"]]
    return plain


def _without_casts(tensor: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(tensor)
    for steps in ("preprocessing", "postprocessing"):
        remaining = [step for step in kept.pop(steps, []) if step["id"] != "ensure_dtype"]
        if remaining:
            kept[steps] = remaining
    return kept


def _source(file: Any) -> str:
    return str(file["source"] if isinstance(file, Mapping) else file)


def _fields(contents: Contents, folder: Path) -> dict[str, Any]:
    card = contents.card
    fields: dict[str, Any] = {
        "name": card.name,
        "description": card.description,
        **_people("authors", card.authors),
        **_people("packaged_by", card.packaged_by),
        **_people("maintainers", card.maintainers),
        "cite": [_stated(citation) for citation in card.cite],
        **({"license": checked_licence(card.licence)} if card.licence else {}),
        "tags": list(dict.fromkeys(card.tags)),
        "version": card.version,
        "timestamp": card.timestamp,
        "id_emoji": card.emoji,
        "icon": card.emoji,
        "documentation": _file(folder, FILES["readme"]),
        "covers": [_file(folder, FILES["cover"])],
        "attachments": [_file(folder, FILES["verification"])],
        "links": ["ilastik/ilastik"],
        "inputs": [_input(contents, folder)],
        "outputs": [_output(contents, folder)],
        "weights": _weights(contents, folder),
        "config": {"bioimageio": _config(contents), "unifmir": contents.provenance},
    }
    if card.git_repo:
        fields["git_repo"] = card.git_repo
    if card.derived_from:
        fields["parent"] = {"id": card.derived_from}
    return fields


def _file(folder: Path, name: str) -> dict[str, str]:
    return {"source": name, "sha256": sha256_of(folder / name)}


def _stated(value: Person | Citation | QuantitativeEvaluation) -> dict[str, Any]:
    """The fields that are not empty."""
    return {key: told for key, told in asdict(value).items() if told}


def declared_tensors(
    config: SingleConfig, axes: PackageAxes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of input and output that follow from the network, without words and files."""
    given = {
        "id": INPUT_ID,
        "axes": _axes("intensity", [_input_axis(axis) for axis in axes.inputs]),
        "data": {"type": "float32", "unit": "arbitrary unit"},
    }
    if steps := _preprocessing(config, axes):
        given["preprocessing"] = steps
    made = {
        "id": OUTPUT_ID,
        "axes": _axes("restored", [_output_axis(axis) for axis in axes.outputs]),
        "data": {"type": "float32", "unit": "arbitrary unit"},
    }
    return given, made


def _axes(channel: str, spatial: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "batch"}, _channel(channel), *spatial]


def _input(contents: Contents, folder: Path) -> dict[str, Any]:
    return {
        **declared_tensors(contents.config, contents.axes)[0],
        "description": "Raw intensities of one channel, as acquired.",
        "optional": False,
        "test_tensor": _file(folder, FILES["test_input"]),
        "sample_tensor": _file(folder, FILES["sample_input"]),
    }


def _output(contents: Contents, folder: Path) -> dict[str, Any]:
    return {
        **declared_tensors(contents.config, contents.axes)[1],
        "description": _UNITS[contents.config.intensities],
        "test_tensor": _file(folder, FILES["test_output"]),
        "sample_tensor": _file(folder, FILES["sample_output"]),
    }


def _channel(name: str) -> dict[str, Any]:
    # On both sides: without it core 0.11 cannot predict blockwise.
    return {"type": "channel", "id": "channel", "channel_names": [name]}


def _input_axis(axis: SpaceAxis) -> dict[str, Any]:
    size: Any = axis.fixed or {"min": axis.minimum, "step": axis.step}
    return {"type": "space", "id": axis.id, "size": size, "scale": axis.scale}


def _output_axis(axis: SpaceAxis) -> dict[str, Any]:
    plain = {"type": "space", "id": axis.id, "scale": axis.scale}
    if axis.fixed:
        return {**plain, "size": axis.fixed}
    reference = {"tensor_id": INPUT_ID, "axis_id": axis.id, "offset": 0}
    return {**plain, "size": reference, **({"halo": axis.halo} if axis.halo else {})}


def _preprocessing(config: SingleConfig, axes: PackageAxes) -> list[dict[str, Any]]:
    """The task's normalisation as declared operations, over all axes but the batch.

    A light field's is inside the network: `scale_range` would subtract the minimum, which the
    official inference does not. Clipping to [0, 1] after the 0 and 100 percentiles could change
    nothing and is left out, because BiaPy takes one operation at most.
    """
    normalization = config.normalization
    if normalization.method != "percentile":
        return []
    percentiles = (normalization.low_percent, normalization.high_percent)
    kwargs = {
        "axes": ["channel", *(axis.id for axis in axes.inputs)],
        "min_percentile": percentiles[0],
        "max_percentile": percentiles[1],
        "eps": 1e-6,
    }
    operations: list[dict[str, Any]] = [{"id": "scale_range", "kwargs": kwargs}]
    if normalization.clip and percentiles != (0.0, 100.0):
        operations.append({"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}})
    return operations


def _people(field: str, people: Sequence[Person]) -> dict[str, Any]:
    """A field that is left out where nobody is named."""
    return {field: [_stated(person) for person in people]} if people else {}


def _weights(contents: Contents, folder: Path) -> dict[str, Any]:
    card, bundle = contents.card, contents.architecture
    derived = {"parent": "pytorch_state_dict", **_people("authors", card.packaged_by)}
    return {
        "pytorch_state_dict": {
            **_file(folder, FILES["pytorch_state_dict"]),
            **_people("authors", card.authors),
            "architecture": {
                **_file(folder, FILE_NAME),
                "callable": bundle.callable,
                "kwargs": bundle.kwargs,
            },
            "pytorch_version": PYTORCH_VERSION,
            "comment": "Pure tensors; read with weights_only=True.",
        },
        "torchscript": {
            **_file(folder, FILES["torchscript"]),
            **derived,
            "pytorch_version": PYTORCH_VERSION,
            "comment": "Traced, with free batch and image sizes.",
        },
        "onnx": {
            **_file(folder, FILES["onnx"]),
            **derived,
            "opset_version": FIJI_OPSET,
            "comment": "IR 8, float32 in and out, one file, free batch and image sizes.",
        },
    }


def _config(contents: Contents) -> dict[str, Any]:
    card = contents.card
    reference = isinstance(contents.config, ReferenceConfig)
    values: dict[str, Any] = {
        "architecture_type": "Convolutional network" if reference else "Swin transformer",
        "architecture_description": (
            f"{title_of(contents.config)}, {contents.architecture.callable} in "
            f"{FILE_NAME}; all hyper-parameters are its keyword arguments."
        ),
        "modality": card.modality,
        "task": TASKS[contents.config.task].title.lower(),
        "out_of_scope_use": card.out_of_scope,
        "bias_risks_limitations": {
            "known_biases": "Structures, labels and microscopes that the training data lack.",
            "risks": "Restored images look convincing where they are wrong.",
            "limitations": card.limitations,
            "recommendations": "Restore images whose truth you know before trusting others.",
        },
        "model_parameter_count": contents.parameter_count,
        "reproducibility_tolerance": [contents.tolerance],
    }
    optional = {
        "inference_time": contents.inference_time,
        "memory_requirements_inference": contents.memory,
        "evaluations": [_stated(row) for row in contents.evaluations],
        "funded_by": card.funded_by,
        "target_structure": list(card.target_structure),
        **(training_fields(card.training) if card.training else {}),
    }
    return {**values, **{key: value for key, value in optional.items() if value}}


def training_fields(record: TrainingRecord) -> dict[str, Any]:
    """Fields of `config.bioimageio` on a training, each left out where its fact is not known."""
    known = record.stated()
    names = {
        "training_preprocessing": "preprocessing",
        "training_epochs": "epochs",
        "training_batch_size": "batch_size",
        "initial_learning_rate": "learning_rate",
        "learning_rate_schedule": "learning_rate_schedule",
        "loss_function": "loss",
        "loss_function_kwargs": "loss_settings",
        "optimizer": "optimizer",
        "optimizer_kwargs": "optimizer_settings",
        "regularization": "regularization",
        "training_duration": "hours",
    }
    impact = {"hardware_type": "hardware", "hours_used": "hours"}
    return {
        "training": {field: known[name] for field, name in names.items() if name in known},
        "environmental_impact": {
            field: known[name] for field, name in impact.items() if name in known
        },
        "memory_requirements_training": record.memory,
    }
