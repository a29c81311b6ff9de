"""Packages that pip would install for each extra, by system and Python; nothing is installed.

    python -m benchmarks.studies.resolved_extras

pip itself resolves on Linux what chooses the build of ONNX Runtime: `pip install
--dry-run '.[cpu]'` with constraints.txt, in a copy of the checkout and a new environment of each
Python that is found (on PATH or of pyenv). That takes minutes for one, so what the other extras
become, without constraints.txt too, and on systems that there is no machine of, is uv's word
(`pip install uv`), which reads the same pyproject.toml. Both read what packages need from parts of
their files; packages are not downloaded.

It writes benchmarks/results/resolved-extras.json.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unifmir.benchmarks.studies.result_files import REPO, origin, provenance, write_result
from unifmir.export.runtimes import RUNTIMES
from unifmir.text_tables import markdown_rows

PYTHONS = ("3.11", "3.12", "3.13")
RUNTIME_EXTRAS = (
    *("", "cpu", "gpu", "directml", "openvino", "tensorrt", "tensorrt-rtx"),
    *("cpu,openvino", "cpu,compiler", "gpu,tensorrt-rtx"),
)
"""Extras that bring runtimes, and what docs/install.md offers together; the empty one is a plain
install."""
OTHER_EXTRAS = (
    *("benchmark", "browser", "compiler", "dev", "docs", "keras", "napari", "publish"),
    *("segmentation", "train", "web", "zarr"),
)
"""All others of pyproject.toml, looked at on Linux alone."""
EXTRAS = (*RUNTIME_EXTRAS, *OTHER_EXTRAS)
BY_PIP = ("cpu", "gpu")
"""Extras that pip resolves, with constraints.txt."""
LINUX = "Linux"
SYSTEMS = {
    LINUX: "x86_64-unknown-linux-gnu",
    "Windows": "x86_64-pc-windows-msvc",
    "macOS": "aarch64-apple-darwin",
}
"""System -> its name for uv."""
AT_ONCE = 4
"""Processes of uv, which wait for the network most of the time."""
_ADDRESS = re.compile(r"\w+://(?:[^@/\s]*@)?([^/\s]+)\S*")
_ERROR = re.compile(r"^ERROR:|\w+Error: \S|installation of .* failed|is not reachable")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Packages that an extra becomes on a system with a Python."""

    system: str
    python: str
    extra: str
    resolver: str
    """`pip` or `uv`, with its version."""
    constrained: bool
    """Whether with constraints.txt."""
    packages: dict[str, str]
    """Version by distribution; empty where nothing was found that fits."""
    reason: str = ""
    """Why there is none."""


def builds(packages: dict[str, str]) -> list[str]:
    """Distributions of ONNX Runtime among packages: more than one overwrite each other."""
    return [name for name in RUNTIMES["onnxruntime"].distributions if name in packages]


def find_python(version: str) -> Path | None:
    """An interpreter of a version that runs, on PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = shutil.which(f"python{version}")
    candidates = [*([Path(found)] if found else []), *pyenv.glob(f"{version}.*/bin/python3")]
    code = "import venv, sys; print('{}.{}'.format(*sys.version_info))"
    for candidate in (Path(sys.executable), *candidates):
        if _called([candidate, "-c", code]).stdout.strip() == version:
            return candidate
    return None


def resolved_by_pip(pip: Path, python: str, extra: str) -> Resolution:
    """Packages that the pip of an environment would install for the checkout beside it."""
    checkout = pip.parents[2] / "unifmir"
    report = pip.parents[2] / "report.json"
    report.unlink(missing_ok=True)
    options = ("--dry-run", "--ignore-installed", "--use-feature=fast-deps", "--quiet")
    limits = ("--prefer-binary", "--constraint", REPO / "constraints.txt")
    done = _called(
        [pip, "install", *options, *limits, "--report", report, f".[{extra}]"], folder=checkout
    )
    resolver = "pip " + _called([pip, "--version"]).stdout.split()[1]
    if done.returncode:
        reason = reason_of(done.stderr)
        return Resolution(LINUX, python, extra, resolver, True, {}, reason)
    rows = json.loads(report.read_text("utf-8"))["install"]
    found = {row["metadata"]["name"].lower(): row["metadata"]["version"] for row in rows}
    del found["unifmir"]
    return Resolution(LINUX, python, extra, resolver, True, dict(sorted(found.items())))


def resolved_by_uv(uv: str, system: str, python: str, extra: str, constrained: bool) -> Resolution:
    """Packages that uv would install on a system."""
    options = ("--python-version", python, "--python-platform", SYSTEMS[system], "--quiet")
    shown = ("--no-header", "--no-annotate", "--python", sys.executable)
    extras = [word for name in extra.split(",") if name for word in ("--extra", name)]
    limits = ("--constraint", REPO / "constraints.txt") if constrained else ()
    project = REPO / "pyproject.toml"
    done = _called([uv, "pip", "compile", project, *extras, *options, *shown, *limits])
    resolver = _called([uv, "--version"]).stdout.partition(" (")[0].strip()
    if done.returncode:
        return Resolution(system, python, extra, resolver, constrained, {}, reason_of(done.stderr))
    lines = [line.partition(" ;")[0] for line in done.stdout.splitlines() if "==" in line]
    found = dict(line.split("==") for line in lines)
    return Resolution(system, python, extra, resolver, constrained, found)


def resolutions(folder: Path) -> Iterator[Resolution]:
    """Each extra on each system, with each Python that is here."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not on PATH: pip install uv")
    with ThreadPoolExecutor(len(PYTHONS)) as pips, ThreadPoolExecutor(AT_ONCE) as uvs:
        by_pip = [
            pips.submit(_by_pip, python, folder / python, checked_python(python))
            for python in PYTHONS
        ]
        cases = [
            *((LINUX, extra, constrained) for constrained in (True, False) for extra in EXTRAS),
            *((system, extra, True) for system in ("Windows", "macOS") for extra in RUNTIME_EXTRAS),
        ]
        by_uv = [
            uvs.submit(resolved_by_uv, uv, system, python, extra, constrained)
            for system, extra, constrained in cases
            for python in PYTHONS
        ]
        for one in by_pip:
            yield from one.result()
        for other in by_uv:
            yield other.result()


def checked_python(version: str) -> Path:
    """An interpreter of a version; an error where there is none."""
    interpreter = find_python(version)
    if interpreter is None:
        raise SystemExit(f"Python {version} is not on this machine: on PATH, or of pyenv")
    return interpreter


def _by_pip(python: str, folder: Path, interpreter: Path) -> list[Resolution]:
    """Resolutions by pip with one Python, in an environment beside a copy of the checkout."""
    _checked([interpreter, "-m", "venv", folder / "environment"])
    # A copy: pip has the metadata written into the checkout.
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        (folder / "unifmir").mkdir(exist_ok=True)
        shutil.copy(REPO / name, folder / "unifmir")
    for name in ("unifmir", "export", "zoo", "benchmarks", "cli"):
        shutil.copytree(REPO / name, folder / "unifmir" / name, symlinks=True)
    pip = folder / "environment" / "bin" / "pip"
    # Earlier ones download what they would install.
    _checked([pip, "install", "--quiet", "pip>=26"])
    return [resolved_by_pip(pip, python, extra) for extra in BY_PIP]


def resolved_table(document: dict[str, Any]) -> str:
    """Packages of each extra on each system, a row for the Pythons that are alike."""
    rows = [Resolution(**row) for row in document["rows"]]
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        named = f"`.[{row.extra}]`" if row.extra else "`.`"
        limits = "with" if row.constrained else "without"
        key = (row.system, named, row.resolver.split()[0], limits, *_cell(row))
        found.setdefault(key, []).append(row.python)
    lines = [
        [system, named, by, limits, ", ".join(pythons), *cell]
        for (system, named, by, limits, *cell), pythons in found.items()
    ]
    resolvers = ", ".join(dict.fromkeys(row.resolver for row in rows))
    heads = ["system", "install", "by", "constraints", "Python"]
    heads += ["packages", "ONNX Runtime", "torch", "CUDA, cuDNN"]
    reasons = "".join(f"- {text}\n" for text in _reasons(rows))
    table = markdown_rows(heads, lines)
    return f"{table}\n\n{reasons}\nBy {resolvers}, nothing installed. {origin(document)}"


def _reasons(rows: Sequence[Resolution]) -> Iterator[str]:
    """Sentence on each extra that cannot be resolved on a system."""
    told: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.reason:
            told.setdefault((row.system, row.extra), row.reason)
    for (system, extra), reason in told.items():
        yield f"`{extra}` on {system}: {reason}"


def _cell(row: Resolution) -> tuple[str, ...]:
    """Number of packages, ONNX Runtime, torch and NVIDIA's libraries."""
    if not row.packages:
        return ("cannot be resolved", "-", "-", "-")
    named = [f"{name} {row.packages[name]}" for name in builds(row.packages)]
    cuda, cudnn = (
        next((version for name, version in row.packages.items() if name.startswith(start)), "")
        for start in ("nvidia-cuda-runtime", "nvidia-cudnn")
    )
    libraries = f"{cuda}, {cudnn}" if cuda else "-"
    return (str(len(row.packages)), ", ".join(named) or "none", row.packages["torch"], libraries)


def _called(command: Sequence[str | Path], folder: Path | None = None) -> Any:
    own = ("PYTHON", "PIP_FIND_LINKS", "PIP_CONSTRAINT")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    # What the public index offers, whatever this machine's own settings add to it.
    kept["PIP_CONFIG_FILE"] = os.devnull
    # The oldest that PyTorch has packages for; uv takes an older one if nothing is said.
    kept["MACOSX_DEPLOYMENT_TARGET"] = "14.0"
    return subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False
    )


def _checked(command: Sequence[str | Path]) -> None:
    done = _called(command)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {reason_of(done.stderr)}")


def reason_of(messages: str) -> str:
    """Errors that a resolver tells, without the advice that follows them."""
    told = _ADDRESS.sub(r"\1", messages.partition("hint:")[0])
    lines = [line.strip() for line in told.splitlines()]
    said = [line for line in lines if line and not line.startswith(("note:", "WARNING"))]
    errors = [line for line in said if _ERROR.search(line)]
    return " ".join(dict.fromkeys(errors or said))[:600]


def main() -> None:
    """Resolve, say each, and write them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="unifmir-resolved-") as name:
        for row in resolutions(Path(name)):
            found = " ".join(_cell(row)) + row.reason
            print(f"{row.system} {row.python} [{row.extra}]: {found}", flush=True)
            rows.append(asdict(row))
    head = provenance("python -m benchmarks.studies.resolved_extras")
    write_result("resolved-extras.json", {**head, "rows": rows})


if __name__ == "__main__":
    main()
