"""Artifacts that are not what they say: metadata of others, altered weights, hidden conditions."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from safetensors import safe_open

import unifmir
from tests.helpers.artifact_edits import (
    ALTERED,
    FORMS,
    OTHER,
    PARENT,
    Strings,
    altered,
    metadata,
    name_of,
    openvino_archive,
    packed,
    relabelled,
    templates,
    tensors_of,
)
from tests.helpers.graph_conditions import CONDITIONS, Change, work_for_nothing
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.quick_proofs import quick_proofs
from tests.helpers.restoration_cases import SMALL, picture
from unifmir.config import SingleConfig
from unifmir.errors import UnifmirError
from unifmir.export import opening, verification
from unifmir.export.formats import FORMATS
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes.base import Runtime, Session
from unifmir.export.runtimes.openvino import read_model
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision

BAR = 1e-3
"""Largest difference that the restored image may have, of its range: what fp16 weights may do."""


@dataclass(frozen=True)
class Came:
    """What was served of a file."""

    verified: bool
    restored: np.ndarray | None


@cache
def image() -> np.ndarray:
    return picture((24, 40))


@cache
def right() -> np.ndarray:
    """The image as the parent restores it."""
    with tempfile.TemporaryDirectory() as folder:
        parent = Path(folder, PARENT)
        parent.write_bytes(templates()[PARENT])
        restored: np.ndarray = unifmir.restore(image(), parent, runtime="eager")
    return restored


# Lies of the metadata.


def edited(field: str, change: Callable[[Any], Any]) -> Callable[[Strings], Strings]:
    def edit(strings: Strings) -> Strings:
        texts = ("task", "interface", "precision", "variant")
        value = strings[field] if field in texts else json.loads(strings[field])
        said = change(value)
        return strings | {field: said if field in texts else json.dumps(said)}

    return edit


def body(**values: Any) -> Callable[[Strings], Strings]:
    return edited("config", lambda config: config | {"body": config["body"] | values})


def consistent(config: SingleConfig, interface: str = "image") -> Callable[[Strings], Strings]:
    """All that another configuration implies, so that nothing contradicts itself."""

    def edit(strings: Strings) -> Strings:
        said = json.loads(strings["parent"])
        precision = Precision.of_variant(strings["precision"], strings["variant"])  # type: ignore[arg-type]  # as the exporter wrote it
        parent = Provenance(said["name"], said["sha256"])
        return lineage_of(config, interface, precision, parent).to_strings()  # type: ignore[arg-type]  # one of three

    return edit


SAID: dict[str, Callable[[Strings], Strings]] = {
    "window of 16": body(window_size=16),
    "window of 4": body(window_size=4),
    "one head": body(num_heads=[1]),
    "four heads": body(num_heads=[4]),
    "one block": body(depths=[1]),
    "two groups": body(depths=[2, 2], num_heads=[2, 2]),
    "a wider body": body(embed_dim=24),
    "a magnification of 4": edited("config", lambda config: config | {"scale": 4}),
    "a scale of 3": edited("scale", lambda _: 3),
    "the task denoise": edited("task", lambda _: "denoise"),
    "the interface raw": edited("interface", lambda _: "raw"),
    "precision bf16": edited("precision", lambda _: "bf16"),
    "arithmetic in two bytes": edited("variant", lambda _: "computing"),
    "axes of a stack": edited("input_axes", lambda axes: [*axes[:2], "depth", *axes[2:]]),
    "exchanged axes": edited("output_axes", lambda axes: [*axes[:2], *reversed(axes[2:])]),
    "other percentiles": edited("normalization", lambda n: n | {"high_percent": 90.0}),
    "no normalisation": edited("normalization", lambda n: n | {"method": "none"}),
    "another multiple": edited("size_rule", lambda rule: rule | {"multiple_of": 64}),
    "another parent's hash": edited("parent", lambda p: p | {"sha256": "0" * 64}),
    "all of a denoise network": consistent(SMALL.single("denoise")),
    "all of an isotropic network": consistent(SMALL.single("isotropic")),
    "all of a raw network": consistent(SMALL.single("sr"), "raw"),
}


TRUE = {
    # Its program is not run: weights have no interface, and restoring by them takes any image.
    ("torchscript", "the interface raw"),
    ("torchscript", "all of a raw network"),
    # OpenVINO's own arithmetic is what the file asks for; its graph and weights are those of fp32.
    ("openvino", "precision bf16"),
    ("openvino", "arithmetic in two bytes"),
}
"""What is no lie."""
RUNTIMES = {"torchscript": "eager", "openvino": "openvino", "": "onnxruntime"}
"""Part of a file's name -> runtime that restores with it."""


def metadata_case(form: str, told: str) -> Case:
    def write(room: Room) -> Path:
        content = templates()[form]
        return placed(room, form, relabelled(form, content, SAID[told](metadata(form, content))))

    return Case(f"{form} says {told}", write)


# Altered weights.


def weights_case(form: str, told: str) -> Case:
    def write(room: Room) -> Path:
        return placed(room, form, altered(form, templates()[form], ALTERED[told]))

    return Case(f"{form} with weights {told}", write)


def foreign_weights(room: Room) -> Path:
    """Another network's weights under this one's lineage."""
    like = templates()["safetensors"]
    kinds = {key: value.dtype for key, value in tensors_of(like).items()}
    tensors = {k: v.to(kinds[k]) for k, v in tensors_of(templates()[OTHER]).items() if k in kinds}
    return placed(room, "safetensors", packed(tensors, like=like))


def exchanged_blocks(room: Room) -> Path:
    like = templates()["safetensors"]
    tensors = tensors_of(like)
    for key in list(tensors):
        if ".blocks.0." in key:
            other = key.replace(".blocks.0.", ".blocks.1.")
            tensors[key], tensors[other] = tensors[other].clone(), tensors[key].clone()
    return placed(room, "safetensors", packed(tensors, like=like))


# The parent beside the file.


def altered_parent(change: str) -> Callable[[Room], Path]:
    """The artifact is honest; what lies beside it under its parent's name is not."""

    def write(room: Room) -> Path:
        path = placed(room, "onnx", templates()["onnx"])
        parent = room.given / PARENT
        if change == "another network":
            parent.write_bytes(templates()[OTHER])
        elif change == "nothing":
            parent.unlink()
        else:
            tensors = tensors_of(templates()[PARENT])
            key = max(tensors, key=lambda k: tensors[k].is_floating_point() * tensors[k].numel())
            tensors[key] = tensors[key] * 1.01
            strings: Strings | None = None if change == "weights under its certificate" else {}
            if strings is not None:
                with safe_open(parent, "pt") as file:
                    kept = file.metadata()
                strings = {k: v for k, v in kept.items() if "certificate" not in k}
            parent.write_bytes(packed(tensors, strings, like=templates()[PARENT]))
        return path

    return write


# Conditions inside the graph.


def condition_case(form: str, change: Change) -> Case:
    def write(room: Room) -> Path:
        model = onnx.load_model_from_string(templates()["onnx"])
        change(model)
        content = bytes(model.SerializeToString())
        if form == "openvino":
            strings = metadata("openvino", templates()["openvino"])
            content = openvino_archive(read_model(content), strings)
        return placed(room, form, content)

    return Case(f"{form} with {change.__name__.replace('_', ' ')}", write)


def placed(room: Room, form: str, content: bytes) -> Path:
    (room.given / PARENT).write_bytes(templates()[PARENT])
    path = room.given / name_of(form)
    path.write_bytes(content)
    return path


@cache
def cases() -> tuple[Case, ...]:
    right()  # here, where it may take its time

    def all_of() -> Iterator[Case]:
        for form in FORMS:
            yield from (metadata_case(form, told) for told in SAID if (form, told) not in TRUE)
            yield from (weights_case(form, told) for told in ALTERED)
        yield Case("safetensors with another network's weights", foreign_weights)
        yield Case("safetensors with exchanged blocks", exchanged_blocks)
        yield from (condition_case("onnx", change) for change in CONDITIONS)
        # A third of them: OpenVINO takes seconds for each, and its graphs are compared alike.
        # OpenVINO leaves out what no output needs: with work for nothing it is the file it was.
        disguised = [change for change in CONDITIONS if change is not work_for_nothing]
        yield from (condition_case("openvino", change) for change in disguised[::3])
        for change in (
            "another network",
            "nothing",
            "weights under its certificate",
            "weights without a certificate",
        ):
            yield Case(f"onnx beside {change} in place of its parent", altered_parent(change))

    return tuple(all_of())


def opened_here(runtime: Runtime, path: Path, *, device: str, threads: int, **_: Any) -> Session:
    """A file without a process of its own, which other kinds look at: here pictures are."""
    runtime.require_harmless(path)
    return runtime.open(path, device=device, threads=threads)


def give(path: Path, room: Room, *, restoring: bool = True) -> Came:
    """Verify the file, and restore an image with it.

    Raises
    ------
    UnifmirError
        Neither served it.
    """
    told: list[str] = []
    verified, restored = False, None
    with ExitStack() as stack:
        stack.enter_context(patch.dict("os.environ", {"UNIFMIR_TRUSTED": str(room.out / "t")}))
        stack.enter_context(quick_proofs())
        for module in (opening, verification):
            stack.enter_context(patch.object(module, "open_file", opened_here))
        try:
            report = unifmir.verify(path)
            verified = report.passed
            told += report.failures
        except UnifmirError as error:
            told.append(str(error))
        checkpoint = path.name.endswith(FORMATS["safetensors"].suffix)  # one like any other
        if restoring and not checkpoint:
            try:
                runtime = next(RUNTIMES[form] for form in RUNTIMES if form in path.name)
                restored = unifmir.restore(image(), path, task="sr", runtime=runtime)
            except UnifmirError as error:
                told.append(str(error))
    if not verified and restored is None:
        raise UnifmirError("\n".join(told))
    return Came(verified, restored)


def lie(_case: Case, came: Came) -> str | None:
    if came.verified:
        return "it passed its verification"
    if came.restored is None:
        return None
    expected = right()
    if came.restored.shape != expected.shape:
        return f"it restored {came.restored.shape}, its parent restores {expected.shape}"
    apart = float(np.abs(came.restored - expected).max() / np.ptp(expected))
    return None if apart <= BAR else f"it restored what differs from its parent by {apart:.2g}"


KIND = HostileKind("lies of artifacts", cases, give, lie)
