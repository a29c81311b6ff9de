"""The whole of a package against its parent: what was exchanged or misdeclared is found."""

import copy
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unifmir
from tests.helpers.quick_rows import few_quick
from unifmir.checkpoint.saving import save
from unifmir.export.formats import FORMATS
from unifmir.export.formats.bioimageio import package_format, proof, tensors
from unifmir.export.formats.bioimageio.lint import Package, read_package
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.lineage import Lineage
from unifmir.networks.base import Network
from unifmir.samples import sample
from unifmir.zip_archive import write_stored_zip, write_zip

Change = Callable[[Package], None]


@pytest.fixture(scope="module")
def network(tiny_single, tmp_path_factory) -> Network:
    path = tmp_path_factory.mktemp("parent") / "sr.safetensors"
    save(tiny_single("sr"), path)
    return unifmir.load(path)


@pytest.fixture(scope="module")
def written(network, tmp_path_factory) -> Path:
    """A package, as it was exported."""
    (artifact,) = unifmir.export(network, tmp_path_factory.mktemp("out"), formats=("bioimageio",))
    return artifact.path


@pytest.fixture(scope="module")
def lineage(written) -> Lineage:
    return FORMATS["bioimageio"].lineage(written)


@pytest.fixture(scope="module")
def packed(written) -> Package:
    return read_package(written)


@pytest.fixture
def package(packed) -> Package:
    copied: Package = copy.deepcopy(packed)
    return copied


def test_of_weights_that_nobody_told_of_a_package_says_no_licence(packed):
    assert "license" not in packed.rdf
    text = packed.files["README.md"].decode("utf-8").partition("## Licence")[2]
    assert text.strip().startswith("No licence of the weights is known")
    assert sample("sr").file.attribution in text


def found(package: Package, network: Network, lineage: Lineage) -> list[str]:
    halo_px = package.rdf["config"]["unifmir"]["halo"]["halo_px"]
    return list(proof.contradictions(package, network, lineage, halo_px=halo_px))


class Measured(Exception):  # noqa: N818 - no error: the halo was measured
    """Instead of a measurement."""


def test_the_text_of_a_package_that_was_written_here_is_not_made_again(
    written, monkeypatch, tmp_path
):
    def measure(*_: object) -> None:
        raise Measured

    monkeypatch.setattr(package_format, "measure_halo", measure)
    assert unifmir.verify(written).passed
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "of another installation"))
    with pytest.raises(Measured):
        unifmir.verify(written)


def exchange(package: Package, name: str, content: bytes) -> None:
    """Another file of that name, with the hash that the description then declares."""
    assert isinstance(package.files, dict)
    package.files[name] = content
    sha256 = hashlib.sha256(content).hexdigest()

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("source") == name:
                value["sha256"] = sha256
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit(package.rdf)


@pytest.mark.slow
def test_a_package_as_it_was_exported_has_none(package, network, lineage):
    assert found(package, network, lineage) == []


def other_state_dict(package: Package) -> None:
    state = torch.load(io.BytesIO(package.files["weights.pt"]), weights_only=True)
    key = max(state, key=lambda name: state[name].numel())
    state[key] = state[key] * (1 + 1e-5) if state[key].is_floating_point() else state[key] + 1
    file = io.BytesIO()
    torch.save(state, file)
    exchange(package, "weights.pt", file.getvalue())


def other_torchscript(package: Package) -> None:
    name = "weights.torchscript.pt"
    with zipfile.ZipFile(io.BytesIO(package.files[name])) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    sizes = {len(members[m]) for m in members if "/data/" in m} - {8 * 8**4}
    weights = next(m for m in members if "/data/" in m and len(members[m]) == max(sizes))
    values = np.frombuffer(members[weights], np.float32) * np.float32(1.00001)
    members[weights] = values.tobytes()
    file = io.BytesIO()
    write_stored_zip(members, file)
    exchange(package, name, file.getvalue())


def hostile_torchscript(package: Package) -> None:
    name = "weights.torchscript.pt"
    with zipfile.ZipFile(io.BytesIO(package.files[name])) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    code = next(m for m in members if m.endswith(".py") and b"torch.add(" in members[m])
    members[code] = members[code].replace(b"torch.add(", b"torch.save(", 1)
    file = io.BytesIO()
    write_stored_zip(members, file)
    exchange(package, name, file.getvalue())


def changed_architecture(package: Package) -> None:
    exchange(package, "architecture.py", package.files["architecture.py"] + b"\nprint('run')\n")


def another_call(package: Package) -> None:
    package.rdf["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["window_size"] = 4


def another_output(package: Package) -> None:
    output = np.load(io.BytesIO(package.files["test_output.npy"]))
    exchange(package, "test_output.npy", tensors.npy_bytes(output * np.float32(1.01)))


def another_input(package: Package) -> None:
    given = np.load(io.BytesIO(package.files["test_input.npy"]))
    exchange(package, "test_input.npy", tensors.npy_bytes(given[..., ::-1, :]))


def pickled_input(package: Package) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    exchange(package, "test_input.npy", file.getvalue())


def given_axis(package: Package) -> dict[str, Any]:
    axis: dict[str, Any] = package.rdf["inputs"][0]["axes"][-1]
    return axis


def other_percentiles(package: Package) -> None:
    package.rdf["inputs"][0]["preprocessing"][0]["kwargs"]["max_percentile"] = 99.0


def no_preprocessing(package: Package) -> None:
    del package.rdf["inputs"][0]["preprocessing"]


def postprocessing(package: Package) -> None:
    package.rdf["outputs"][0]["postprocessing"] = [{"id": "sigmoid"}]


def no_halo(package: Package) -> None:
    for axis in package.rdf["outputs"][0]["axes"]:
        axis.pop("halo", None)


def smaller_halo(package: Package) -> None:
    for axis in package.rdf["outputs"][0]["axes"]:
        if "halo" in axis:
            axis["halo"] //= 2


def another_size(package: Package) -> None:
    given_axis(package)["size"] = {"min": 8, "step": 1}


def fixed_size(package: Package) -> None:
    given_axis(package)["size"] = 64


def another_scale(package: Package) -> None:
    given_axis(package)["scale"] = 1.0


def swapped_axes(package: Package) -> None:
    axes = package.rdf["inputs"][0]["axes"]
    axes[-1], axes[-2] = axes[-2], axes[-1]


def second_output(package: Package) -> None:
    package.rdf["outputs"].append(package.rdf["outputs"][0])


def wrong_hash(package: Package) -> None:
    package.rdf["weights"]["onnx"]["sha256"] = "0" * 64


def unnamed_file(package: Package) -> None:
    assert isinstance(package.files, dict)
    package.files["setup.py"] = b"print('run')"


def weights_that_are_a_list(package: Package) -> None:
    package.rdf["weights"] = []


def input_of_another_rank(package: Package) -> None:
    file = io.BytesIO()
    np.save(file, np.ones((4,), np.float32))
    exchange(package, "test_input.npy", file.getvalue())


LIES: dict[Change, str] = {
    weights_that_are_a_list: "weights.torchscript: it names no file",
    input_of_another_rank: "test_tensor: missing, or no one image",
    other_state_dict: "weights.pt: 1 of",
    other_torchscript: "weights.torchscript.pt: 1 of",
    hostile_torchscript: "torch.save",
    changed_architecture: "architecture: the file",
    another_call: "architecture: its call",
    another_output: "the output is not what the network makes",
    another_input: "the output is not what the network makes",
    pickled_input: "test_tensor",
    other_percentiles: "inputs.preprocessing",
    no_preprocessing: "inputs.preprocessing",
    postprocessing: "outputs.postprocessing",
    no_halo: "outputs.axes",
    smaller_halo: "outputs.axes",
    another_size: "inputs.axes",
    fixed_size: "inputs.axes",
    another_scale: "inputs.axes",
    swapped_axes: "inputs.axes",
    second_output: "outputs: expected one",
    wrong_hash: "declared sha256",
    unnamed_file: "setup.py",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    few_quick(
        LIES.items(),
        [
            (change, LIES[change])
            for change in (
                other_state_dict,
                other_torchscript,
                changed_architecture,
                another_output,
                other_percentiles,
                smaller_halo,
                unnamed_file,
            )
        ],
    ),
)
def test_a_package_that_was_altered_is_found(change: Change, told: str, package, network, lineage):
    change(package)
    problems = found(package, network, lineage)
    assert [problem for problem in problems if told in problem], problems


@pytest.mark.slow
def test_verifying_looks_at_the_whole_package(package, network, written, tmp_path):
    assert unifmir.verify(written).passed
    other_torchscript(package)
    from ruyaml import YAML

    text = io.StringIO()
    YAML(typ="safe").dump(package.rdf, text)
    altered = tmp_path / written.name
    write_zip({**package.files, "rdf.yaml": text.getvalue().encode()}, altered)
    report = unifmir.verify(altered, parent=written.with_name("unifmir-sr.safetensors"))
    assert not report.passed
    assert not [case for case in report.results if case.failures], "the ONNX file is the parent's"
    assert [problem for problem in report.problems if "weights.torchscript.pt: 1 of" in problem]
    assert set(WEIGHT_FORMATS) == {"onnx", "pytorch_state_dict", "torchscript"}
