"""Schema of a zoo entry: one JSON file a model, checked when it is read.

`schema/v1.json` is the same as JSON Schema, for editors and other programs; a test holds
that it is. A change that old entries or old readers cannot follow is `schema_version` 2.
"""

import json
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unifmir.config import ModelConfig, MultiTaskConfig, config_from_dict
from unifmir.errors import CheckpointError, UnifmirError, ZooError
from unifmir.export.credit import parse_maintainer, parse_person
from unifmir.hashing import SHA256_PATTERN
from unifmir.json_values import plain
from unifmir.plain_text_values import parse_json
from unifmir.tasks import TASKS, multitask_parts
from unifmir.training.training_record import TrainingRecord

MAX_ENTRY_BYTES = 1_000_000
"""Limit of an entry, which has about 5,000: a checkpoint given by mistake is not read as text."""
MULTITASK = "multitask"
"""`task` of an entry whose network has every task."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Sha256 = Annotated[str, Field(pattern=f"^{SHA256_PATTERN}$")]
Doi = Annotated[str, Field(pattern=r"^10\.\d{4,9}/\S+$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=128)]
Text = Annotated[str, Field(min_length=1)]


class EntryPart(BaseModel):
    """Base of everything in an entry: no unknown fields, no silent conversions, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StoredFile(EntryPart):
    """Facts on the file itself; null until somebody had it in hands."""

    sha256: Sha256 | None = None
    """Hash of the file that is loaded: of the member, where the download is an archive."""
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    note: str | None = None
    """Reason why something is null, or what to know before getting the file."""


class ZenodoSource(StoredFile):
    """A file of a Zenodo record."""

    kind: Literal["zenodo"]
    doi: Doi
    record: Annotated[int, Field(gt=0)]
    patterns: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Shell patterns of the file's name, the preferred first."""


class UrlSource(StoredFile):
    """A file at an address."""

    kind: Literal["url"]
    url: Url


class EmbeddedSource(StoredFile):
    """A file inside the unifmir package."""

    kind: Literal["embedded"]
    filename: FileName
    """Name in `unifmir/zoo/catalogue/weights/`."""


class FileSource(StoredFile):
    """A file that the user gives with `unifmir zoo add`."""

    kind: Literal["file"]
    filename: FileName | None = None


EntrySource = Annotated[
    ZenodoSource | UrlSource | EmbeddedSource | FileSource, Field(discriminator="kind")
]


class Normalisation(EntryPart):
    """How images are normalised for a task: the same fields as in `unifmir.tasks`."""

    method: Literal["percentile", "light_field"]
    low_percent: float
    high_percent: float
    clip: bool
    invertible: bool
    source: str


class Measurement(EntryPart):
    """One number, and where it is printed or how it was made."""

    metric: Text
    value: float
    unit: str | None
    """Null for a number without one, such as SSIM."""
    dataset: Text
    precision: Literal["float32", "float16", "bfloat16"] | None
    source: Text


class EntryCitation(EntryPart):
    """A work that a package of the model cites besides the task's own."""

    text: Text
    doi: Doi


class PackageStatements(EntryPart):
    """Statements of a package made of the model, where they are not those of its task."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+() -]{5,64}$")]
    description: Annotated[str, Field(min_length=50, max_length=512)]
    target_structure: tuple[Text, ...]
    """Biological structures in the training data."""
    modality: Text
    settings: Text
    """Recommended settings: which images to give, and how."""
    cite: tuple[EntryCitation, ...]
    git_repo: Url | None
    """Repository that the model was developed in."""
    funded_by: Text | None
    derived_from: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)+$")] | None
    """Id in the BioImage Model Zoo of the package that holds the same weights."""


class ZooEntry(EntryPart):
    """One model of the zoo."""

    schema_version: Literal[1]
    id: Identifier
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    """Version of the entry, not of the weights."""
    task: str
    """Name of a task, or "multitask"."""
    title: Text
    dataset: Text
    source: EntrySource
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")] | None
    """SPDX identifier of the weights' licence."""
    licence_note: str | None
    """Statement of the licence and where it stands, or why it is null."""
    authors: Annotated[tuple[Text, ...], Field(min_length=1)]
    cite: tuple[Doi | Url, ...]
    """DOIs or addresses, the first one first."""
    configuration: dict[str, Any] | None
    """Configuration of the network (unifmir/config.py), which a file of the model must have; null
    where neither a file nor a fact of it is known."""
    parameters: Annotated[int, Field(gt=0)] | None
    """Trainable values that the network reads; null with the configuration."""
    normalisation: dict[str, Normalisation]
    """Normalisation by task; it must be what unifmir does."""
    pixel_size_um: tuple[float, ...] | None
    """Pixel size of the training data, in the order of the input axes; null where not stated."""
    measured: tuple[Measurement, ...]
    training: TrainingRecord | None
    """Facts of the training; null where nothing is known."""
    notes: str
    """Sentences for people; empty where there is nothing more to say."""
    maintainers: tuple[Text, ...] = ()
    """People who answer for packages of the model, each as `--maintainer` takes one."""
    packaged_by: tuple[Text, ...] = ()
    """Makers of packages of the model, each as `--packaged-by` takes one."""
    package: PackageStatements | None = None
    """Statements of a package; null: what the other fields say, and the task's."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks the network has."""
        return tuple(multitask_parts()) if self.task == MULTITASK else (self.task,)

    @property
    def only_task(self) -> str | None:
        """The one task that a file of the model is read for; None: it has every task."""
        return None if self.task == MULTITASK else self.task

    @property
    def config(self) -> ModelConfig | None:
        """`configuration` as the network's own type."""
        if self.configuration is None:
            return None
        return config_from_dict(self.configuration)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        # Pydantic reports ValueError as one line of its list; UnknownNameError is none.
        if self.task not in (*TASKS, MULTITASK):
            raise ValueError(f"unknown task {self.task!r}; known: {', '.join(TASKS)}, {MULTITASK}")
        if (self.configuration is None) != (self.parameters is None):
            raise ValueError("configuration and parameters are known together, or null together")
        if self.licence is None and not self.licence_note:
            raise ValueError("licence is null: say why in licence_note")
        try:
            config = self.config
        except (UnifmirError, TypeError) as error:
            raise ValueError(f"configuration of no network: {error}") from error
        task = MULTITASK if isinstance(config, MultiTaskConfig) else config and config.task
        expected = normalisation_of(self.task, config if task == self.task else None)
        if self.normalisation != expected:
            raise ValueError(
                "normalisation is not what unifmir does for this task; expected "
                + json.dumps({name: part.model_dump() for name, part in expected.items()})
            )
        if task not in (None, self.task):
            raise ValueError(f"task is {self.task!r}, but the configuration's {task!r}")
        return self

    @model_validator(mode="after")
    def _states_what_packages_take(self) -> Self:
        axes = TASKS[self.task].input_axes if self.task in TASKS else ""
        if self.pixel_size_um is not None and len(self.pixel_size_um) != len(axes):
            raise ValueError(
                f"pixel_size_um has {len(self.pixel_size_um)} sizes; expected one for each of the "
                f"input's axes {axes!r}, or null"
            )
        try:
            for text in self.packaged_by:
                parse_person(text)
            for text in self.maintainers:
                parse_maintainer(text)
        except UnifmirError as error:
            raise ValueError(f"maintainers or packaged_by: {error}") from error
        return self


def normalisation_of(task: str, config: ModelConfig | None) -> dict[str, Normalisation]:
    """The field `normalisation` of an entry for `task`: the network's, where that is known."""
    names = multitask_parts() if task == MULTITASK else (task,)
    if config is None:
        rules = {name: TASKS[name].normalization for name in names}
    elif isinstance(config, MultiTaskConfig):
        rules = {name: config.single(name).normalization for name in names}
    else:
        rules = dict.fromkeys(names, config.normalization)
    return {name: Normalisation(**asdict(rule)) for name, rule in rules.items()}


def parse_entry(text: str, name: str) -> ZooEntry:
    """An entry from its JSON text.

    Raises
    ------
    ZooError
        With every field that is wrong, and what was found there.
    """
    try:
        parse_json(text, limit=MAX_ENTRY_BYTES)
        return ZooEntry.model_validate_json(text)
    except CheckpointError as error:
        raise _no_entry(name, str(error)) from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, found['loc'])) or 'entry'}: {plain(found['msg'])}"
            for found in error.errors(include_url=False, include_input=False)
        )
        raise _no_entry(name, problems) from error


def _no_entry(name: str, problems: str) -> ZooError:
    return ZooError(
        f"{name} is not a zoo entry of schema 1: {problems}. "
        "`unifmir zoo show unifmir-small-sim --json` prints one that is"
    )


def entry_text(entry: ZooEntry) -> str:
    """The file of an entry: the same text for the same entry."""
    return json.dumps(entry.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def schema_text() -> str:
    """The JSON Schema of an entry, as frozen in `schema/v1.json`."""
    schema = ZooEntry.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
