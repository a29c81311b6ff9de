"""Kill commands at random moments, and hold what they leave and what the next run makes of it.

    python -m benchmarks.studies.kills [--rounds 18] [--seed 0] [--wait-while FILE] [COMMAND...]

writes benchmarks/results/kills.json, after every kill; rows of commands that are not named are
kept, and each row names the commit that it was taken at.
SIGKILL, SIGINT and SIGTERM come in turn. What lies under a final name must be byte for byte what an
undisturbed run writes, and the same command given again must end so too, with no file or folder
left that is not an output. Of a benchmark, whose times differ, the rows that were saved must stay,
and the run be completed. A training is killed until ten times there was a state to go on from.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.compat.packages import network
from tests.helpers.lab_folders import lab_folder
from unifmir.benchmarks.measure.results import read_results
from unifmir.benchmarks.studies import small_commands
from unifmir.benchmarks.studies.result_files import REPO, RESULTS, provenance, write_result
from unifmir.checkpoint.saving import save
from unifmir.export.recorded_report import REPORT_SUFFIX
from unifmir.file_locks import PREFIX as LOCK_PREFIX
from unifmir.output_place import PREFIX
from unifmir.training import training_record

RESULT = "kills.json"
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
ENDED = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}
"""Exit status of a command that a signal ended."""
HIDDEN = ".unifmir-"
"""Start of the names of all that lies aside."""
_TEMPORARY = re.compile(rf"^tmp/|{re.escape(PREFIX)}[0-9a-f]{{16}}|{re.escape(LOCK_PREFIX)}")
"""Names that no later run goes on with, unlike unfinished images, states and prepared files."""
_NOT_OURS = ".ses"
"""ONNX Runtime keeps one file of this name among the temporary ones."""
OUT = "out"
TIMEOUT_S = 120.0
RESUMED = 10
"""Kills of a training after which there must have been a state to go on from."""
_PLACES = {
    "HOME": "home",
    "UNIFMIR_HOME": "home",
    "TMPDIR": "tmp",
    "UNIFMIR_TRUSTED": "state",
    "XDG_CACHE_HOME": "cache",
    "TORCHINDUCTOR_CACHE_DIR": "cache/inductor",  # PyTorch's own is among the temporary files
}

RESUMING = ("--resume",)
"""Options of a run that goes on where there is a state to go on from."""
Files = dict[str, bytes]
"""Content by path."""


@dataclass(frozen=True, slots=True)
class KilledCommand:
    """One command, with what is particular to it."""

    name: str
    arguments: tuple[str, ...]
    """Relative to a folder with a checkpoint (model.safetensors), an image (cells.tif) and pairs
    of images (lab/)."""
    again: tuple[str, ...] = ()
    """Options of the run after the killed one."""
    measures: bool = False
    """Whether its output holds times, so that it differs from run to run."""
    whole: tuple[str, ...] = ()
    """Folders that are one output: there with all they hold, or not at all."""


COMMANDS = (
    KilledCommand(
        "export",
        ("export", "--checkpoint", "model.safetensors", "--out", OUT)
        + tuple(word for name in ("onnx", "torchscript") for word in ("--format", name)),
    ),
    KilledCommand(
        "restore to TIFF",
        ("restore", "cells.tif", "--model", "model.safetensors", "--out", f"{OUT}/cells.tif")
        + ("--tile", "64", "--device", "cpu", "--runtime", "eager"),
        again=("--skip-existing",),
    ),
    KilledCommand(
        "restore to OME-Zarr",
        ("restore", "cells.tif", "--model", "model.safetensors", "--out", f"{OUT}/cells.ome.zarr")
        + ("--tile", "64", "--device", "cpu", "--runtime", "eager"),
        again=("--skip-existing",),
        whole=(f"{OUT}/cells.ome.zarr",),
    ),
    KilledCommand(
        "zoo add",
        ("zoo", "add", "--id", "mine", "--file", "model.safetensors", "--title", "Mine")
        + ("--dataset", "simulated", "--author", "Nobody"),
    ),
    KilledCommand(
        "train",
        ("train", "finetune", "--init", "model.safetensors", "--task", "sr", "--steps", "40")
        + ("--device", "cpu", "--out", f"{OUT}/trained.safetensors"),
        again=RESUMING,
    ),
    KilledCommand(
        "benchmark",
        ("benchmark", "--model", "model.safetensors", "--runtime", "eager")
        + ("--runtime", "onnxruntime", "--workload", "patch", "--workload", "image")
        + ("--threads", "1", "--rounds", "2", "--seconds", "0.02", "--samples", "2")
        + ("--images", "0", "--out", f"{OUT}/results.json"),
        measures=True,
    ),
    KilledCommand(
        "data prepare",
        ("data", "prepare", "lab", "--task", "denoise", "--input", "low", "--truth", "high")
        + ("--patch", "16", "--planes", "4", "--patches", "6", "--out", f"{OUT}/cells.zarr"),
        whole=(f"{OUT}/cells.zarr",),
    ),
)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, and what came of it."""

    command: str
    signal: str
    moment_s: float
    """Seconds after the command had begun."""
    code: int
    ended_well: bool
    """Whether the exit status is that of the signal, or 0 if it came too late."""
    left_aside: int
    """Hidden files and folders, and temporary ones, after it."""
    not_cleaned: list[str]
    """Temporary ones that were left although the signal let it clean up."""
    had_state: bool
    """Whether there was a state of a training, which the next run went on from."""
    half: list[str]
    """Final names with something else under them than the whole output."""
    again_code: int
    differing: list[str]
    """Outputs of the next run that are not the undisturbed run's."""
    left: list[str]
    """Names that the next run left beside its outputs."""
    told: str
    """Last words, where something was wrong."""

    @property
    def held(self) -> bool:
        """Whether all was as it must be."""
        wrong = (self.half, self.again_code, self.differing, self.left, self.not_cleaned)
        return self.ended_well and not any(wrong)


def main() -> int:
    """Kill, and write what came of it; exit code 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", help=", ".join(one.name for one in COMMANDS))
    parser.add_argument("--rounds", type=int, default=18, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait-while", type=Path, help="no command is started while this exists")
    given = parser.parse_args()
    wanted = [one for one in COMMANDS if not given.commands or one.name in given.commands]
    document = provenance(f"python -m benchmarks.studies.kills --rounds {given.rounds}")
    document["seed"] = given.seed
    kept = [row for row in _known(given.seed) if row["command"] in {one.name for one in COMMANDS}]
    bad = 0
    for command in wanted:
        kept = [row for row in kept if row["command"] != command.name]
        for kill in kills(command, given.rounds, given.seed, given.wait_while, RESUMED):
            kept.append(asdict(kill) | {"held": kill.held, "commit": document["commit"]})
            bad += not kill.held
            print("held" if kill.held else kill, kill.command, kill.signal, flush=True)
            write_result(RESULT, document | {"rows": kept})
    return int(bool(bad))


def kills(
    command: KilledCommand, rounds: int, seed: int, waits: Path | None = None, resumed: int = 0
) -> Iterator[Kill]:
    """Kill a command so often, in new folders; a training on until so many left a state."""
    chosen = random.Random(f"{seed} {command.name}")
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        if rounds > 1:  # moments are spread over the time, which is taken with full caches
            _furnish(first := Path(name, "first"))
            _wait(waits)
            _done(command, first)
        _furnish(whole := Path(name, "whole"))
        took = _done(command, whole)
        expected = _outputs(whole)
        index = states = 0
        while index < rounds or (command.again == RESUMING and states < resumed):
            folder = Path(name, str(index))
            _furnish(folder)
            _wait(waits)
            moment = chosen.uniform(0, 1.05) * took
            kill = _killed(command, folder, SIGNALS[index % len(SIGNALS)], moment, expected)
            index, states = index + 1, states + kill.had_state
            yield kill


def _killed(
    command: KilledCommand, folder: Path, number: signal.Signals, moment: float, expected: Files
) -> Kill:
    process = _started(command.arguments, folder)
    time.sleep(moment)
    process.send_signal(number)
    told = process.communicate(timeout=TIMEOUT_S)[1]
    code = process.returncode
    aside = _aside(folder)
    half = _half(command, folder, expected)
    before = _saved_rows(folder) if command.measures else []
    had_state = any(folder.rglob("*.state.pt"))
    if _is_complete(command, folder):
        again_code, said = 0, ""  # the same command would say that it is there
    else:
        options = () if command.again == RESUMING and not had_state else command.again
        again = _started((*command.arguments, *options), folder)
        said = again.communicate(timeout=TIMEOUT_S)[1]
        again_code = again.returncode
    found = _outputs(folder)
    if command.measures:
        after = _saved_rows(folder)
        complete = after and read_results(folder / OUT / "results.json").complete
        differing = [f"row {row['subject']}" for row in before if row not in after]
        differing += [] if complete else ["results.json: not complete"]
    else:
        differing = [name for name in {**expected, **found} if not _same(name, found, expected)]
    kill = Kill(
        command=command.name,
        signal=number.name,
        moment_s=round(moment, 3),
        code=code,
        # By the signal itself: when the interpreter ends, and nothing is left to clean up.
        ended_well=code in (ENDED[number], 0, -number),
        left_aside=len(aside),
        not_cleaned=[] if number == signal.SIGKILL else [p for p in aside if _TEMPORARY.search(p)],
        had_state=had_state,
        half=half,
        again_code=again_code,
        differing=differing,
        left=_aside(folder),
        told="",
    )
    return kill if kill.held else replace(kill, told=f"{told[-600:]} | {said[-600:]}")


def _is_complete(command: KilledCommand, folder: Path) -> bool:
    """Whether the kill came too late for a command that does not replace what is there."""
    if command.measures:
        results = folder / OUT / "results.json"
        return results.exists() and read_results(results).complete
    return command.name == "zoo add" and "home/entries/mine.json" in _outputs(folder)


def _furnish(folder: Path) -> None:
    """The inputs, and empty places for all that a command keeps."""
    for place in ("home", "tmp", "state", "cache"):
        (folder / place).mkdir(parents=True, mode=0o700)
    save(network("sr"), folder / "model.safetensors")
    values = np.random.default_rng(0).integers(100, 4000, (150, 110)).astype(np.uint16)
    tifffile.imwrite(folder / "cells.tif", values, imagej=True)
    os.utime(folder / "cells.tif", (0, 0))
    lab_folder(folder / "lab", pairs=8)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        **{name: str(folder / place) for name, place in _PLACES.items()},
        "PYTHONPATH": str(REPO),
        "OMP_NUM_THREADS": "1",
    }


def _started(arguments: tuple[str, ...], folder: Path) -> "subprocess.Popen[str]":
    """The command, at the moment when its own work begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.studies.small_commands", *arguments],
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip() == small_commands.READY:
            return process
    raise SystemExit(f"{arguments} did not begin: exit code {process.wait()}")


def _done(command: KilledCommand, folder: Path) -> float:
    """Seconds that the undisturbed command takes."""
    process = _started(command.arguments, folder)
    began = time.monotonic()
    told = _told_until(process, small_commands.ENDED)
    took = time.monotonic() - began
    told += process.communicate(timeout=TIMEOUT_S)[1]
    if process.returncode:
        raise SystemExit(f"{command.name} exited with {process.returncode}: {told}")
    return took


def _told_until(process: "subprocess.Popen[str]", word: str) -> str:
    """All that a process says before it says this word, or ends."""
    assert process.stderr is not None
    return "".join(iter(process.stderr.readline, f"{word}\n")) if process.poll() is None else ""


def _outputs(folder: Path) -> Files:
    """Files under final names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for place in (OUT, "home")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file()
        and HIDDEN not in str(path.relative_to(folder))
        and not path.name.endswith(".state.pt")
    }


def _aside(folder: Path) -> list[str]:
    """Names that are no outputs: hidden ones of ours, states of trainings, and temporary files."""
    everything = sorted(folder.rglob("*"))
    named = [p for p in everything if HIDDEN in p.name or p.name.endswith(".state.pt")]
    temporary = [p for p in everything if p.parent == folder / "tmp" and p.name != _NOT_OURS]
    return sorted({path.relative_to(folder).as_posix() for path in (*named, *temporary)})


def _half(command: KilledCommand, folder: Path, expected: Files) -> list[str]:
    """Final names under which something lies that the undisturbed run does not leave there."""
    found = _outputs(folder)
    if command.measures:
        try:
            _saved_rows(folder)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            return [f"results.json: {error}"]
        return []
    half = [name for name in found if not _same(name, found, expected)]
    for output in command.whole:
        inside = [name for name in expected if name.startswith(f"{output}/")]
        if (folder / output).exists() and not set(inside) <= set(found):
            half.append(output)
    return half


def _same(name: str, found: Files, expected: Files) -> bool:
    one, other = found.get(name), expected.get(name)
    if one is None or other is None or not name.endswith((REPORT_SUFFIX, training_record.SUFFIX)):
        return one == other
    parts = [json.loads(content) for content in (one, other)]
    if name.endswith(training_record.SUFFIX):
        # How long a training took is another each time, and not known of one that was resumed.
        return bool({**parts[0], "hours": None} == {**parts[1], "hours": None})
    # A report holds cases of random sizes, new each time: what it says of which file must agree.
    return bool(parts[0]["sha256"] == parts[1]["sha256"] and parts[0]["passed"])


def _saved_rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / OUT / "results.json"
    if not path.exists():
        return []
    read_results(path)  # strict
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"]
    return rows


def _known(seed: int) -> list[dict[str, Any]]:
    """Kills of an earlier run with the same seed: those of commands not named are kept."""
    path = RESULTS / RESULT
    if not path.exists():
        return []
    document = json.loads(path.read_text("utf-8"))
    rows: list[dict[str, Any]] = document["rows"] if document["seed"] == seed else []
    return rows


def _wait(waits: Path | None) -> None:
    while waits is not None and waits.exists():
        time.sleep(3)


if __name__ == "__main__":
    sys.exit(main())
