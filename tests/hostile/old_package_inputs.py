"""BioImage.IO packages of format 0.4 that lie, attack or are damaged, given to `zoo add --package`.

The description is written as JSON, which YAML includes, so that what is added can be held against
it by another reader.
"""

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.script_archives import (
    Records,
    as_old_torch,
    edited,
    example,
    traced,
    with_official_keys,
)
from tests.helpers.zoo_server import zipped
from tests.hostile import templates
from tests.hostile.archive_inputs import ATTACKS
from tests.hostile.raw_zip import archive_of, entries_of
from tests.hostile.torchscript_inputs import PICKLES
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.adding import Description
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import load
from unifmir.zoo.catalogue.old_packages import add_package
from unifmir.zoo.catalogue.schema import ZooEntry

WEIGHTS = "weights.pt"
ABOUT = Description(
    id=None, task=None, title=None, dataset="cells", authors=None, licence=None, notes=None
)
Words = dict[str, Any]
Came = tuple[ZooEntry, Any, Path]


@functools.cache
def script() -> bytes:
    """The template's network as the official packages hold theirs."""
    network = templates.network()
    return edited(traced(with_official_keys(network), example(network)), as_old_torch)


def words(**changes: Any) -> Words:
    """A right description, with other entries; None takes one out."""
    right: Words = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "My restoration",
        "description": "Restores images of tests.",
        "authors": [{"name": "Ada Author", "orcid": "0000-0002-1825-0097"}],
        "cite": [{"text": "A preprint", "doi": "10.21203/rs.3.rs-3208267/v1"}],
        "license": "CC-BY-4.0",
        "weights": {"torchscript": {"source": WEIGHTS, "sha256": sha256(script())}},
    }
    return {key: value for key, value in {**right, **changes}.items() if value is not None}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def torchscript(**changes: Any) -> Words:
    return {"torchscript": {"source": WEIGHTS, "sha256": sha256(script()), **changes}}


def case(name: str, description: Words | bytes, **members: bytes) -> Case:
    """A package with this description, these members, and the right weights unless given."""

    def write(room: Room) -> Path:
        text = description if isinstance(description, bytes) else json.dumps(description).encode()
        files = {"rdf.yaml": text, WEIGHTS: script()}
        path = room.given / "old.zip"
        path.write_bytes(zipped({**files, **members}))
        return path

    return Case(name, write)


def with_weights(name: str, content: bytes, **said: Any) -> Case:
    told = words(weights=torchscript(sha256=sha256(content), **said))
    return case(name, told, **{WEIGHTS: content})


TEXTS: list[Any] = [
    3, True, [], {}, ["a"], {"a": "b"}, "", " ", "a" * 5001, "a" * 300_000, "a\nb", "\x1b[2J",
    "gpj.\u202etp", "\ud800", "a\0b", "\x9b2J", "../../victim/precious.txt", "[red]bold", "<a> <b>",
]  # fmt: skip
PEOPLE: list[Any] = [
    "Ada", {}, 3, ["Ada"], [None], [[]], [{}], [{"name": 3}], [{"name": ""}],
    [{"name": "A\x1b[2J"}], [{"name": "a" * 400}], [{"affiliation": "x"}], [{"name": "A"}] * 101,
    [{"name": "A", "orcid": "0000"}], [{"name": "A", "orcid": 3}], [{"name": "A", "email": "a\nb"}],
    [{"name": "A <root@localhost>"}], [{"name": "A", "github_user": "../x"}],
    [{"name": "A; B <c>"}], [{"name": "A", "run": "id"}], [{"name": ["A"]}],
]  # fmt: skip
CITED: list[Any] = [
    "10.1/x", {}, [3], [None], [{"doi": 3}], [{"doi": "10.1"}], [{"doi": "javascript:alert(1)"}],
    [{"doi": "10.1234/" + "a" * 400}], [{"text": "x", "url": "file:///etc/passwd"}], [{}] * 101,
    [{"doi": "10.1234/a\u202eb"}], [{"text": ["x"]}],
]  # fmt: skip
VERSIONS: list[Any] = [
    "0.5.7", "0.400", "0.39.1", "0.4.10\n", "0.4; rm -r /", "1", "", 4, 0.4, [0, 4],
    "0.4." + "1" * 99, "\x1b0.4",
]  # fmt: skip
SOURCES: list[Any] = [
    "../victim/precious.txt", "/etc/hostname", "file:///etc/hostname", "a\\..\\..\\weights.pt",
    "https://127.0.0.1:1/other.pt", "rdf.yaml", "", 3, [], {"source": WEIGHTS}, "weights.pt\0.npy",
    "WEIGHTS.PT", "weights.pt/", "./../weights.pt", "cover.png",
]  # fmt: skip
HASHES: list[Any] = ["0" * 64, "0" * 63, "g" * 64, 3, [], {}, True, "md5:" + "0" * 32]
OFFICIAL = ("ambitious-ant", "../x", 3, ["a"], {"a": 1}, "", "x" * 400, "\x1b[2J")
IDS = ("10.5281/zenodo.8401470", 3, ["a"], "x" * 400)
LISTS: dict[str, list[Any]] = {
    "name": TEXTS,
    "description": TEXTS,
    "license": TEXTS,
    "authors": PEOPLE,
    "cite": CITED,
    "format_version": VERSIONS,
    "type": ["dataset", 3, ["model"], {}, "MODEL", "\x1b[2J"],
    "id": list(IDS),
}


def descriptions() -> Iterator[Case]:
    for field, values in LISTS.items():
        for number, value in enumerate(values):
            yield case(f"{field} {number} is {value!r:.40}", words(**{field: value}))
        yield case(f"no {field}", words(**{field: None}))
    for value in OFFICIAL:
        for config in ({"bioimageio": {"nickname": value}}, {"bioimageio": value}, value):
            yield case(f"config is {config!r:.60}", words(config=config))
    for value in SOURCES:
        yield case(f"source of the weights {value!r}", words(weights=torchscript(source=value)))
    for value in HASHES:
        yield case(f"hash of the weights {value!r:.70}", words(weights=torchscript(sha256=value)))
    for value in (None, 3, [], {}, "weights.pt", {"torchscript": None}, {"torchscript": [WEIGHTS]},
                  {"onnx": {"source": WEIGHTS}}):  # fmt: skip
        yield case(f"weights that are {value!r}", words(weights=value))


RAW = {
    "no bytes": b"",
    "no UTF-8": b"\xff\xfe\x00name",
    "a list": b"[1, 2]",
    "a number": b"3",
    "deep": b"[" * 100_000,
    "deep mappings": b'{"name": ' * 20_000 + b"1" + b"}" * 20_000,
    "a tag of Python": b"!!python/object/apply:os.system ['touch pwn']",
    "a tag in a name": b"format_version: 0.4.1\nname: !!python/name:os.system",
    "anchors without end": b"a: &a [x]\n" + b"".join(
        b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (n, n, *(n - 1,) * 8)
        for n in range(98, 110)
    ),
    "an anchor in itself": b"format_version: 0.4.1\nname: &a [*a]",
    "one name twice": b"format_version: 0.4.1\nname: a\nname: b",
    "large": b"# " + b"x" * 20_000_000,
    "two documents": b"format_version: 0.4.1\n---\nname: a\n",
    "a huge number": b"format_version: " + b"9" * 6000,
    "NaN": b"format_version: .nan\nname: a",
    "a merge": b"a: &a {name: x}\n<<: *a\nformat_version: 0.4.1",
    "binary": b"format_version: 0.4.1\nname: !!binary aGVsbG8=",
}  # fmt: skip


def raw() -> Iterator[Case]:
    for name, text in RAW.items():
        yield case(f"a description that is {name}", text)
    yield case("two descriptions", words(), **{"model.yaml": json.dumps(words(name="B")).encode()})
    yield case("a description in a folder", words(), **{"a/rdf.yaml": b"name: b"})


def record(change: Callable[[Records], dict[str, bytes]]) -> bytes:
    return edited(script(), lambda records: {**records, **change(records)})


def program(line: str) -> Callable[[Records], dict[str, bytes]]:
    """A line in every function of the program."""

    def change(records: Records) -> dict[str, bytes]:
        return {
            name: content.replace(b"-> Tensor:\n", f"-> Tensor:\n    {line}\n".encode())
            for name, content in records.items()
            if name.endswith(".py")
        }

    return change


PROGRAMS = (
    'torch.save(1, "pwn")', "import os", 'x = torch.from_file("../victim/precious.txt")',
    "while True: pass", "return torch.zeros_like(image)",
)  # fmt: skip


def weights() -> Iterator[Case]:
    yield with_weights("weights as they are", script())
    for line in PROGRAMS:
        yield with_weights(f"a program with {line!r}", record(program(line)))
    for member in ("data.pkl", "constants.pkl"):
        for name, content in PICKLES.items():
            made = record(lambda _, m=member, c=content: {m: c})  # type: ignore[misc]
            yield with_weights(f"{member} of {name}", made)
            alone = {"pytorch_state_dict": {"source": WEIGHTS, "sha256": sha256(content)}}
            yield case(
                f"a state dict that is {name}, {member}", words(weights=alone), **{WEIGHTS: content}
            )
    whole = script()
    for name, content in {
        "no bytes": b"",
        "a text": b"TorchScript, really",
        "half": whole[: len(whole) // 2],
        "a byte short": whole[:-1],
        "damaged": whole[:9000] + b"\xff" * 100 + whole[9100:],
        "a package": zipped({"rdf.yaml": json.dumps(words()).encode(), WEIGHTS: whole}),
    }.items():
        yield with_weights(f"weights that are {name}", content)
    for value in (float("nan"), float("inf")):
        yield with_weights(f"weights that are {value}", traced_with(value))
    named = {"source": WEIGHTS, "architecture": "evil.py:Net", "sha256": sha256(state())}
    yield case(
        "a state dict with a program",
        words(weights={"pytorch_state_dict": named}),
        **{WEIGHTS: state(), "evil.py": b"import os\nos.system('touch pwn')\n"},
    )
    yield case("files besides", words(), **{"setup.py": b"raise SystemExit", ".pth": b"import os"})


@functools.cache
def state() -> bytes:
    return templates.saved(templates.weights())


def traced_with(value: float) -> bytes:
    network = with_official_keys(templates.network())
    with torch.no_grad():
        next(iter(network.parameters())).fill_(value)
    return edited(traced(network, example(network)), as_old_torch)


def archives() -> Iterator[Case]:
    """The package, and the TorchScript archive in it, as zips that are no plain row of files."""
    for title, attack in ATTACKS.items():

        def outer(room: Room, attack: Any = attack) -> Path:
            files = {"rdf.yaml": json.dumps(words()).encode(), WEIGHTS: script()}
            path = room.given / "old.zip"
            path.write_bytes(attack(entries_of(zipped(files)), room))
            return path

        def inner(room: Room, attack: Any = attack) -> Path:
            # The attacks change the last: the numbers of the largest weight.
            records = sorted(
                entries_of(script()), key=lambda e: (b"/data/" in e.name, len(e.content))
            )
            content = attack(records, room)
            told = words(weights=torchscript(sha256=sha256(content)))
            path = room.given / "old.zip"
            files = {"rdf.yaml": json.dumps(told).encode(), WEIGHTS: content}
            path.write_bytes(archive_of(entries_of(zipped(files))))
            return path

        yield Case(f"package: {title}", outer)
        yield Case(f"TorchScript: {title}", inner)


def cases() -> Iterator[Case]:
    for part in (descriptions, raw, weights, archives):
        yield from part()


def give(path: Path, room: Room) -> Came:
    """Add the model, find it, and load it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(directories.HOME_VARIABLE, str(room.out / "home"))
        patch.setenv(directories.CACHE_VARIABLE, str(room.out / "cache"))
        entry = add_package(path, ABOUT)
        return find(entry.id), load(entry.id), path


def lie(_case: Case, came: Came) -> str | None:
    entry, network, path = came
    if found := templates.other_weights(network):
        return found
    said = [entry.id, entry.title, entry.notes or "", entry.licence or "", *entry.authors]
    said += entry.cite
    if any(not letter.isprintable() for text in said for letter in text.replace("\n", "")):
        return f"what cannot be shown: {said!r:.300}"
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read("rdf.yaml"))
        held = sha256(archive.read(WEIGHTS))
    if (stated := [one["sha256"] for one in told["weights"].values()]) != [held]:
        return f"weights with the hash {stated!r:.200}"
    return other_words(entry, told)


def other_words(entry: ZooEntry, told: Words) -> str | None:
    """Why the entry says something else than the package's description; None where it does not."""
    people = [one["name"].strip() for one in told["authors"]]
    expected = {
        "title": told["name"],
        "licence": told.get("license"),
        "notes": told.get("description") or entry.notes,
        # What is no DOI is left out.
        "cite": tuple(d for one in told.get("cite", []) if "/" in (d := one.get("doi", ""))),
    }
    for name, value in expected.items():
        if getattr(entry, name) != value:
            return f"{name} is {getattr(entry, name)!r:.100}, the package says {value!r:.100}"
    if len(people) != len(entry.authors) or any(
        not one.startswith(name) for one, name in zip(entry.authors, people, strict=True)
    ):
        return f"authors are {entry.authors}, the package says {people}"
    if not str(told["format_version"]).startswith("0.4.") or told.get("type", "model") != "model":
        return f"a package of {told['format_version']!r}, {told.get('type')!r}"
    return None


KIND = HostileKind("BioImage.IO package of format 0.4", cases, give, lie)
"""Each is refused, or added with the words and weights that it holds."""
