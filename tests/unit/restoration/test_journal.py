"""A run that was interrupted goes on where it stopped, and never with what is not its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import FileSink, picture, predictor_of, small
from unifmir.images.arrays import ArraySource
from unifmir.images.base import Shape
from unifmir.images.rounded_output import RoundingSink
from unifmir.restoration import executor as engine
from unifmir.restoration.executor import RestorationProgress, Summary, restore, restore_array
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan

IMAGE = picture((1, 64, 84))
OPTIONS = Options(tile=48, halo=16)


def run(
    folder: Path,
    stop_after: int | None = None,
    how: type[BaseException] = KeyboardInterrupt,
    image: np.ndarray = IMAGE,
    options: Options = OPTIONS,
    model: str = "model",
) -> tuple[Summary, Journal]:
    """Restore into the folder; `how` is raised after so many tiles."""
    journal = Journal(folder / "out.journal", source=f"sum {image.sum()}", model=model)

    def on_progress(progress: RestorationProgress) -> None:
        if stop_after is not None and progress.tiles_done >= stop_after:
            raise how

    summary = restore(
        ArraySource(image, "zyx"),
        lambda plan: FileSink(folder / "out.raw", plan.out_shape),
        predictor_of(small("denoise")),
        options,
        journal=journal,
        on_progress=on_progress,
    )
    return summary, journal


class RoundedFile(FileSink):
    """A file of bytes: what it holds is clipped to 0 to 255."""

    def __init__(self, path: Path, shape: Shape) -> None:
        super().__init__(path, shape)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)


@pytest.mark.parametrize("stopped", [None, 1, 4])
def test_clipped_pixels_are_those_of_the_whole_image(tmp_path: Path, stopped: int | None) -> None:
    shifted = IMAGE - np.float32(np.median(IMAGE))
    wanted = np.rint(restore_array(shifted, predictor_of(small("denoise")), options=OPTIONS))
    clipped = int(((wanted < 0) | (wanted > 255)).sum())
    assert 0 < clipped < wanted.size
    journal = Journal(tmp_path / "out.journal", source="shifted", model="model")

    def rounded(plan: RestorationPlan) -> RoundingSink:
        return RoundingSink(RoundedFile(tmp_path / "out.raw", plan.out_shape), "out.raw")

    def on_progress(progress: RestorationProgress) -> None:
        if progress.tiles_done == stopped and not progress.pixels_resumed:
            raise KeyboardInterrupt

    def go() -> Summary:
        return restore(
            ArraySource(shifted, "zyx"),
            rounded,
            predictor_of(small("denoise")),
            OPTIONS,
            journal=journal,
            on_progress=on_progress,
        )

    if stopped is not None:
        with pytest.raises(KeyboardInterrupt):
            go()
    summary = go()
    assert (summary.clipped, summary.tiles_resumed) == (clipped, stopped or 0)


def result(folder: Path) -> np.ndarray:
    return np.fromfile(folder / "out.raw", np.float32).reshape(IMAGE.shape)


def expected(image: np.ndarray = IMAGE) -> np.ndarray:
    return restore_array(image, predictor_of(small("denoise")), options=OPTIONS)


@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_no_file_and_goes_on(tmp_path, how):
    with pytest.raises(how):
        run(tmp_path, stop_after=3, how=how)
    assert not (tmp_path / "out.raw").exists()
    summary, journal = run(tmp_path)
    assert summary.tiles_resumed == 3
    assert journal.ignored is None
    np.testing.assert_array_equal(result(tmp_path), expected())
    assert [path.name for path in tmp_path.iterdir()] == ["out.raw"]


@pytest.mark.slow  # a process is killed
def test_a_killed_run_goes_on_from_its_finished_tiles(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from tests.unit.restoration import test_journal as case
from unifmir.restoration import executor as engine
engine.COMMIT_SECONDS = 0
tell = engine._Progression.tell
def dying(work):
    tell(work)
    if work.tiles == 4:
        os.kill(os.getpid(), signal.SIGKILL)
engine._Progression.tell = dying
case.run(Path({str(tmp_path)!r}))
"""
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, "-c", script], cwd=root, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.raw").exists()
    summary, _ = run(tmp_path)
    assert summary.tiles_resumed == 4
    np.testing.assert_array_equal(result(tmp_path), expected())


def test_without_a_journal_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(progress: RestorationProgress) -> None:
        if progress.tiles_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(
            ArraySource(IMAGE, "zyx"),
            lambda plan: FileSink(tmp_path / "out.raw", plan.out_shape),
            predictor_of(small("denoise")),
            OPTIONS,
            on_progress=interrupt,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": IMAGE + 1}, "another source"),
        ({"model": "other"}, "another model"),
        ({"options": Options(tile=64, halo=16)}, "another options"),
    ],
)
def test_the_journal_of_other_work_is_not_used(tmp_path, changed, said):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=3)
    summary, journal = run(tmp_path, **changed)
    assert summary.tiles_resumed == 0
    assert said in str(journal.ignored)
    if "image" in changed:
        np.testing.assert_array_equal(result(tmp_path), expected(changed["image"]))


def test_without_its_unfinished_output_a_journal_is_worth_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=3)
    (tmp_path / "out.partial").unlink()
    summary, journal = run(tmp_path)
    assert summary.tiles_resumed == 0
    assert "is gone" in str(journal.ignored)
    np.testing.assert_array_equal(result(tmp_path), expected())


@pytest.mark.parametrize(
    "damage", few_quick([b"1", b"1\n2", b"\0\0\0\0", b"-1\n5\n"], [b"1\n2", b"\0\0\0\0"])
)
def test_lines_that_a_kill_cut_short_are_not_believed(tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=1)
    path = tmp_path / "out.journal"
    path.write_bytes(path.read_bytes() + damage)
    summary, _ = run(tmp_path)
    assert summary.tiles_resumed == (2 if damage == b"1\n2" else 1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n0\n", b"\xff\xfe\n"])
def test_a_damaged_journal_is_begun_anew(tmp_path, content):
    (tmp_path / "out.journal").write_bytes(content)
    summary, journal = run(tmp_path)
    assert summary.tiles_resumed == 0
    assert "damaged" in str(journal.ignored)


@pytest.mark.parametrize("whose", ["altered", "another user's"])
def test_a_journal_that_this_user_did_not_sign_is_begun_anew(tmp_path, monkeypatch, whose):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=1)
    path = tmp_path / "out.journal"
    if whose == "altered":
        text = path.read_text("utf-8")
        changed = text.replace('"halo": 16', '"halo": 48', 1)
        assert changed != text
        path.write_text(changed, "utf-8")
    else:
        monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "another user's"))
    summary, journal = run(tmp_path)
    assert summary.tiles_resumed == 0
    assert "not written here by this user" in str(journal.ignored)


def test_a_resumed_run_measures_nothing_again(tmp_path, monkeypatch):
    options = Options(tile=48)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=2, options=options)

    def never(*args: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("unifmir.restoration.tile_size.cached_reach", never)
    monkeypatch.setattr("unifmir.restoration.tile_plan.measure_range", never)
    assert run(tmp_path, options=options)[0].tiles_resumed == 2


def test_a_tile_is_said_to_be_finished_after_its_pixels_are_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "COMMIT_SECONDS", 0)
    order: list[str] = []
    flush, record = FileSink.flush, Journal.record

    def flushing(sink: FileSink) -> None:
        flush(sink)
        order.append("flush")

    def recording(journal: Journal, tiles: Mapping[int, int]) -> None:
        order.append("record")
        record(journal, tiles)

    monkeypatch.setattr(FileSink, "flush", flushing)
    monkeypatch.setattr(Journal, "record", recording)
    summary, _ = run(tmp_path)
    assert order[: 2 * summary.tiles] == ["flush", "record"] * summary.tiles
