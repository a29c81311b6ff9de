"""From a network to an engine that runs, with a library and a GPU that are stand-ins."""

import json
import shlex
import shutil
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import unifmir
from tests.compat.packages import network
from tests.helpers import fake_tensorrt
from tests.helpers.quick_rows import few_quick
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.compare import FP32, compare
from unifmir.errors import BenchmarkError, ExportError, UntrustedError
from unifmir.export import isolation, verification
from unifmir.export.formats.tensorrt import builder
from unifmir.export.formats.tensorrt import engine_format as exporter
from unifmir.export.formats.tensorrt.options import EngineOptions
from unifmir.export.opening import open_session
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.tensorrt import engine
from unifmir.export.runtimes.tensorrt import passport as passports
from unifmir.export.runtimes.tensorrt import session as runner
from unifmir.export.runtimes.tensorrt.host import Host
from unifmir.export.runtimes.tensorrt.library import Library
from unifmir.export.runtimes.tensorrt.profiles import Profile
from unifmir.hashing import sha256_of
from unifmir.model import image_interface
from unifmir.trusted_files import trust

CARD = Host("Linux", "A card", "GPU-1", "8.6", "13.0", "580.65.06")
SMALL = "1x1x8x8,1x1x16x24,2x1x24x24"
PROFILE = Profile((1, 1, 8, 8), (1, 1, 16, 16), (1, 1, 16, 16))


@pytest.fixture
def installed(monkeypatch):
    """Function that installs a fake library of a version, with faults."""
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)

    def install(version="10.13.3.9", **faults):
        api = fake_tensorrt.module(version, **faults)
        monkeypatch.setitem(sys.modules, "tensorrt", api)
        return api

    return install


@pytest.fixture
def card(monkeypatch):
    """Function that says which GPU is there; one is."""
    monkeypatch.setattr(engine, "CudaMemory", fake_tensorrt.CpuMemory)

    def put(found):
        for module in (exporter, engine, runner):
            monkeypatch.setattr(module, "host", lambda: found)

    put(CARD)
    return put


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a tiny fp32 sr engine that was verified on `CARD`."""
    folder = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", fake_tensorrt.module())
        patch.setattr(engine, "CudaMemory", fake_tensorrt.CpuMemory)
        for module in (exporter, engine, runner):
            patch.setattr(module, "host", lambda: CARD)
        options = {"tensorrt": EngineOptions(profile=SMALL)}
        unifmir.export(network("sr"), folder, formats=("tensorrt",), options=options)
    return folder


@pytest.fixture
def path(published, tmp_path, installed, card):
    """The engine in a folder of its own, beside a library and a GPU that fit it."""
    installed()
    return Path(shutil.copytree(published, tmp_path / "published")) / "unifmir-sr.engine"


@pytest.fixture(scope="module")
def graph(published):
    """Its ONNX file."""
    return (published / "unifmir-sr.engine.onnx").read_bytes()


@pytest.fixture
def export(tmp_path):
    """Function that exports a tiny sr network, with options of the engine."""

    def run(precision="fp32", task="sr", **options):
        (artifact,) = unifmir.export(
            network(task),
            tmp_path / "out",
            formats=("tensorrt",),
            precision=precision,
            options={"tensorrt": EngineOptions(**{"profile": SMALL, **options})},
        )
        return artifact

    return run


@pytest.mark.slow
@pytest.mark.parametrize("version", few_quick(["10.12.0.36", "11.4.0.106"], ["11.4.0.106"]))
def test_an_fp16_engine_is_built_verified_and_published_on_every_version(
    installed, card, export, version
):
    api = installed(version)
    artifact = export("fp16")
    assert artifact.report.passed
    assert artifact.variant == "computing"
    passport = passports.read_passport(artifact.path)
    assert passport.library == {"name": "tensorrt", "version": version}
    assert passport.verified_on(CARD)
    assert passport.verification is not None
    assert passport.verification.cases == len(artifact.report.results)
    assert passport.engine_types == passport.network_types
    assert passport.network_types["Half"] / sum(passport.network_types.values()) >= 0.9
    assert [p.name for p in artifact.companions] == [
        f"{artifact.path.name}.onnx",
        f"{artifact.path.name}.passport.json",
    ]
    (config,) = api.told.configs
    # Precision is in the graph: no flag asks for it, on no version, and TF32 is off.
    assert config.flags == set()
    assert config.profiling_verbosity == "detailed"
    assert unifmir.verify(artifact.path).passed
    shapes = {result.shape for result in artifact.report.results}
    assert passport.profile.opt in shapes
    assert all(passport.profile.takes(shape) for shape in shapes)
    assert {shape[0] for shape in shapes} == {1, 2}


def test_a_loaded_engine_gives_the_picture(path):
    image = np.random.default_rng(0).random((2, 1, 17, 20), dtype=np.float32)
    with torch.inference_mode():
        expected = image_interface(network("sr"))(torch.from_numpy(image)).numpy()
    loaded = engine.load(path)
    assert not FP32.failures(compare(expected, loaded.run(image)))
    with pytest.raises(ExportError, match=r"3x1x17x20: .* takes 1x1x8x8 to 2x1x24x24"):
        loaded.run(np.zeros((3, 1, 17, 20), np.float32))


@pytest.mark.slow
def test_another_picture_is_not_published(installed, card, export, tmp_path):
    installed(gain=1.01)
    with pytest.raises(ExportError, match="not the same picture"):
        export()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_engine_that_is_not_fp16_is_not_published_as_one(installed, card, export, tmp_path):
    installed(inspector=lambda kinds: ["FLOAT"] * len(kinds))
    with pytest.raises(ExportError, match="0% of the engine's layers with products compute in"):
        export("fp16")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_engine_that_the_inspector_says_nothing_of_is_not_called_fp16(installed, card, export):
    installed(inspector=lambda _: [])
    with pytest.raises(ExportError, match="cannot be certified"):
        export("fp16")


def test_an_engine_that_the_library_does_not_load_says_so(path, installed):
    installed(no_load="Version tag does not match")
    with pytest.raises(ExportError, match=r"does not load it on A card.*Version tag does not"):
        engine.load(path)


def test_a_driver_that_changed_makes_it_verified_again(path, card, monkeypatch):
    checked: list[Path] = []
    monkeypatch.setattr(verification, "require_verified", checked.append)
    open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
    assert checked == []
    card(replace(CARD, driver="580.99"))
    open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
    assert checked == [path]


def test_an_engine_that_arrives_unverified_is_verified_before_it_is_run(path, installed):
    passports.write_passport(
        replace(passports.read_passport(path), verification=None, engine_types=None), path
    )
    open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
    passport = passports.read_passport(path)
    assert passport.verified_on(CARD)
    assert passport.engine_types == passport.network_types
    passports.write_passport(replace(passport, verification=None), path)
    installed(gain=1.01)
    with pytest.raises(ExportError, match=r"(?s)it is not the same picture.*so it is not run"):
        open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
    assert passports.read_passport(path).verification is None


def test_an_altered_engine_does_not_reach_the_library(path, installed):
    api = installed()
    path.write_bytes(path.read_bytes() + b"\0")
    api.Runtime = None
    with pytest.raises(
        ExportError, match=r"sha256 of the engine.*\nbuild it again: cd .*--profile"
    ):
        engine.load(path)


def test_a_strangers_engine_does_not_reach_the_library(path, installed, monkeypatch):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(path.parent / "of another installation"))
    api = installed()
    api.Runtime = None
    with pytest.raises(UntrustedError, match=f"unifmir trust {path}"):
        engine.load(path)


def test_a_strangers_engine_is_refused_before_a_process_is_started_for_it(path, monkeypatch):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(path.parent / "of another installation"))
    monkeypatch.setattr(isolation, "IsolatedSession", None)
    with pytest.raises(UntrustedError, match=f"unifmir trust {path}"):
        open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)


STAND_IN = """
import sys
from tests.helpers import fake_tensorrt
sys.modules["tensorrt"] = fake_tensorrt.module()
from unifmir.export.runtimes.tensorrt import engine, session
from unifmir.export.runtimes.tensorrt.host import Host
engine.CudaMemory = fake_tensorrt.CpuMemory
engine.host = session.host = lambda: Host(*CARD)
"""


@pytest.mark.slow  # processes of their own
def test_an_engine_of_others_that_is_trusted_runs_and_is_verified_in_a_process_of_its_own(
    path, installed, monkeypatch, tmp_path
):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "of another installation"))
    trust(sha256_of(path))
    (tmp_path / "library").mkdir()
    stand_in = STAND_IN.replace("CARD", repr(astuple(CARD)))
    (tmp_path / "library" / "tensorrt.py").write_text(stand_in, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "library"))
    installed().Runtime = None  # nothing is loaded in this process
    image = np.random.default_rng(0).random((1, 1, 16, 20), dtype=np.float32)
    session = open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
    assert isinstance(session, isolation.IsolatedSession)
    with torch.inference_mode():
        expected = image_interface(network("sr"))(torch.from_numpy(image)).numpy()
    assert not FP32.failures(compare(expected, session.run(image)))
    assert session.ran["isolated"]
    session.close()
    unproven = replace(passports.read_passport(path), verification=None, engine_types=None)
    passports.write_passport(unproven, path)
    assert verification.verify(path).passed
    passport = passports.read_passport(path)
    assert passport.verified_on(CARD)
    assert passport.engine_types == passport.network_types


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_an_engine_runs_on_the_first_gpu(path, device):
    with pytest.raises(BenchmarkError, match="cuda:0"):
        RUNTIMES["tensorrt"].open(path, device=device, threads=1)


def test_a_module_is_refused():
    with pytest.raises(BenchmarkError, match="export it first"):
        RUNTIMES["tensorrt"].open(torch.nn.Identity(), device="cuda:0", threads=1)


@pytest.mark.slow  # the precision is settled twice
def test_the_rebuild_command_makes_an_engine_of_the_same_graph(installed, card, export):
    installed()
    path = export("fp16", builder_level=2, workspace_mib=512).path
    passport = passports.read_passport(path)
    command = shlex.split(passport.rebuild)
    assert command[0] == "unifmir"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        done = CliRunner().invoke(app, command[1:])
    assert done.exit_code == 0, done.output
    again = passports.read_passport(path.parent / "rebuilt" / path.name)
    assert again.profile == passport.profile
    assert again.options == passport.options
    assert again.network_types == passport.network_types
    assert passports.read_passport(path) == passport


def test_the_builder_is_told_the_options(installed, graph, tmp_path):
    api = installed()
    cache = tmp_path / "cache" / "timing"
    options = EngineOptions(builder_level=5, workspace_mib=64, timing_cache=cache)
    found = Library("tensorrt", "10.13", api)
    for times in (1, 2):
        builder.build(found, graph, PROFILE, options)
        assert cache.read_bytes() == b"+timing" * times
    config = api.told.configs[0]
    assert config.builder_optimization_level == 5
    assert config.pools == {"workspace": 64 << 20}
    assert config.flags == {api.BuilderFlag.EDITABLE_TIMING_CACHE}
    assert api.told.profiles[0] == ("image", *PROFILE.shapes)


@pytest.mark.parametrize(
    ("faults", "options", "told"),
    [
        ({"parse_error": "no importer for Frobnicate"}, {}, "cannot read .*Frobnicate"),
        ({"no_engine": "out of memory"}, {}, "built no engine .*out of memory.*--workspace"),
        ({"bad_profile": True}, {}, "refuses the profile 1x1x8x8,"),
        ({"bad_cache": True}, {"timing_cache": True}, "not a timing cache of tensorrt"),
        ({}, {"targets": ("8.6",)}, "for the GPU of its own machine"),
    ],
)
def test_what_the_library_refuses_is_told(installed, graph, tmp_path, faults, options, told):
    if "timing_cache" in options:
        options = {"timing_cache": tmp_path / "timing"}
    found = Library("tensorrt", "10.13", installed(**faults))
    with pytest.raises(ExportError, match=told):
        builder.build(found, graph, PROFILE, EngineOptions(**options))
    assert not (tmp_path / "timing").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"builder_level": 6}, "builder level 6: expected 0 to 5"),
        ({"workspace_mib": 0}, "1 or more"),
        ({"targets": ("9.0",)}, "target '9.0': tensorrt-rtx builds for"),
    ],
)
def test_options_that_cannot_be_are_refused(options, told):
    with pytest.raises(ExportError, match=told):
        EngineOptions(**options)


def test_options_are_for_a_format_that_is_wanted_and_of_its_own_type(tiny_single, tmp_path):
    with pytest.raises(ExportError, match="options for tensorrt, which is not among"):
        unifmir.export(tiny_single("sr"), tmp_path, options={"tensorrt": EngineOptions()})
    with pytest.raises(ExportError, match="expected EngineOptions, found 3"):
        unifmir.export(tiny_single("sr"), tmp_path, formats=("tensorrt",), options={"tensorrt": 3})


def test_targets_without_their_gpu_need_to_be_asked_for_unverified(installed, card, export):
    installed()
    with pytest.raises(ExportError, match="add --unverified-engine"):
        export(targets=("8.6",))


def test_a_passport_says_where_and_from_what(path):
    data = json.loads(passports.passport_path(path).read_text("utf-8"))
    assert data["built_on"]["gpu"] == "A card"
    assert data["parent"]["sha256"] == sha256_of(path.parent / data["parent"]["name"])
    assert data["onnx_sha256"] == sha256_of(path.with_name(path.name + ".onnx"))
    assert data["engine_sha256"] == sha256_of(path)
    assert str(path.parent) not in json.dumps(data)
    assert data["options"]["tf32"] is False


@pytest.mark.slow
def test_a_benchmark_keeps_the_passport_beside_the_engine_it_makes(
    installed, card, tiny_single, tmp_path
):
    installed()
    save(tiny_single("sr"), tmp_path / "sr.safetensors")
    prepared = PreparedFiles(tmp_path / "work")
    (model,) = prepared.models(str(tmp_path / "sr.safetensors"), ["sr"])
    made = prepared.spec(model, "tensorrt", "fp32")
    assert passports.read_passport(made.path).engine_sha256 == sha256_of(made.path)
    assert not [p.name for p in made.path.parent.iterdir() if p.name.startswith(".")]
