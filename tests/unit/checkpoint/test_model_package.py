"""BioImage.IO packages as checkpoints: the weights that the description names, and no other."""

import hashlib
import io
import json
import zipfile

import pytest
import torch

from tests.helpers.checkpoint_files import refusal, same_weights, written
from tests.helpers.script_archives import RDF_04, RDF_05, example, packaged, traced
from tests.helpers.zoo_server import zipped
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file


@pytest.fixture(scope="module")
def script(tiny_single) -> bytes:
    """A traced denoising network."""
    network = tiny_single("denoise")
    return traced(network, example(network), wrapped="model.")


def with_rdf(rdf: str, files: dict[str, bytes], name: str = "rdf.yaml") -> bytes:
    return zipped({name: rdf.encode(), **files})


@pytest.mark.parametrize(
    ("source", "member"),
    [
        ("weights.pt", "weights.pt"),
        ("./weights.pt", "weights.pt"),
        ("weights/best model.pt", "weights/best model.pt"),
        ("https://zenodo.org/api/records/8420081/files/weights.pt/content", "weights.pt"),
        ("https://zenodo.org/record/8420081/files/best%20model.pt", "best model.pt"),
    ],
)
@pytest.mark.parametrize("rdf", [RDF_04, RDF_05], ids=["0.4", "0.5"])
def test_packages_of_both_formats_load(rdf, source, member, script, tiny_single, tmp_path):
    path = written(packaged(script, rdf, source=source, member=member), tmp_path, "any.zip")
    assert same_weights(load_file(path), tiny_single("denoise"))
    found = inspect_file(path)
    assert (found.name, found.format, found.prefix) == ("any.zip", "bioimageio", "model.")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["rdf.yaml", "bioimageio.yaml", "ambitious-ant/rdf.yaml"])
def test_the_description_may_have_other_names_and_a_folder(name, script, tiny_single, tmp_path):
    folder = name.rpartition("/")[0]
    member = f"{folder}/w.pt" if folder else "w.pt"
    rdf = "weights: {torchscript: {source: w.pt}}"
    path = written(with_rdf(rdf, {member: script}, name), tmp_path)
    assert same_weights(load_file(path), tiny_single("denoise"))


def test_a_state_dict_goes_before_a_program(script, tiny_single, tmp_path):
    file = io.BytesIO()
    torch.save(tiny_single("sr").state_dict(), file)
    rdf = "weights: {torchscript: {source: a.pt}, pytorch_state_dict: {source: b.pt}}"
    path = written(with_rdf(rdf, {"a.pt": script, "b.pt": file.getvalue()}), tmp_path)
    assert same_weights(load_file(path), tiny_single("sr"))
    # As long as it is there.
    path = written(with_rdf(rdf, {"a.pt": script}), tmp_path)
    assert same_weights(load_file(path), tiny_single("denoise"))


def test_our_own_package_says_how_its_body_ends(tiny_single, tmp_path):
    network = tiny_single("projection")
    script = traced(network, example(network), wrapped="network.")
    lineage = {
        "config": network.config.to_dict(),
        "parent": {"name": "parent.safetensors", "sha256": "0" * 64},
    }
    rdf = {
        "weights": {"torchscript": {"source": "w.pt"}},
        "config": {"unifmir": {"lineage": lineage}},
    }
    path = written(with_rdf(json.dumps(rdf), {"w.pt": script}), tmp_path)
    assert load_file(path).config == network.config


@pytest.mark.parametrize(
    ("rdf", "words"),
    [
        ("[", "not YAML"),
        ("- a", "not a mapping"),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
        ("name: x", "it has no weights"),
        ("weights: {onnx: {source: w.onnx}}", "it has onnx"),
        ("weights: {torchscript: {source: absent.pt}}", "it has torchscript"),
        ("weights: {torchscript: {source: [1]}}", "it has torchscript"),
        ("weights: {torchscript: {source: w.pt, sha256: 00aa}}", "expected 64 hexadecimal"),
        (f"weights: {{torchscript: {{source: w.pt, sha256: {'0a' * 32}}}}}", "was altered"),
        ("weights: {torchscript: {source: text.pt}}", "text.pt: weights.pt is not a checkpoint"),
        ("weights: {torchscript: {source: inner.zip}}", "they are a package themselves"),
        ("x: " + "y" * 3_000_000, "expected at most"),
    ],
)
def test_a_package_without_readable_weights_says_why(rdf, words, script, tmp_path):
    files = {"w.pt": script, "text.pt": b"hello", "inner.zip": packaged(script)}
    assert words in refusal(written(with_rdf(rdf, files), tmp_path))


@pytest.mark.parametrize(
    ("name", "words"),
    [("../w.pt", "made to do harm"), ("/w.pt", "made to do harm"), ("rdf.yaml", "two members")],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_package_that_is_dangerous_is_refused(name, words, script, tmp_path):
    path = written(packaged(script), tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    assert words in refusal(path)


def test_a_package_whose_weights_are_damaged_is_refused(script, tmp_path):
    package = bytearray(packaged(script))
    package[len(package) // 2] ^= 1
    assert "get it again" in refusal(written(bytes(package), tmp_path))
