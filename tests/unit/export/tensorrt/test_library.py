import sys
from types import ModuleType

import pytest

from tests.helpers import fake_tensorrt
from unifmir.errors import BenchmarkError, MissingExtraError
from unifmir.export.runtimes.tensorrt.host import Host, host, require_gpu
from unifmir.export.runtimes.tensorrt.library import Log, library


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)


def of_version(version):
    found = ModuleType("tensorrt")
    found.__version__ = version  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("version", ["10.12.0.36", "10.16.1.11", "11.4.0.106"])
def test_versions_with_strong_types_are_used(nothing_installed, monkeypatch, version):
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.module(version))
    found = library()
    assert (found.name, found.version, found.rtx) == ("tensorrt", version, False)


@pytest.mark.parametrize("version", ["8.6.1", "10.9.0.34", "10.11.0.33"])
def test_an_older_version_is_refused_with_what_is_needed(nothing_installed, monkeypatch, version):
    monkeypatch.setitem(sys.modules, "tensorrt", of_version(version))
    with pytest.raises(MissingExtraError, match=rf"{version}: expected 10\.12 or newer"):
        library("tensorrt")


def test_without_any_library_both_installations_are_named(nothing_installed):
    with pytest.raises(MissingExtraError) as caught:
        library()
    assert "unifmir[tensorrt]" in str(caught.value)
    assert "unifmir[tensorrt-rtx]" in str(caught.value)


def test_an_old_full_library_does_not_hide_the_other(nothing_installed, monkeypatch):
    other = of_version("1.7.1.116")
    monkeypatch.setitem(sys.modules, "tensorrt", of_version("10.0.1"))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", other)
    assert library().api is other
    assert library().rtx


def test_bindings_without_their_library_are_told(monkeypatch, tmp_path):
    broken = tmp_path / "tensorrt.py"
    broken.write_text("raise OSError('libnvinfer.so.11: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"libnvinfer\.so\.11.*pip install"):
        library("tensorrt")


def test_the_real_wheel_can_be_used_here():
    pytest.importorskip("tensorrt_rtx", reason="an extra, not installed here")
    found = library("tensorrt_rtx")
    assert found.rtx
    assert found.version.startswith("1.")
    assert found.api.Builder(Log(found.api).handle) is not None


def test_a_log_keeps_errors_and_nothing_else():
    api = fake_tensorrt.module()
    log = Log(api)
    assert log.text == "it gave no reason"
    log.handle.log(api.ILogger.WARNING, "slow")
    log.handle.log(api.ILogger.ERROR, "out of memory\n")
    log.handle.log(api.ILogger.ERROR, "out of memory\n")
    assert log.text == "out of memory"


def test_a_machine_without_a_gpu_says_where_to_go(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    here = host()
    assert here == Host(here.system)
    with pytest.raises(BenchmarkError, match=r"the engine needs an NVIDIA GPU.*no CUDA device"):
        require_gpu(here, "the engine")
    require_gpu(Host("Linux", gpu="A card"), "the engine")
