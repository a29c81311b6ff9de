"""The format `openvino` and its runtime: what goes into the archive, and what really runs."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

import unifmir
from tests.golden.weights import filled
from unifmir.compare import FP32, LOW_PRECISION, compare
from unifmir.errors import ExportError, MissingExtraError
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats.onnx import DEFAULT_OPSET, ONNX
from unifmir.export.formats.openvino import OPENVINO_FORMAT
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import openvino as runner
from unifmir.export.runtimes.openvino_graph import GRAPH
from unifmir.export.verification import check, open_artifact
from unifmir.model import Provenance, build, image_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.precision.variants import stored
from unifmir.samples import sample
from unifmir.zip_archive import write_stored_zip

openvino = pytest.importorskip("openvino", reason="an extra, not installed here")


@pytest.fixture(scope="module")
def network(tiny_config):
    """The tiny sr network."""
    found = build(tiny_config.single("sr"))
    found.load_state_dict(filled(found.state_dict(), seed=0))
    return found


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """Its files by format and precision, as the exporters write them."""
    folder = tmp_path_factory.mktemp("openvino")
    made = {}
    for exporter, precision in (
        (OPENVINO_FORMAT, "fp32"),
        (OPENVINO_FORMAT, "fp16"),
        (ONNX, "fp32"),
    ):
        path = folder / f"unifmir-sr{'.fp16' if precision == 'fp16' else ''}{exporter.suffix}"
        exporter.write(stored_job(network, precision), path)
        made[exporter.name, precision] = path
    return made


def stored_job(network, precision):
    """What the pipeline asks for."""
    x = example(network.config, "image")
    recipe = plan_precision(
        network, precision, [example(network.config, "network")], variants=["stored"]
    ).recipe
    return ExportJob(
        network=network,
        module=stored(image_interface(network), recipe),
        example=x,
        lineage=lineage_of(
            network.config, "image", Precision(precision), Provenance("p", "0" * 64)
        ),
        recipe=recipe,
        opset=DEFAULT_OPSET,
        credit=Credit(),
    )


def random_image(*sides: int, batch: int = 1) -> np.ndarray:
    """Input of the sr network."""
    return np.random.default_rng(2).random((batch, 1, *sides), dtype=np.float32)


def opened(path, threads=1):
    """A session on the CPU."""
    return runner.OPENVINO.open(path, device="cpu", threads=threads)


@pytest.mark.slow
def test_fp32_weights_stay_fp32_and_fp16_is_half(network, files):
    parameters = sum(p.numel() for p in network.parameters())
    sizes = {}
    for precision in ("fp32", "fp16"):
        with zipfile.ZipFile(files["openvino", precision]) as archive:
            assert archive.namelist() == [GRAPH, runner.WEIGHTS]
            sizes[precision] = archive.getinfo(runner.WEIGHTS).file_size
    assert sizes["fp32"] > 4 * parameters
    assert sizes["fp16"] < 0.6 * sizes["fp32"]


def test_attention_is_one_kernel_at_a_fixed_size(files):
    session = opened(files["openvino", "fp32"])
    session.run(random_image(32, 48))
    kinds = {
        node.get_rt_info()["layerType"].astype(str)
        for node in session._last.get_runtime_model().get_ordered_ops()
    }
    assert "Subgraph" in kinds
    # Products with weights are FullyConnected; these would be the attention's own.
    assert not {"MatMul", "Softmax"} & kinds


@pytest.mark.parametrize("form", ["openvino", "onnx"])
@pytest.mark.parametrize("sides", [(20, 28), (1, 3), (8, 8), (33, 17)])
def test_an_image_is_continued_by_reflection_at_a_fixed_size(form, sides, files, network):
    # Sizes that are no multiple of the window; OpenVINO drops the Abs of the reflected index.
    image = random_image(*sides, batch=2)
    with torch.inference_mode():
        expected = image_interface(network)(torch.from_numpy(image)).numpy()
    assert not FP32.failures(compare(expected, opened(files[form, "fp32"]).run(image)))


@pytest.mark.slow
def test_sizes_are_compiled_once_and_few_are_kept(files, monkeypatch):
    session = opened(files["openvino", "fp32"])
    compiled = []
    honest = session._compiled

    def counted(model):
        compiled.append(model)
        return honest(model)

    monkeypatch.setattr(session, "_compiled", counted)
    for side in (8, 16, 8):
        session.run(random_image(side, 8))
    assert len(compiled) == 2
    for side in range(24, 24 + 8 * runner.KEPT_SIZES, 8):
        session.run(random_image(side, 8))
    assert len(session._requests) == runner.KEPT_SIZES
    session.run(random_image(8, 8))
    assert len(compiled) == 3 + runner.KEPT_SIZES


def test_what_ran_is_said_before_and_after_the_first_image(files):
    session = opened(files["openvino", "fp16"])
    before = session.ran
    session.run(random_image(8, 16))
    assert session.ran == before
    assert before["provider"] == "CPU"
    assert before["element_type"] == "f32"
    assert session.timed(random_image(8, 16)).cpu_ms > 0
    assert session.device_bytes() is None


def test_an_image_of_the_wrong_rank_is_refused_by_name(files):
    with pytest.raises(ExportError, match=r"unifmir-sr\.openvino\.zip does not take .* \(8, 8\)"):
        opened(files["openvino", "fp32"]).run(np.zeros((8, 8), np.float32))


def bf16_job(network):
    """What the pipeline asks for, but for islands, which OpenVINO has none of."""
    given = stored_job(network, "fp32")
    lineage = lineage_of(
        network.config, "image", Precision("bf16", "bf16"), Provenance("p", "0" * 64)
    )
    return replace(given, lineage=lineage)


def test_a_bf16_file_says_so_runs_so_and_is_held_to_the_bar(network, tmp_path, monkeypatch):
    if not runner.computes_in_bf16():
        pytest.skip("this processor has no bf16")
    job = bf16_job(network)
    path = tmp_path / "unifmir-sr.bf16-compute.openvino.zip"
    OPENVINO_FORMAT.write(job, path)
    assert OPENVINO_FORMAT.lineage(path) == job.lineage
    session = opened(path)
    expected = ExpectedOutputs(network, sample("sr").image)
    report = check(OPENVINO_FORMAT, path, expected, job.lineage, sha256="0" * 64)
    assert session.ran["element_type"] == "bf16"
    assert session.fallbacks == ()
    # Arithmetic with 8 bits is not that of fp32, and with these weights it misses the bar.
    assert report.tolerance == LOW_PRECISION.name
    assert 20 < report.worst.psnr_db < 60
    assert not report.passed
    monkeypatch.setattr(runner, "computes_in_bf16", lambda: False)
    with pytest.raises(ExportError, match="computes in bf16 and this processor does not"):
        opened(path)


def test_bf16_is_not_made_where_the_processor_lacks_it(network, tmp_path, monkeypatch):
    monkeypatch.setattr("unifmir.export.formats.openvino.computes_in_bf16", lambda: False)
    with pytest.raises(ExportError, match="computes nothing in bf16"):
        OPENVINO_FORMAT.write(bf16_job(network), tmp_path / "x.openvino.zip")


def test_bf16_is_not_made_where_counts_would_be_summed_in_it(network, tmp_path):
    job = bf16_job(network)
    raw = replace(job, lineage=replace(job.lineage, interface="raw"))
    with pytest.raises(ExportError, match="percentiles and sums of raw intensities in bf16"):
        OPENVINO_FORMAT.write(raw, tmp_path / "x.openvino.zip")


@pytest.mark.slow  # each part of the network is tried in fp32
def test_bf16_that_misses_the_bar_is_refused_with_the_figure(network, tmp_path):
    with pytest.raises(ExportError, match=r"not the same picture as fp32[^$]*PSNR is \d+"):
        unifmir.export(network, tmp_path / "out", formats=("openvino",), precision="bf16")
    assert not (tmp_path / "out").exists()


def repacked(source, target, change):
    """An archive with other members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        change({name: old.read(name) for name in old.namelist()}, new)
    return target


@pytest.mark.parametrize("extra", ["../escape.txt", "plugin.so"])
def test_an_archive_with_anything_else_is_refused(extra, files, tmp_path):
    def change(members, new):
        for name, content in {**members, extra: b"x"}.items():
            new.writestr(name, content)

    path = repacked(files["openvino", "fp32"], tmp_path / "bad.openvino.zip", change)
    with pytest.raises(ExportError, match=r"expected model\.xml and model\.bin|made to do harm"):
        opened(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'<?xml version="1.0"?>', b'<?xml version="1.0"?><!DOCTYPE n []>', "entities"),
        (b"<net ", b'<net xml="&file;" ', "no XML"),
        (b'type="Convolution"', b'type="Loop"', "'Loop'"),
        (b'type="Convolution" version="opset1"', b'type="Evil" version="own"', "'Evil'"),
        (b'offset="0"', b'offset="999999999"', "does not lie in"),
        (b'offset="0"', b'offset="-8"', "does not lie in"),
        (b'offset="0"', b'offset="' + b"9" * 100 + b'"', "does not lie in"),
    ],
)
def test_a_graph_that_no_export_has_is_refused(old, new, problem, files, tmp_path):
    with zipfile.ZipFile(files["openvino", "fp32"]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members[GRAPH]
    members[GRAPH] = members[GRAPH].replace(old, new, 1)
    path = tmp_path / f"altered{runner.SUFFIX}"
    write_stored_zip(members, path)
    with pytest.raises(ExportError, match=problem):
        runner.read_model(path)


def test_a_compressed_archive_is_refused_because_it_may_grow(files, tmp_path):
    def change(members, new):
        for name, content in members.items():
            new.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)

    path = repacked(files["openvino", "fp32"], tmp_path / "bad.openvino.zip", change)
    with pytest.raises(ExportError, match="not compressed"):
        opened(path)


def test_a_graph_of_somebody_else_has_no_lineage(tmp_path):
    x = openvino.opset13.parameter([1, 1, 8, 8], np.float32)
    model = openvino.Model([openvino.opset13.relu(x)], [x], "somebody's")
    openvino.save_model(model, tmp_path / GRAPH, compress_to_fp16=False)
    path = tmp_path / "theirs.openvino.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (GRAPH, runner.WEIGHTS):
            archive.write(tmp_path / name, name)
    with pytest.raises(ExportError, match="did not make"):
        OPENVINO_FORMAT.lineage(path)


def test_a_missing_library_says_what_to_install(files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    assert OPENVINO_FORMAT.lineage(files["openvino", "fp32"]).task == "sr"
    with pytest.raises(MissingExtraError, match=r"unifmir\[openvino\]"):
        open_artifact(files["openvino", "fp32"])
