"""What a release consists of, built twice and looked at: `make release`.

Into `dist/`: wheel and source archive, the bill of materials (CycloneDX) of the versions that the
tests run on and of the web page's packages, the licences of both, the changelog's section, and
SHA256SUMS of all. Nothing is uploaded. Last, and only where nothing is missing, the wheel is tried
with every Python and with the lowest versions, which takes up to two hours. With `--draft` what is
missing for a release is said, and the rest is made.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.packaging import wheel_trials
from unifmir.atomic import writing
from unifmir.version import __version__

ALLOWED = re.compile(
    r"\b(?:MIT|BSD|0BSD|Apache|ISC|ISCL|PSF|Python Software Foundation|MPL|Mozilla Public|"
    r"Unlicense|Zlib|CC0|BSL-1\.0|HPND)\b"
)
"""Licences under which a program of any licence may use a library, by words of their names."""
SEPARATORS = re.compile(r"\s+AND\s+|\s+OR\s+|\s+WITH\s+|;\s*|\(|\)")
EXCEPTIONS = {
    "bioimageio.core": "MIT; its metadata have no field of it, the archive has the text",
    "bioimageio.spec": "MIT; its metadata have no field of it, the archive has the text",
    "tensorrt_rtx": "NVIDIA's; an extra that nobody needs, never shipped with this package",
    "tensorrt_rtx_cu13": "part of tensorrt_rtx",
    "tensorrt_rtx_cu13_bindings": "part of tensorrt_rtx",
    "tensorrt_rtx_cu13_libs": "part of tensorrt_rtx",
}
"""Packages whose metadata name no licence, or one of their own, and why they may be used."""

WEB = Path("cli", "web")
PAGE = WEB / "dist"
"""The built web page, which is not in git: `make release` builds it before."""

Run = Callable[..., str]


class ReleaseError(Exception):
    """Something that a release must not have."""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Output of a command that must succeed."""
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    except OSError as error:
        raise ReleaseError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command[:4]))} ...: {done.stderr.strip()[-800:]}")
    return done.stdout


def section(changelog: str, version: str) -> str:
    """The changelog's part on a version; its heading has the day of the release.

    Raises
    ------
    ReleaseError
        There is none, it has no day, or nothing in it.
    """
    found = re.search(
        rf"^## {re.escape(version)} \(([^)\n]*)\)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S
    )
    if found is None:
        raise ReleaseError(
            f"CHANGELOG.md: expected `## {version} (YYYY-MM-DD)`, found no such heading"
        )
    day, text = found[1], found[2].strip()
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        raise ReleaseError(f"CHANGELOG.md: expected {version} (YYYY-MM-DD), found ({day})")
    if not re.search(r"^- ", text, re.M):
        raise ReleaseError(f"CHANGELOG.md: nothing is listed under version {version}")
    return text + "\n"


def check_version(root: Path, version: str) -> None:
    """The version stands the same in every place that names it."""
    cited = re.search(r"^version: (.+)$", (root / "CITATION.cff").read_text("utf-8"), re.M)
    if cited is None or cited[1].strip() != version:
        told = cited[1].strip() if cited else "none"
        raise ReleaseError(f"CITATION.cff: expected version {version}, found {told}")


def check_tree(root: Path) -> None:
    """Everything is committed: what is built is what the commit has."""
    if changed := run("git", "status", "--porcelain", cwd=root):
        names = [line[3:] for line in changed.splitlines()]
        raise ReleaseError(f"not committed: {', '.join(names[:5])}")


def check_page(root: Path) -> None:
    """The web page is built, which the wheel carries."""
    if not (root / PAGE / "index.html").is_file():
        raise ReleaseError(f"{PAGE.as_posix()}: no page; `make web` builds it")


def check_page_again(root: Path) -> None:
    """The web page comes out the same when it is built again.

    Raises
    ------
    ReleaseError
        It does not: the built one is of other sources, or depends on more than them.
    """
    web = root / WEB
    if not (web / "node_modules").is_dir():
        run("npm", "ci", "--no-audit", "--no-fund", cwd=web)
    with TemporaryDirectory() as folder:
        run("npm", "run", "build", "--", "--outDir", folder, "--emptyOutDir", cwd=web)
        one, other = files_in(root / PAGE), files_in(Path(folder))
    require_same(one, other, "the web page, built again")


def files_in(folder: Path) -> dict[str, bytes]:
    """Bytes of all files below a folder, by their paths in it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def require_same(one: dict[str, bytes], other: dict[str, bytes], what: str) -> None:
    """Refuse files that differ."""
    if differing := sorted(name for name in one | other if one.get(name) != other.get(name)):
        raise ReleaseError(f"{what}: not the same bytes: {', '.join(differing)}")


def build(root: Path, into: Path) -> dict[str, bytes]:
    """Wheel and source archive of the last commit, by name."""
    when = run("git", "log", "-1", "--format=%ct", cwd=root).strip()
    source = into / "source"
    source.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=root, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(source, filter="tar")
    if (root / PAGE).is_dir():  # main refuses a release without it
        shutil.copytree(root / PAGE, source / PAGE)
    env = {**os.environ, "SOURCE_DATE_EPOCH": when}
    code = (
        "import sys; from setuptools import build_meta as backend; "
        "out = sys.argv[1]; backend.build_sdist(out); backend.build_wheel(out)"
    )
    out = into / "built"
    run(sys.executable, "-c", code, out, cwd=source, env=env)
    made = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    return {
        name: same_each_time(content, int(when)) if name.endswith(".tar.gz") else content
        for name, content in made.items()
    }


def same_each_time(archive: bytes, when: int) -> bytes:
    """A source archive whose members have one time and no owner, in the order of their names.

    Setuptools 80 writes the time of building and the user into it.
    """
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as given,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in sorted(given.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = when, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            tar.addfile(member, given.extractfile(member) if member.isfile() else None)
    return gzip.compress(packed.getvalue(), mtime=when)


def built_twice(root: Path) -> dict[str, bytes]:
    """Wheel and source archive, after both came out the same in two folders of unlike names.

    Both carry the one page that is built; `check_page_again` builds that twice.

    Raises
    ------
    ReleaseError
        They differ.
    """
    with TemporaryDirectory() as first, TemporaryDirectory(prefix="another-place-") as second:
        one, other = build(root, Path(first)), build(root, Path(second) / "deeper")
    require_same(one, other, "built twice")
    return one


def licence_trouble(packages: Iterable[dict[str, str]]) -> list[str]:
    """Packages whose licence is not among the allowed ones, and no exception."""
    return [
        f"{package['Name']}: {package['License']}"
        for package in packages
        if package["Name"] not in EXCEPTIONS
        and not all(
            ALLOWED.search(part) or part in ("DFSG approved", "LLVM-exception")
            for part in SEPARATORS.split(package["License"])
            if part.strip()
        )
    ]


def audit_trouble(report: dict[str, Any]) -> list[str]:
    """Known vulnerabilities, and packages that nobody could ask about: not asked is not passed."""
    found = []
    unasked = []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unasked.append(package["name"])
        for flaw in package.get("vulns", []):
            fixed = ", ".join(flaw.get("fix_versions", [])) or "no version"
            found.append(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    if unasked:
        total = len(report["dependencies"])
        found.append(f"the database did not answer for {len(unasked)} of {total} packages")
    return found


def tools(root: Path) -> Path:
    """Folder of the commands that look at dependencies, in an environment of their own."""
    folder = root / "build" / "release-tools"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "complete").is_file():
        run(sys.executable, "-m", "venv", "--clear", folder, cwd=root)
        wanted = ["cyclonedx-bom>=7,<8", "pip-audit>=2.10", "pip-licenses>=5.5"]
        run(programs / "python", "-m", "pip", "install", "--quiet", *wanted, cwd=root)
        (folder / "complete").touch()
    return programs


def page_packages(root: Path) -> list[dict[str, str]]:
    """Name, version, licence and hash of the npm packages that the web page may hold.

    They are those of its lock that only tools need not: what a package of it brings along counts.
    """
    lock = json.loads((root / WEB / "package-lock.json").read_text("utf-8"))
    return [
        {
            "Name": path.rpartition("node_modules/")[2],
            "Version": facts["version"],
            "License": facts.get("license", "UNKNOWN"),
            "Hash": facts.get("integrity", ""),
        }
        for path, facts in lock["packages"].items()
        if path and not facts.get("dev")
    ]


def with_page(bom: str, packages: Iterable[dict[str, str]]) -> str:
    """A bill of materials that lists the web page's packages too."""
    document = json.loads(bom)
    for package in packages:
        kind, _, digest = package["Hash"].partition("-")
        purl = f"pkg:npm/{package['Name'].replace('@', '%40')}@{package['Version']}"
        component = {
            "bom-ref": purl,
            "description": f"package-lock.json of the web page: {package['Name']}",
            "licenses": [{"expression": package["License"]}],
            "name": package["Name"],
            "purl": purl,
            "type": "library",
            "version": package["Version"],
        }
        if kind == "sha512":
            content = base64.b64decode(digest).hex()
            component["hashes"] = [{"alg": "SHA-512", "content": content}]
        document["components"].append(component)
        document["dependencies"].append({"ref": purl})
    return json.dumps(document, indent=2) + "\n"


def bill_of_materials(root: Path, programs: Path) -> str:
    """The versions that the tests run on, and the web page's packages, as CycloneDX JSON."""
    when = run("git", "log", "-1", "--format=%ct", cwd=root).strip()
    bom = run(
        *(programs / "cyclonedx-py", "requirements", "--output-reproducible"),
        *("--mc-type", "library", "--pyproject", "pyproject.toml", "constraints.txt"),
        cwd=root,
        env={**os.environ, "SOURCE_DATE_EPOCH": when},
    )
    return with_page(bom, page_packages(root))


def licences(root: Path, programs: Path) -> list[dict[str, str]]:
    """Name, version and licence of every installed package that the constraints name."""
    told = run(
        *(programs / "pip-licenses", "--python", sys.executable),
        *("--from=mixed", "--format=json", "--order=name"),
        cwd=root,
    )
    return [package for package in json.loads(told) if package["Name"] != "unifmir"]


def audit(root: Path, programs: Path) -> dict[str, Any]:
    """What the database of vulnerabilities says of the constraints."""
    command = ["--requirement", "constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    # It exits with 1 where it found something, which its answer says too.
    done = subprocess.run(
        [programs / "pip-audit", *command], cwd=root, capture_output=True, text=True
    )
    if not done.stdout.startswith("{"):
        raise ReleaseError(f"pip-audit: {done.stderr.strip()[-400:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def tried(root: Path, files: Mapping[str, bytes], missing: Sequence[str]) -> list[str]:
    """What the trials of the wheel found; they are not made where other things are missing."""
    if missing:
        return ["not tried, as other things are missing"]
    ((name, wheel),) = ((name, files[name]) for name in files if name.endswith(".whl"))
    return wheel_trials.trouble(root, name, wheel)


def store(path: Path, content: bytes) -> None:
    """Write a file under its name when it is complete."""
    with writing(path) as partial:
        partial.write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make `dist/`; 1 if something is missing for a release."""
    told = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="make release", description=told)
    parser.add_argument("--draft", action="store_true", help="say what is missing, and go on")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    asked = parser.parse_args(arguments)
    root = Path(__file__).resolve().parents[2]
    missing: list[str] = []

    def step(what: str, made: Callable[[], Any]) -> Any:
        try:
            result = made()
        except ReleaseError as error:
            missing.append(str(error))
            print(f"no   {what}: {error}", flush=True)
            return None
        print(f"yes  {what}", flush=True)
        return result

    def without_trouble(found: list[str]) -> None:
        if found:
            raise ReleaseError("; ".join(found))

    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    programs = tools(root)
    step("everything is committed", lambda: check_tree(root))
    step("the web page is built", lambda: check_page(root))
    step("CITATION.cff has the version", lambda: check_version(root, __version__))
    notes = step(
        "the changelog has the version and its day", lambda: section(changelog, __version__)
    )
    step("the web page built again, the same bytes", lambda: check_page_again(root))
    files: dict[str, bytes] = (
        step("wheel and source archive built twice, the same bytes", lambda: built_twice(root))
        or {}
    )
    if bom := step("bill of materials", lambda: bill_of_materials(root, programs)):
        files[f"unifmir-{__version__}.cdx.json"] = bom.encode()
    used = licences(root, programs) + page_packages(root)
    step("licences of dependencies", lambda: without_trouble(licence_trouble(used)))
    files[f"unifmir-{__version__}-licences.json"] = json.dumps(used, indent=1).encode()
    step("no known vulnerability", lambda: without_trouble(audit_trouble(audit(root, programs))))
    step(
        "the wheel works with every Python and the lowest versions",
        lambda: without_trouble(tried(root, files, missing)),
    )
    if notes:
        files["NOTES.md"] = notes.encode()
    if missing and not asked.draft:
        print(f"no release: {len(missing)} missing; --draft makes the files all the same")
        return 1
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        store(asked.out / name, content)
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    store(asked.out / "SHA256SUMS", sums.encode())
    print(sums, end="")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
