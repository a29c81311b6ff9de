"""Environments beside this one, with other versions of libraries, made by pip on first use.

They lie in a private folder of the user's cache, and can be removed at any time.
"""

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unifmir.atomic import temporary_folder, working_folder, write_text
from unifmir.errors import InUseError, OutputError, UntrustedError
from unifmir.export.formats.bioimageio.partners.base import CheckedPackage, NotRunError
from unifmir.file_locks import held
from unifmir.machine import installed_version
from unifmir.user_folders import OTHERS_WRITE, make_private_folder, require_private, user_folder

logger = logging.getLogger(__name__)

FOLDER = "UNIFMIR_ENVIRONMENTS"
"""Environment variable that names another folder for the environments."""
INSTALL_SECONDS, RUN_SECONDS = 1800, 900
_TORCH_NEEDS = (
    *("filelock", "fsspec", "jinja2", "networkx"),
    *("setuptools", "sympy", "typing-extensions"),
)
"""Requirements of PyTorch's builds for the CPU (its metadata, 2.0 to 2.13)."""
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index, which alone has builds for the CPU for Linux on x86."""
_TORCH_PARTS = ("torch", "torchgen", "functorch", "nvidia", "triton")
"""Folders of an installed PyTorch, those of builds for CUDA included."""
_TOLD = 300


@dataclass(frozen=True, slots=True)
class SideEnvironment:
    """Libraries of a partner, in an environment of their own."""

    name: str
    requirements: tuple[str, ...]
    """Requirements as pip takes them."""
    wanted: tuple[str, ...] = ()
    """Exact versions that the partner runs. Where pip has no wheel of one for this Python, pip
    chooses, and the report says so."""
    alone: tuple[str, ...] = ()
    """Installed without what they require."""
    torch: str = ""
    """Version of PyTorch that the partner runs; `here`: any; empty: none. Where pip has no build
    for the CPU, the one of this environment is linked in: builds for CUDA have gigabytes."""

    @property
    def path(self) -> Path:
        """The environment's folder, which depends on all that it holds."""
        torch = installed_version("torch") if self.torch else None
        facts = [self.requirements, self.wanted, self.alone, self.torch, torch, sys.version_info]
        digest = hashlib.sha256(json.dumps([sys.prefix, facts]).encode()).hexdigest()[:12]
        return user_folder(FOLDER, "cache", "environments") / f"{self.name}-{digest}"

    @property
    def pins(self) -> dict[str, str]:
        """Version that the partner runs, by distribution."""
        found = dict(one.split("==") for one in (*self.requirements, *self.wanted) if "==" in one)
        return found | ({"torch": self.torch} if self.torch not in ("", "here") else {})

    def differences(self, versions: dict[str, str]) -> tuple[str, ...]:
        """Sentences on versions that are not the partner's."""
        return tuple(
            f"{name} {versions.get(name, 'missing')} in place of {pin}"
            for name, pin in self.pins.items()
            if versions.get(name, "").partition("+")[0] != pin
        )

    def run(
        self, program: Path, arguments: Sequence[str | Path], given: CheckedPackage
    ) -> dict[str, Any]:
        """Run a program of ours there, in an empty folder; what its last line of JSON says.

        Raises
        ------
        NotRunError
            There is no environment and none can be made, or the program finds no library.
        """
        python = self._interpreter(given)
        given.say(f"{self.name}: checking")
        with temporary_folder() as folder:
            try:
                # -I: nothing of this process's paths, and no module beside the program.
                done = subprocess.run(
                    [python, "-I", "-W", "ignore", program, *arguments],
                    cwd=folder,
                    check=False,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=RUN_SECONDS,
                )
            except subprocess.TimeoutExpired:
                return {"error": f"took longer than {RUN_SECONDS} s"}
            except OSError as error:
                raise NotRunError(f"its Python cannot be started ({error.strerror})") from error
        try:
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            tail = " ".join(done.stderr[-_TOLD:].split())
            return {"error": f"ended with status {done.returncode} ({tail})"}
        if missing := found.get("missing"):
            raise NotRunError(f"a library is missing there: {missing}; remove {self.path}")
        return found

    def _interpreter(self, given: CheckedPackage) -> Path:
        """Python of the environment, which is made if it is not there."""
        path = self.path
        try:
            make_private_folder(path.parent)
            if not _complete(path):
                if given.offline:
                    raise NotRunError("its environment is not there, and --offline makes none")
                with held(path):
                    if not _complete(path):
                        self._make(path, given)
            require_private(path, OTHERS_WRITE)
        except InUseError as error:
            raise NotRunError(f"its environment is being made: {error}") from error
        except (OSError, OutputError, UntrustedError) as error:
            raise NotRunError(
                f"its environment cannot be made ({error}); {FOLDER} names another folder"
            ) from error
        return _python(path)

    def _make(self, path: Path, given: CheckedPackage) -> None:
        started = time.monotonic()
        given.say(f"{self.name}: making an environment with {', '.join(self.requirements)}")
        with working_folder(path.parent) as folder:
            aside = folder / path.name
            _called([sys.executable, "-m", "venv", str(aside)])
            needs = _TORCH_NEEDS if self.torch else ()
            try:
                _install(aside, *self.requirements, *self.wanted, *needs)
            except NotRunError as error:
                if not self.wanted:
                    raise
                logger.info("%s: %s; pip chooses the versions of %s", self.name, error, self.wanted)
                free = [one.partition("==")[0] for one in self.wanted]
                _install(aside, *self.requirements, *free, *needs)
            if self.alone:
                _install(aside, "--no-deps", *self.alone)
            if self.torch:
                self._add_torch(aside)
            write_text(aside / "complete", "")
            aside.chmod(0o700)
            aside.replace(path)
        given.say(f"{self.name}: environment made in {time.monotonic() - started:.0f} s")

    def _add_torch(self, aside: Path) -> None:
        if self.torch != "here":
            try:
                _install(aside, "--no-deps", *_torch_for_cpu(self.torch))
            except NotRunError as error:
                logger.info("%s: the PyTorch of this environment is taken: %s", self.name, error)
            else:
                return
        _link_torch(aside)


def _torch_for_cpu(version: str) -> tuple[str, ...]:
    """Arguments of pip for a build for the CPU, which most systems have under the plain version.

    For Linux on x86 the package index has that for CUDA.
    """
    if platform.system() == "Linux" and platform.machine() in ("x86_64", "AMD64"):
        asked_once = ("--retries", "1", "--timeout", "30")  # it cannot be reached from everywhere
        return (*asked_once, "--extra-index-url", _CPU_INDEX, f"torch=={version}+cpu")
    return (f"torch=={version}",)


def _complete(path: Path) -> bool:
    return (path / "complete").is_file()


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(environment: Path, *requirements: str) -> None:
    """Let pip install wheels; NotRunError with its reason."""
    pip = [str(_python(environment)), "-m", "pip", "install", "--quiet", "--no-compile"]
    _called([*pip, "--no-input", "--only-binary", ":all:", *requirements])


def _called(command: Sequence[str]) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command,
            env=kept,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotRunError(f"pip took longer than {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise NotRunError(pip_reason(done.stderr))


def pip_reason(messages: str) -> str:
    """Why pip failed, in a line: without addresses, in which there may be passwords."""
    lines = [line for line in messages.splitlines() if line.startswith("ERROR:")]
    told = lines[-1].removeprefix("ERROR:") if lines else messages[-_TOLD:]
    told = re.sub(r"\w+://\S+", "<address>", " ".join(told.split()))
    return f"pip failed: {told[:_TOLD]}"


def _link_torch(environment: Path) -> None:
    """Make the PyTorch of this environment importable there, without a copy."""
    here = find_spec("torch")
    (there,) = (
        [environment / "Lib" / "site-packages"]
        if os.name == "nt"
        else environment.glob("lib/python*/site-packages")
    )
    if here is None or here.origin is None:
        raise NotRunError("PyTorch is not installed here")
    packages = Path(here.origin).resolve().parents[1]
    for name in (*_TORCH_PARTS, *(one.name for one in packages.glob("torch-*.dist-info"))):
        if (packages / name).exists():
            (there / name).symlink_to(packages / name, target_is_directory=True)
