"""Facts that a package lacks, by how much each would raise the score that the zoo gives it.

Each is put into a copy of the description as somebody might state it, and the copy is scored by the
library's own rule: what is printed is a difference of two computed figures.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from unifmir.export.formats.bioimageio.rdf import training_fields
from unifmir.export.formats.bioimageio.testing import quiet_library, trusted_github_users
from unifmir.json_values import JsonOutput
from unifmir.training.training_record import TrainingRecord

_SHARE = 0.25
"""Weight of the completeness in the score."""
_USER = "example"
_PERSON = [{"name": "Example"}]
_RECORD = TrainingRecord(
    optimizer="Adam",
    optimizer_settings={"betas": [0.9, 0.999]},
    learning_rate=1e-3,
    learning_rate_schedule="constant",
    loss="L1",
    epochs=1.0,
    batch_size=1,
    preprocessing="normalised",
    regularization="none",
    hours=1.0,
    hardware="a GPU",
    memory="1 GB",
)
"""Facts that a whole record states; the values never leave this module."""
_EVALUATION = {
    "dataset_id": "images",
    "dataset_source": "https://example.org",
    "dataset_role": "test",
    "sample_count": 1,
    "evaluation_factors": ["overall"],
    "evaluation_factors_long": ["overall"],
    "metrics": ["PSNR"],
    "metrics_long": ["PSNR"],
    "results": [[1.0]],
}
_CONFIG = ("config", "bioimageio")

Place = tuple[str, ...]
_CANDIDATES: tuple[tuple[str, str, Mapping[Place, Any]], ...] = (
    (
        "how the weights were trained",
        "--training-record FILE",
        {(*_CONFIG, name): value for name, value in training_fields(_RECORD).items()},
    ),
    (
        "authors of the weights",
        "--author PERSON",
        {("authors",): _PERSON, ("weights", "pytorch_state_dict", "authors"): _PERSON},
    ),
    (
        "who made the package",
        "--packaged-by PERSON",
        {
            ("packaged_by",): _PERSON,
            ("weights", "onnx", "authors"): _PERSON,
            ("weights", "torchscript", "authors"): _PERSON,
        },
    ),
    (
        "who answers for the package",
        "--maintainer GITHUB_USER",
        {("maintainers",): [{"github_user": _USER}]},
    ),
    ("the licence of the weights", "--licence SPDX", {("license",): "CC0-1.0"}),
    ("the repository", "--repository ADDRESS", {("git_repo",): "https://example.org"}),
    ("who funded the training", "--funded-by TEXT", {(*_CONFIG, "funded_by"): "a fund"}),
    (
        "the time and memory that it takes",
        "--benchmark FILE",
        {
            (*_CONFIG, "inference_time"): "1 ms",
            (*_CONFIG, "memory_requirements_inference"): "1 MB",
        },
    ),
    (
        "how good the pictures are",
        "--evaluation FILE with --repository ADDRESS",
        {(*_CONFIG, "evaluations"): [_EVALUATION]},
    ),
)


@dataclass(frozen=True, slots=True)
class MissingFact(JsonOutput):
    """A fact that a package lacks."""

    fact: str
    option: str
    """Option of `unifmir export` that states it."""
    gain: float
    """Amount that it would add to the expected score."""


def missing_facts(description: Mapping[str, Any]) -> tuple[MissingFact, ...]:
    """Facts that would raise the score of a package, the most valuable first.

    Of a fact that is stated in part, what is missing is named.

    Parameters
    ----------
    description : mapping
        Content of rdf.yaml.
    """
    own = completeness(description)
    found = []
    for fact, option, values in _CANDIDATES:
        fuller = deepcopy(dict(description))
        missing, stated = _complete(fuller, values)
        gain = round(_SHARE * (completeness(fuller) - own), 4) if missing else 0.0
        if gain > 0:
            told = f"{fact} ({', '.join(missing)})" if stated else fact
            found.append(MissingFact(told, option, gain))
    return tuple(sorted(found, key=lambda one: -one.gain))


def completeness(description: Mapping[str, Any]) -> float:
    """Share of all keys that are set, by the library's rule, which is the zoo's; 0 to 1."""
    from bioimageio.spec import InvalidDescr, ValidationContext, build_description

    context = ValidationContext(perform_io_checks=False)
    with trusted_github_users([_USER]), quiet_library():
        built = build_description(deepcopy(dict(description)), context=context)
    if isinstance(built, InvalidDescr):
        return 0.0
    return float(built.validation_summary.metadata_completeness)


def _complete(
    description: dict[str, Any], values: Mapping[Place, Any]
) -> tuple[list[str], list[str]]:
    """Fill in values where there are none; names of what was missing, and of what was there."""
    missing: list[str] = []
    stated: list[str] = []
    for (*folders, name), value in values.items():
        parent = description
        for folder in folders:
            parent = parent.get(folder, {})
        own = parent.get(name)
        place = ".".join((*folders, name)).removeprefix(".".join(_CONFIG) + ".")
        if own and isinstance(value, dict):
            missing += (key for key in value if key not in own)
            stated += (key for key in value if key in own)
            parent[name] = {**deepcopy(value), **own}
        elif own:
            stated.append(place)
        else:
            missing.append(place)
            parent[name] = deepcopy(value)
    return missing, stated
