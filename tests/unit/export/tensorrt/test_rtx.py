"""Engines that the real `tensorrt-rtx` builds, on any machine: all tasks, all precisions."""

import json
from itertools import product

import pytest

from tests.compat.packages import network
from unifmir.errors import BenchmarkError, ExportError
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.formats.tensorrt.builder import build
from unifmir.export.formats.tensorrt.engine_format import TENSORRT
from unifmir.export.formats.tensorrt.options import EngineOptions
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes.tensorrt import passport as passports
from unifmir.export.runtimes.tensorrt.certificate import NAMES
from unifmir.export.runtimes.tensorrt.library import library
from unifmir.export.runtimes.tensorrt.profiles import Profile, default_profile
from unifmir.export.verification import open_artifact
from unifmir.model import Provenance, image_interface
from unifmir.precision.element_types import ELEMENT_TYPES, Precision, Variant
from unifmir.precision.islands import island_rules
from unifmir.precision.ranges import measured
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.precision.variants import computing
from unifmir.tasks import TASKS

pytest.importorskip("tensorrt_rtx", reason="an extra, not installed here")
PARENT = Provenance("unifmir.safetensors", "1" * 64)
ALONE = Profile((1, 1, 8, 8), (1, 1, 16, 16), (2, 1, 32, 32))


def job_for(network, precision, **options):
    """What the exporter is given: islands by the rules alone, since settling them takes long."""
    config = network.config
    ranges, _ = measured(network, [example(config, "network")])
    islands = {} if precision == "fp32" else island_rules(network, ranges, precision)
    recipe = PrecisionRecipe(precision, islands, ranges.callers)
    module = image_interface(network)
    variant: Variant = "stored" if precision == "fp32" else "computing"
    return ExportJob(
        network=network,
        module=computing(module, recipe),
        example=example(config, "image"),
        lineage=lineage_of(config, "image", Precision.of_variant(precision, variant), PARENT),
        recipe=recipe,
        opset=17,
        credit=Credit(),
        options=EngineOptions(unverified=True, **options),
    )


@pytest.mark.slow  # the quick engine is `written`, below
@pytest.mark.parametrize(
    ("task", "precision"),
    # Each type with a small network, and the largest graph once. fp32 is that of `written`, below.
    [
        pytest.param(
            *row, marks=() if row[0] == "sr" or row == ("volume", "fp16") else pytest.mark.long
        )
        for row in product(TASKS, ELEMENT_TYPES)
    ],
)
def test_every_task_is_built_with_free_sizes_in_every_precision(task, precision, tmp_path):
    small, path = network(task), tmp_path / "unifmir.engine"
    details = TENSORRT.write(job_for(small, precision), path)
    assert "not verified" in details["unverified"]
    passport = passports.read_passport(path)
    assert passport.profile == default_profile(small.config, "image")
    assert passport.profile.min != passport.profile.max
    assert passport.verification is None
    assert passport.engine_types is None
    assert passport.library["name"] == "tensorrt_rtx"
    assert passport.targets == ("8.0", "8.6", "8.9", "12.0")
    types = passport.network_types
    assert types[NAMES[precision]] >= 0.5 * sum(types.values())
    if precision == "fp32":
        assert set(types) == {"Float"}
    assert path.stat().st_size > 1e5
    assert TENSORRT.lineage(path).precision == precision


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A tiny sr engine for one GPU model."""
    path = tmp_path_factory.mktemp("rtx") / "unifmir-sr.engine"
    options = {"profile": ALONE.text, "targets": ("8.6",), "builder_level": 1}
    TENSORRT.write(job_for(network("sr"), "fp32", **options), path)
    return path


def test_targets_and_profile_are_in_the_passport(written):
    passport = passports.read_passport(written)
    assert passport.targets == ("8.6",)
    assert passport.profile == ALONE
    assert passport.options["builder_level"] == 1
    for part in (f"--profile {ALONE.text}", "--target 8.6", "--unverified-engine"):
        assert part in passport.rebuild
    json.loads(passports.passport_path(written).read_text("utf-8"))


def test_without_a_gpu_an_engine_is_not_run(written, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BenchmarkError, match="needs an NVIDIA GPU"):
        open_artifact(written)


def test_what_the_parser_refuses_is_told(written):
    with pytest.raises(ExportError, match=r"tensorrt_rtx .* cannot read the ONNX graph: .+"):
        build(library("tensorrt_rtx"), b"not a graph", ALONE, EngineOptions())


def test_a_profile_that_does_not_fit_the_graph_is_refused(written):
    graph = written.with_name(written.name + ".onnx").read_bytes()
    wrong = Profile((1, 2, 8, 8), (1, 2, 8, 8), (1, 2, 8, 8))
    with pytest.raises(ExportError, match=r"refuses the profile|built no engine"):
        build(library("tensorrt_rtx"), graph, wrong, EngineOptions())


def test_there_is_no_timing_cache_to_keep(written, tmp_path):
    graph = written.with_name(written.name + ".onnx").read_bytes()
    options = EngineOptions(timing_cache=tmp_path / "timing")
    with pytest.raises(ExportError, match="tensorrt-rtx has no timing cache"):
        build(library("tensorrt_rtx"), graph, ALONE, options)
