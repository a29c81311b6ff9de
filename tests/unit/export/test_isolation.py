"""Files that were not written here run in a process of their own, which ends in every way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import tifffile
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.helpers.hostile import Room, by_command
from tests.helpers.quick_rows import few_quick
from tests.helpers.waiting_process import ended_with_test
from tests.hostile.onnx_graphs import bombs
from unifmir.errors import ExportError, UnifmirError
from unifmir.export import isolation, limits
from unifmir.export.isolation import IsolatedSession, open_file
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession, Session
from unifmir.hashing import sha256_of
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision
from unifmir.trusted_files import remember_own

IMAGE = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)


@pytest.fixture
def graph(tiny_config, tmp_path):
    """Function from the nodes between `image` and `restored` to an ONNX file of a stranger."""
    parent = Provenance("parent.safetensors", "0a" * 32)
    lineage = lineage_of(tiny_config.single("sr"), "image", Precision("fp32"), parent)

    def of(*nodes: NodeProto, **constants: np.ndarray) -> Path:
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "y", "x"])
            for name in ("image", "restored")
        ]
        values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
        made = helper.make_graph(list(nodes), "graph", ends[:1], ends[1:], values)
        model: ModelProto = helper.make_model(
            made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        )
        helper.set_model_props(model, lineage.to_strings())
        path: Path = tmp_path / "theirs.onnx"
        onnx.save(model, path)
        return path

    return of


def opened(path: Path) -> Session:
    return open_file(RUNTIMES["onnxruntime"], path, device="cpu", threads=1)


def doubled() -> NodeProto:
    return helper.make_node("Add", ["image", "image"], ["restored"])


def pid_of(session: Session) -> int:
    assert isinstance(session, IsolatedSession)
    return session._process.pid


def ended(pid: int) -> bool:
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_what_was_written_here_runs_in_this_process(graph, monkeypatch, tmp_path):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    path = graph(doubled())
    remember_own(sha256_of(path))
    session = opened(path)
    assert isinstance(session, HostSession)
    assert "isolated" not in session.ran


def test_a_strangers_file_gives_the_same_in_a_process_that_ends_with_the_session(graph):
    session = opened(graph(doubled()))
    pid = pid_of(session)
    np.testing.assert_array_equal(session.run(IMAGE), 2 * IMAGE)
    np.testing.assert_array_equal(session.run(IMAGE[..., ::2]), 2 * IMAGE[..., ::2])
    assert session.ran["isolated"] is True
    assert session.ran["library"] == "onnxruntime"
    assert session.fallbacks == ()
    assert session.timed(IMAGE).wall_ms > 0
    with pytest.raises(ExportError, match=r"^theirs\.onnx: the model failed on an input of 1x3x4"):
        session.run(IMAGE[0])
    np.testing.assert_array_equal(session.run(IMAGE), 2 * IMAGE)
    del session
    assert ended(pid)


def test_a_process_that_is_killed_is_an_error_that_names_the_file(graph):
    session = opened(graph(doubled()))
    os.kill(pid_of(session), signal.SIGKILL)
    with pytest.raises(
        ExportError, match=r"theirs\.onnx was not written here.*killed by the system \(SIGKILL\)"
    ):
        session.run(IMAGE)
    with pytest.raises(ExportError, match=r"theirs\.onnx was not written here"):
        session.run(IMAGE)


def long_graph(graph: Callable[..., Path]) -> Path:
    """Products of large matrices, which take minutes."""
    names = ["image", *(f"x{index}" for index in range(4000))]
    products = [
        helper.make_node("MatMul", [first, "image"], [second]) for first, second in pairwise(names)
    ]
    return graph(*products, helper.make_node("Identity", [names[-1]], ["restored"]))


LARGE = np.zeros((1, 1, 1000, 1000), np.float32)


def test_what_takes_too_long_is_ended(graph, monkeypatch):
    session = opened(long_graph(graph))
    pid = pid_of(session)
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    monkeypatch.setattr(limits, "PRODUCTS_PER_SECOND", 1e18)
    with pytest.raises(ExportError, match=r"theirs\.onnx.*longer than the 0 s allowed"):
        session.run(LARGE)
    assert ended(pid)


def test_runs_that_fail_share_the_time_that_is_allowed_once():
    allowed = limits.Limits(bytes_per_pixel=100.0, file_bytes=2_000_000)
    once, opening, computing = limits.SECONDS, 1.0, 1e6 * 1000 / limits.PRODUCTS_PER_SECOND
    assert allowed.seconds() == once + opening
    assert allowed.seconds(1000) == once + opening + computing
    assert allowed.seconds(1000, lost_s=4.0) == once - 4 + opening + computing
    assert allowed.seconds(1000, lost_s=1e3) == opening + computing


def test_what_fails_takes_from_the_next_run_until_one_succeeds(graph):
    session = opened(graph(doubled()))
    assert isinstance(session, IsolatedSession)
    before = session._lost_s
    assert before > 0  # opening it
    with pytest.raises(ExportError, match="the model failed on an input of 1x3x4"):
        session.run(IMAGE[0])
    assert session._lost_s > before
    session.run(IMAGE)
    assert session._lost_s == 0


@pytest.mark.slow
def test_the_command_ends_a_bomb_before_a_person_takes_it_for_a_hang(tmp_path):
    (case,) = (one for one in bombs() if one.name == "a bomb of MatMul")
    path = case.write(room := Room(tmp_path).made())
    cells = np.random.default_rng(0).integers(100, 4000, (150, 110)).astype(np.uint16)
    tifffile.imwrite(room.given / "cells.tif", cells)
    restore = ("restore", room.given / "cells.tif", "--artifact", path, "--device", "cpu")
    for words in (("verify", path), (*restore, "--out", room.out / "restored.tif")):
        with pytest.raises(UnifmirError):  # and Hang after 30 s
            by_command(*words)
    assert not list(room.out.iterdir())


@pytest.mark.slow
def test_memory_is_limited_and_a_smaller_image_may_follow(graph):
    # A product over all pairs of pixels: quadratic in the image, as no network of ours is.
    grown = [
        helper.make_node("Reshape", ["image", "column"], ["a"]),
        helper.make_node("Reshape", ["image", "row"], ["b"]),
        helper.make_node("Mul", ["a", "b"], ["c"]),
        helper.make_node("ReduceMean", ["c"], ["restored"], keepdims=1),
    ]
    column, row = np.array([1, 1, -1, 1], np.int64), np.array([1, 1, 1, -1], np.int64)
    session = opened(graph(*grown, column=column, row=row))
    with pytest.raises(MemoryError):
        session.run(np.ones((1, 1, 400, 400), np.float32))  # 95 GiB
    for _ in range(2):
        assert session.run(IMAGE).item() == pytest.approx(IMAGE.mean() ** 2)
    # And takes no more than it needs: ONNX Runtime's arena took nearly all that is allowed.
    process = psutil.Process(pid_of(session))
    allowed, _ = process.rlimit(psutil.RLIMIT_AS)
    assert allowed - process.memory_info().vms > limits.FREE_BYTES / 2


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_ends_the_process(graph, monkeypatch, interrupt):
    session = opened(graph(doubled()))
    pid = pid_of(session)

    def interrupted(*_: object) -> None:
        raise interrupt

    monkeypatch.setattr(session, "_exchanged", interrupted)
    with pytest.raises(interrupt):
        session.run(IMAGE)
    assert ended(pid)


PARENT = """
import sys
import numpy as np
from pathlib import Path
from unifmir.export import isolation
from unifmir.export.runtimes import RUNTIMES
session = isolation.open_file(RUNTIMES["onnxruntime"], Path(sys.argv[1]), device="cpu", threads=1)
print(session._process.pid, flush=True)
session.run(np.zeros((1, 1, 1000, 1000), np.float32))
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_with_the_one_that_started_it(graph, by, tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(long_graph(graph))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with ended_with_test(parent):
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(1)  # it computes
        assert psutil.pid_exists(pid)
        parent.send_signal(by)
        parent.wait(20)
        assert ended(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.onnx"]


@pytest.mark.slow
def test_what_the_process_started_ends_with_it():
    program = (
        "import subprocess, sys; subprocess.Popen(['sleep', '100']); "
        "print('on', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with ended_with_test(process):
        assert process.stdout is not None
        process.stdout.readline()
        (started,) = psutil.Process(process.pid).children()
        isolation._end(process, None)
        assert ended(started.pid)


@pytest.mark.slow
def test_a_process_that_cannot_start_is_told(graph, monkeypatch):
    monkeypatch.setattr(isolation, "MODULE", "unifmir.no_such_module")
    with pytest.raises(ExportError, match=r"theirs\.onnx.*status 1 .*no_such_module"):
        opened(graph(doubled()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    few_quick(["5", "[]", "null", "{}", '{"ok": true}', '{"ok": false}', "a"], ["5"]),
)
def test_an_answer_that_is_none_of_ours_ends_the_process(answer, graph, monkeypatch, tmp_path):
    """A trusted program shares the process, and may write where the answers go."""
    code = (
        f"import sys, time\nsys.stdin.readline()\nprint({answer!r}, flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "nonsense.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(isolation, "MODULE", "nonsense")
    with pytest.raises(ExportError, match=r"theirs\.onnx.*its answers make no sense"):
        opened(graph(doubled()))


def test_limits_grow_with_the_image_and_the_file_and_end_at_the_machine():
    small, large = limits.Limits(1e3, 10**6), limits.Limits(1e3, 10**8)
    assert 2**30 < small.memory_bytes(0) < small.memory_bytes(10**5) < large.memory_bytes(10**5)
    assert small.memory_bytes(10**15) <= psutil.virtual_memory().total
    assert small.seconds() < 30
    # A full-size network on 256 x 256 pixels: 50 MB, about 2 minutes on one slow core.
    assert 600 < limits.Limits(1e4, 5 * 10**7).seconds(256 * 256) < 7200
