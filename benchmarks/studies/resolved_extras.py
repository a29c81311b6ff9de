"""Packages that pip would install for each extra, by system and Python; nothing is installed.

    python -m benchmarks.studies.resolved_extras

On Linux pip itself resolves, `pip install --dry-run`, in a new environment of each Python that is
found (on PATH or of pyenv). For Windows and macOS, which there is no machine of, uv resolves for
that system (`pip install uv`). Both read what packages need from parts of their files; packages are
not downloaded. It writes benchmarks/results/resolved-extras.json.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.export.runtimes import RUNTIMES
from unifmir.text_tables import markdown_rows

REPO = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("", "cpu", "gpu", "directml", "openvino", "tensorrt", "tensorrt-rtx")
"""Extras that bring runtimes; the empty one is a plain install."""
SYSTEMS = {"Windows": "x86_64-pc-windows-msvc", "macOS": "aarch64-apple-darwin"}
"""System -> its name for uv."""
LINUX = "Linux"
_ADDRESS = re.compile(r"\w+://\S+")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Packages that an extra becomes on a system with a Python."""

    system: str
    python: str
    extra: str
    resolver: str
    """`pip` or `uv`, with its version."""
    packages: dict[str, str]
    """Version by distribution; empty where nothing was found that fits."""
    reason: str = ""
    """Why there is none."""


def requirements(extra: str) -> list[str]:
    """Requirements of `unifmir[extra]`, as pyproject.toml says it."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]


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


def resolved_by_pip(pip: Path, python: str, extra: str, folder: Path) -> Resolution:
    """Packages that the pip of an environment would install; nothing is downloaded."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    options = ("--dry-run", "--ignore-installed", "--use-feature=fast-deps", "--quiet")
    constrained = ("--prefer-binary", "--constraint", REPO / "constraints.txt")
    done = _called(
        [pip, "install", *options, *constrained, "--report", report, *requirements(extra)]
    )
    resolver = "pip " + _called([pip, "--version"]).stdout.split()[1]
    if done.returncode:
        return Resolution(LINUX, python, extra, resolver, {}, _reason(done.stderr))
    rows = json.loads(report.read_text("utf-8"))["install"]
    found = {row["metadata"]["name"].lower(): row["metadata"]["version"] for row in rows}
    return Resolution(LINUX, python, extra, resolver, dict(sorted(found.items())))


def resolved_by_uv(uv: str, system: str, python: str, extra: str) -> Resolution:
    """Packages that uv would install on another system."""
    options = ("--python-version", python, "--python-platform", SYSTEMS[system], "--quiet")
    shown = ("--no-header", "--no-annotate")
    constrained = ("--constraint", REPO / "constraints.txt", "-")
    done = _called([uv, "pip", "compile", *options, *shown, *constrained], requirements(extra))
    resolver = _called([uv, "--version"]).stdout.partition(" (")[0].strip()
    if done.returncode:
        return Resolution(system, python, extra, resolver, {}, _reason(done.stderr))
    lines = [line.partition(" ;")[0] for line in done.stdout.splitlines() if "==" in line]
    return Resolution(system, python, extra, resolver, dict(line.split("==") for line in lines))


def resolutions(folder: Path) -> Iterator[Resolution]:
    """Each extra on each system, with each Python that is here."""
    for python in PYTHONS:
        interpreter = find_python(python)
        if interpreter is None:
            raise SystemExit(f"Python {python} is not on this machine: on PATH, or of pyenv")
        _checked([interpreter, "-m", "venv", folder / python])
        pip = folder / python / "bin" / "pip"
        # Earlier ones download what they would install.
        _checked([pip, "install", "--quiet", "pip>=26"])
        for extra in EXTRAS:
            yield resolved_by_pip(pip, python, extra, folder)
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not on PATH: pip install uv")
    for system in SYSTEMS:
        for python in PYTHONS:
            for extra in EXTRAS:
                yield resolved_by_uv(uv, system, python, extra)


def resolved_table(document: dict[str, Any]) -> str:
    """Packages of each extra on each system, a row for the Pythons that are alike."""
    rows = [Resolution(**row) for row in document["rows"]]
    lines = []
    for system in dict.fromkeys(row.system for row in rows):
        for extra in EXTRAS:
            cells = {
                row.python: _cell(row) for row in rows if (row.system, row.extra) == (system, extra)
            }
            named = f"`unifmir[{extra}]`" if extra else "`unifmir`"
            for cell in dict.fromkeys(cells.values()):
                with_it = ", ".join(python for python, own in cells.items() if own == cell)
                lines.append([system, named, with_it, *cell])
    resolvers = ", ".join(dict.fromkeys(row.resolver for row in rows))
    heads = ["system", "install", "Python", "packages", "ONNX Runtime", "torch", "CUDA, cuDNN"]
    table = markdown_rows(heads, lines)
    return f"{table}\n\nResolved by {resolvers}, nothing installed. {origin(document)}"


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


def _called(command: Sequence[str | Path], given: Sequence[str] = ()) -> Any:
    own = ("PYTHON", "PIP_FIND_LINKS", "PIP_CONSTRAINT")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    # What the public index offers, whatever this machine's own settings add to it.
    kept["PIP_CONFIG_FILE"] = os.devnull
    # The oldest that PyTorch has packages for; uv takes an older one if nothing is said.
    kept["MACOSX_DEPLOYMENT_TARGET"] = "14.0"
    return subprocess.run(
        command, input="\n".join(given), env=kept, capture_output=True, text=True, check=False
    )


def _checked(command: Sequence[str | Path]) -> None:
    done = _called(command)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {_reason(done.stderr)}")


def _reason(messages: str) -> str:
    """Last of the resolver's messages, without addresses."""
    said = [line.strip() for line in messages.splitlines() if line.strip()]
    return _ADDRESS.sub("<address>", " ".join(said[-2:]))[:400]


def main() -> None:
    """Resolve, say each, and write them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="unifmir-resolved-") as name:
        for row in resolutions(Path(name)):
            found = " ".join(_cell(row)) + row.reason
            print(f"{row.system} {row.python} [{row.extra}]: {found}", flush=True)
            if len(builds(row.packages)) > 1:
                raise SystemExit(f"two builds of ONNX Runtime: {builds(row.packages)}")
            rows.append(asdict(row))
    head = provenance("python -m benchmarks.studies.resolved_extras")
    write_result("resolved-extras.json", {**head, "rows": rows})


if __name__ == "__main__":
    main()
