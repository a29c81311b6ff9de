"""BioImage.IO packages that are not what they say, or no packages: every file and field of one."""

import copy
import io
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from ruyaml import YAML

import unifmir
from tests.helpers.artifact_edits import ALTERED, PARENT, altered
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.package_edits import (
    CODE,
    DESCRIPTIONS,
    GIVEN,
    GRAPH,
    INSIDE,
    MADE,
    SCRIPT,
    STATE,
    Description,
    Edit,
    Files,
    exchange,
    packed,
    sources,
    template,
    unpacked,
)
from tests.hostile import artifact_lies_inputs as lies
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.errors import UnifmirError
from unifmir.export.formats.bioimageio import package_format
from unifmir.export.formats.bioimageio.halo import measure_halo
from unifmir.export.formats.bioimageio.rdf import RDF


def edit_case(name: str, edit: Edit) -> Case:
    def write(room: Room) -> Path:
        files, description = unpacked()
        edit(files, description)
        return packed(room, files, description)

    return Case(name, write)


# Weights, each format by itself.


def other_weights(name: str, told: str) -> Edit:
    change = ALTERED[told]

    def edit(files: Files, description: Description) -> None:
        if name == STATE:
            state = torch.load(io.BytesIO(files[STATE]), weights_only=True)
            key = max(state, key=lambda k: state[k].is_floating_point() * state[k].numel())
            state[key] = torch.from_numpy(change(state[key].numpy()))
            file = io.BytesIO()
            torch.save(state, file)
            content = file.getvalue()
        else:
            content = altered("onnx" if name == GRAPH else "torchscript", files[name], change)
        exchange(files, description, name, content)

    return edit


def unsaid_bytes(name: str) -> Edit:
    """Other content than the declared hash."""

    def edit(files: Files, _: Description) -> None:
        files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])

    return edit


def missing(name: str) -> Edit:
    def edit(files: Files, _: Description) -> None:
        del files[name]

    return edit


def truncated(name: str) -> Edit:
    return lambda files, rdf: exchange(files, rdf, name, files[name][: len(files[name]) // 2])


# The program.


def appended(text: str) -> Edit:
    return lambda files, rdf: exchange(files, rdf, CODE, files[CODE] + text.encode())


def replaced_code(old: bytes, new: bytes) -> Edit:
    def edit(files: Files, rdf: Description) -> None:
        changed = files[CODE].replace(old, new, 1)
        assert changed != files[CODE], f"the file has no {old!r}"
        exchange(files, rdf, CODE, changed)

    return edit


def architecture(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda _, rdf: void(change(rdf["weights"]["pytorch_state_dict"]["architecture"]))


def void(_: object) -> None:
    return None


RUN = "\nimport os\nos.system('touch ran')\n"
PROGRAMS: dict[str, Edit] = {
    "runs a command": appended(RUN),
    "has one more comment": appended("\n# harmless\n"),
    "is empty": lambda files, rdf: exchange(files, rdf, CODE, b""),
    "is no program": lambda files, rdf: exchange(files, rdf, CODE, b"\xff\xfe("),
    "shifts windows otherwise": replaced_code(b"// 2", b"// 4"),
    "uses another activation": replaced_code(b"nn.GELU()", b"nn.ReLU()"),
    "is called os.system": architecture(lambda a: a.update(callable="os.system")),
    "is called with another window": architecture(lambda a: a["kwargs"].update(window_size=4)),
    "is called with another width": architecture(lambda a: a["kwargs"].update(embed_dim=24)),
    "is called with one more argument": architecture(lambda a: a["kwargs"].update(run="x")),
    "is called with nothing": architecture(lambda a: a.update(kwargs={})),
    "is a module": architecture(lambda a: a.update(import_from="os")),
}

# Test tensors.


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(files: Files, rdf: Description) -> None:
        found = change(np.load(io.BytesIO(files[name])))
        file = io.BytesIO()
        np.save(file, found, allow_pickle=True)
        exchange(files, rdf, name, file.getvalue())

    return edit


def one_pixel(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flat[values.size // 2] += np.float32(np.ptp(values))
    return values


def swapped_tensors(files: Files, rdf: Description) -> None:
    first, second = files[GIVEN], files[MADE]
    exchange(files, rdf, GIVEN, second)
    exchange(files, rdf, MADE, first)


TENSORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upside down": lambda v: v[..., ::-1, :],
    "transposed": lambda v: v.swapaxes(-1, -2),
    "smaller": lambda v: v[..., :-8, :],
    "with a pixel changed": one_pixel,
    "not a number": lambda v: np.full_like(v, np.nan),
    "of doubles": lambda v: v.astype(np.float64),
    "of another rank": lambda v: v[0],
    "of Python objects": lambda v: np.array([{"a": v.size}], dtype=object),
    "of nothing": lambda v: v[:0],
}

# Declarations.


def given_axes(rdf: Description) -> list[dict[str, Any]]:
    axes: list[dict[str, Any]] = rdf["inputs"][0]["axes"]
    return axes


def axis(change: Callable[[dict[str, Any]], object], kind: str = "inputs") -> Edit:
    return lambda _, rdf: void(change(rdf[kind][0]["axes"][-1]))


def described(change: Callable[[Description], object]) -> Edit:
    return lambda _, rdf: void(change(rdf))


def preprocessing(**values: Any) -> Edit:
    return described(lambda rdf: rdf["inputs"][0]["preprocessing"][0]["kwargs"].update(values))


DECLARED: dict[str, Edit] = {
    "another upper percentile": preprocessing(max_percentile=90.0),
    "another lower percentile": preprocessing(min_percentile=50.0),
    "percentiles of a channel": preprocessing(axes=["channel"]),
    "no normalisation": described(lambda rdf: rdf["inputs"][0].pop("preprocessing")),
    "another normalisation": described(
        lambda rdf: rdf["inputs"][0].update(preprocessing=[{"id": "zero_mean_unit_variance"}])
    ),
    "two normalisations": described(
        lambda rdf: rdf["inputs"][0]["preprocessing"].append({"id": "sigmoid"})
    ),
    "a program after it": described(
        lambda rdf: rdf["outputs"][0].update(postprocessing=[{"id": "sigmoid"}])
    ),
    "a factor after it": described(
        lambda rdf: rdf["outputs"][0].update(
            postprocessing=[{"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 0.0}}]
        )
    ),
    "no halo": described(lambda rdf: [a.pop("halo", None) for a in rdf["outputs"][0]["axes"]]),
    "a halo of one": axis(lambda a: a.update(halo=1), "outputs"),
    "a huge halo": axis(lambda a: a.update(halo=10**9), "outputs"),
    "a fixed size": axis(lambda a: a.update(size=64)),
    "another multiple": axis(lambda a: a.update(size={"min": 8, "step": 3})),
    "another smallest size": axis(lambda a: a.update(size={"min": 4096, "step": 8})),
    "another scale": axis(lambda a: a.update(scale=3.0)),
    "another output size": axis(lambda a: a.update(size=64), "outputs"),
    "another output scale": axis(lambda a: a.update(scale=1.0), "outputs"),
    "exchanged axes": described(lambda rdf: given_axes(rdf).reverse()),
    "an axis too few": described(lambda rdf: given_axes(rdf).pop()),
    "an axis z": axis(lambda a: a.update(id="z")),
    "another channel": described(lambda rdf: given_axes(rdf)[1].update(channel_names=["a", "b"])),
    "integers in": described(lambda rdf: rdf["inputs"][0].update(data={"type": "uint16"})),
    "integers out": described(lambda rdf: rdf["outputs"][0].update(data={"type": "uint8"})),
    "another name of the input": described(lambda rdf: rdf["inputs"][0].update(id="other")),
    "two inputs": described(lambda rdf: rdf["inputs"].append(rdf["inputs"][0])),
    "no output": described(lambda rdf: rdf.update(outputs=[])),
    "no weights": described(lambda rdf: rdf.update(weights={})),
    "weights that are a list": described(lambda rdf: rdf.update(weights=[])),
    "an opset of 3": described(lambda rdf: rdf["weights"]["onnx"].update(opset_version=3)),
}


def declared_hash(name: str) -> Edit:
    def edit(_: Files, rdf: Description) -> None:
        for entry in sources(rdf):
            if entry["source"] == name:
                entry["sha256"] = "0" * 64

    return edit


def lineage(field: str, value: Any) -> Edit:
    def edit(_: Files, rdf: Description) -> None:
        rdf["config"]["unifmir"]["lineage"][field] = value

    return edit


LINEAGES: dict[str, Edit] = {
    "another parent": lineage("parent", {"name": PARENT, "sha256": "0" * 64}),
    "a parent elsewhere": lineage("parent", {"name": "../victim/precious.txt", "sha256": "0" * 64}),
    "another task": lineage("task", "denoise"),
    "an unknown task": lineage("task", "../../victim"),
    "another interface": lineage("interface", "network"),
    "another precision": lineage("precision", "fp16"),
    "another variant": lineage("variant", "computing"),
    "another scale": lineage("scale", 4),
    "another normalisation": lineage("normalization", {"method": "none"}),
    "another size rule": lineage("size_rule", {"minimum": 1, "multiple_of": 64}),
    "another schema": lineage("schema", 99),
    "a configuration that is text": lineage("config", "window"),
}

# Names and archives.

PLACES = ("../victim/precious.txt", "/etc/hostname", "file:///etc/hostname", "a\\..\\b.pt", "")


def source_at(kind: str, place: str) -> Edit:
    return described(lambda rdf: rdf["weights"][kind].update(source=place))


def member_case(name: str, member: zipfile.ZipInfo | str, content: bytes) -> Case:
    """The package with one more member, as a careless program writes it."""

    def write(room: Room) -> Path:
        path = packed(room, *unpacked())
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.filterwarnings("ignore", "Duplicate name", UserWarning)  # meant
            archive.writestr(member, content)
        return path

    return Case(name, write)


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("linked.npy")
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def description_case(name: str) -> Case:
    def write(room: Room) -> Path:
        files, _ = unpacked()
        return packed(room, {**files, RDF: DESCRIPTIONS[name]}, None)

    return Case(f"a description that is {name}", write)


def without_description(room: Room) -> Path:
    files, _ = unpacked()
    del files[RDF]
    return packed(room, files, None)


def of_files() -> Iterator[Case]:
    for name in (STATE, SCRIPT, GRAPH):
        for told in ALTERED:
            yield edit_case(f"{name} {told}", other_weights(name, told))
    for name in INSIDE:
        yield edit_case(f"{name} with another byte", unsaid_bytes(name))
        yield edit_case(f"{name} missing", missing(name))
        yield edit_case(f"{name} cut off", truncated(name))
        yield edit_case(f"another hash of {name}", declared_hash(name))
    for name in (GIVEN, MADE):
        for told, change in TENSORS.items():
            yield edit_case(f"{name} {told}", tensor(name, change))
    yield edit_case("exchanged test tensors", swapped_tensors)


def cases() -> Iterator[Case]:
    """Every case; each begins with the package as it was exported."""
    template()  # here, where they may take their time
    lies.right()
    yield from of_files()
    for what, edits in (
        ("a program that", PROGRAMS),
        ("declares", DECLARED),
        ("records", LINEAGES),
    ):
        yield from (edit_case(f"{what} {name}", edit) for name, edit in edits.items())
    for place in PLACES:
        yield edit_case(f"ONNX weights at {place!r}", source_at("onnx", place))
        yield edit_case(f"a state dict at {place!r}", source_at("pytorch_state_dict", place))
    for member in ("setup.py", "weights/libtorch.so", "__init__.py"):
        yield member_case(f"one more member {member}", member, b"print('run')\n")
    for member in ("../victim/precious.txt", "/etc/victim", GRAPH):
        yield member_case(f"a member {member}", member, b"x")
    yield member_case("a member that is a link", link(), b"../../victim/precious.txt")
    yield Case("without a description", without_description)
    yield from (description_case(name) for name in DESCRIPTIONS)


_HALOS: dict[str, Any] = {}
_TEXTS: dict[str, Any] = {}
_MEASURE = measure_halo


def known_halo(network: Any, config: Any, image: Any) -> Any:
    """The halo of the parent, which is the same each time, measured once."""
    key = tensors_sha256(network.state_dict())
    if key not in _HALOS:
        _HALOS[key] = _MEASURE(network, config, image)
    return _HALOS[key]


_LOAD = YAML.load


def known_text(reader: YAML, text: Any) -> Any:
    """A description, parsed once: each is read by every check of a package."""
    if not isinstance(text, str):
        return _LOAD(reader, text)
    if text not in _TEXTS:
        _TEXTS.clear()
        _TEXTS[text] = _LOAD(reader, text)
    return copy.deepcopy(_TEXTS[text])


def give(path: Path, room: Room) -> lies.Came:
    """Load the package, verify it, and restore with it if its graph is another one.

    Raises
    ------
    UnifmirError
        It was neither verified nor restored with.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.object(package_format, "measure_halo", known_halo))
        stack.enter_context(patch.object(YAML, "load", known_text))
        with suppress(UnifmirError):
            unifmir.load(path, task="sr")
        return lies.give(path, room, restoring=not same_graph(path))


def same_graph(path: Path) -> bool:
    """Whether the ONNX file is the exported one, so that restoring gives what it gave."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(GRAPH) == unpacked()[0][GRAPH]
    except (KeyError, zipfile.BadZipFile):
        return False


KIND = HostileKind("BioImage.IO packages that lie", cases, give, lies.lie)
