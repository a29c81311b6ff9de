"""A static site: the built page, what a server would tell it, models as ONNX, sample images."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.pruning import task_network
from unifmir.errors import MissingExtraError, OutputError, ZooError
from unifmir.export.pipeline import export
from unifmir.export.runtimes import RUNTIMES
from unifmir.hashing import sha256_of
from unifmir.images.open_files import open_source
from unifmir.json_values import json_form
from unifmir.output_place import real_path
from unifmir.tasks import TASKS
from unifmir.version import __version__
from unifmir.zoo.catalogue.index import entries, find
from unifmir.zoo.catalogue.load import load_trained
from unifmir.zoo.catalogue.pull import how_to_get, present_file
from unifmir.zoo.catalogue.schema import ZooEntry
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.serve import server_facts
from unifmir.zoo.serve.page_rules import PAGE_RULES
from unifmir.zoo.site.browser_network import browser_network, site_interface
from unifmir.zoo.site.sample_pictures import write_pictures
from unifmir.zoo.site.site_folder import FACTS, published_folder

ENGINE = "engine"
"""Folder of the page that holds the runtime which computes in browsers."""
SERVED = '<meta name="unifmir-engine" content="server" />'
"""Line of the page that says who restores."""
OnStep = Callable[[str, int, int], None]
"""Called with what is done next, the steps that are done, and all of them."""


@dataclass(frozen=True, slots=True)
class BuiltSite:
    """A site that was written."""

    folder: Path
    networks: tuple[tuple[str, str], ...]
    """Model and task of what can be tried."""
    size_bytes: int
    page_bytes: int
    """All that a browser fetches before an image is restored."""


@dataclass(frozen=True, slots=True)
class _Trial:
    model: ZooEntry
    task: str


def build_site(
    out: Path,
    *,
    page: Path,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    tables: Sequence[dict[str, Any]] = (),
    overwrite: bool = False,
    on_step: OnStep | None = None,
) -> BuiltSite:
    """Write a static site of the zoo.

    Parameters
    ----------
    out : Path
        Folder of the site. One that holds a site of ours is replaced.
    page : Path
        Folder of the built page.
    models : sequence of str
        Ids of models that can be tried; all that are on this machine where none is named. Cards
        are of every model.
    tasks : sequence of str
        Tasks that can be tried; all where none is named.
    tables : sequence of dict
        Tables of results that the page shows before those of the models, as a server's.
    overwrite : bool
        Replace a folder that is no site, too.
    on_step : callable, optional

    Raises
    ------
    ZooError
        A model that is named is not on this machine, or no model is for the tasks.
    OutputError
        There is something else at `out`, or it lies in the page.
    ExportError
        A model's file is not the same picture.
    MissingExtraError
        The page was not built, or was built without its runtime.
    """
    require_page(page)
    if real_path(page) in (real_path(out), *real_path(out).parents):
        raise OutputError(f"{out} would lie in the page itself, {page}: name another folder")
    works = _works(models, tasks)
    steps = _ToldSteps(on_step, total=len(works) + 2)
    with published_folder(out, overwrite=overwrite) as folder:
        steps.begin("copying the page")
        shutil.copytree(page, folder, dirs_exist_ok=True)
        _write_notices(folder / ENGINE)
        (folder / "samples").mkdir()
        for task in TASKS:
            shutil.copyfile(server_facts.sample_path(task), folder / "samples" / f"{task}.tif")
        networks = []
        for work in works:
            steps.begin(f"{work.model.id}, {work.task}: exporting and verifying")
            networks.append(_network(work, folder))
        steps.begin("writing what the page tells")
        _write_facts(folder, networks, tables)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        page_bytes = size - sum(
            path.stat().st_size
            for part in (ENGINE, "models", "samples")
            for path in (folder / part).rglob("*")
            if path.is_file()
        )
    return BuiltSite(out, tuple((w.model.id, w.task) for w in works), size, page_bytes)


def require_page(page: Path) -> None:
    """MissingExtraError where the page, or the runtime in it, is not there."""
    if not (page / "index.html").is_file() or not any((page / ENGINE).glob("*.wasm")):
        raise MissingExtraError(
            "the web page is not built here, so there is nothing to make a site of: in a checkout, "
            "run `make web` (it needs Node.js 20.19 or newer); packages of releases have the page"
        )


class _ToldSteps:
    def __init__(self, told: OnStep | None, total: int) -> None:
        self._told, self._total, self._begun = told, total, 0

    def begin(self, text: str) -> None:
        """Tell that a step begins."""
        if self._told is not None:
            self._told(text, self._begun, self._total)
        self._begun += 1


def _works(models: Sequence[str], tasks: Sequence[str]) -> list[_Trial]:
    """Work that a site asks for: every wanted task of every wanted model that is here."""
    wanted = [TASKS[name].name for name in tasks] or list(TASKS)
    if models:
        chosen = [find(name) for name in models]
        for entry in chosen:
            if present_file(entry) is None:
                raise ZooError(f"{entry.id} is not on this machine. {how_to_get(entry)}")
    else:
        chosen = [entry for entry in entries().values() if is_here(entry)]
    works = [_Trial(entry, task) for entry in chosen for task in entry.tasks if task in wanted]
    if not works:
        raise ZooError(
            f"no model on this machine is for {', '.join(wanted)}: name others, or get one "
            "(`unifmir zoo list`, `unifmir zoo pull ID`)"
        )
    return works


def is_here(entry: ZooEntry) -> bool:
    """Whether a model's file is on this machine and can be used."""
    try:
        return present_file(entry) is not None
    except ZooError:
        return False


def _network(work: _Trial, folder: Path) -> dict[str, Any]:
    """Export one model for one task, measure what a browser needs, and picture the sample."""
    network = load_trained(work.model.id, task=work.task)
    single = network if network.task == work.task else task_network(network, work.task)
    source = open_source(server_facts.sample_path(work.task))
    place = folder / "models" / work.model.id
    place.mkdir(parents=True, exist_ok=True)
    with temporary_folder() as aside:
        kind = site_interface(single.config)
        (artifact,) = export(single, aside, formats=["onnx"], task=work.task, interface=kind)
        digest = artifact.sha256
        # Named by its content: browsers may keep it for ever.
        file = place / f"{work.task}.{digest[:12]}.onnx"
        shutil.copyfile(artifact.path, file)
    predictor = predictor_for(ModelChoice(work.model.id, work.task), single)
    facts = asdict(browser_network(predictor, source))
    pictures = write_pictures(work.model.id, predictor, folder)
    return {
        "model": work.model.id,
        "file": file.relative_to(folder).as_posix(),
        "bytes": file.stat().st_size,
        "sha256": digest,
        "verified": artifact.report.passed,
        "facts": facts,
        "pictures": pictures,
    }


def _write_notices(engine: Path) -> None:
    """Put the notices of what ONNX Runtime is made of beside it, as its own package has them."""
    for name in RUNTIMES["onnxruntime"].distributions:
        with suppress(PackageNotFoundError):
            for path in distribution(name).files or ():
                if path.name in ("LICENSE", "ThirdPartyNotices.txt"):
                    shutil.copyfile(Path(str(path.locate())), engine / f"onnxruntime-{path.name}")


def _missing(model: str, tried: set[str]) -> str:
    """Why a model cannot be tried on the site; empty where it can."""
    if model in tried:
        return ""
    entry = find(model)
    if is_here(entry):
        return "It was left out when this site was made."
    return (
        "Its weights were not on the machine that made this site. To have them on a machine with "
        f"unifmir: {how_to_get(entry)}"
    )


def _write_facts(
    folder: Path, networks: list[dict[str, Any]], tables: Sequence[dict[str, Any]]
) -> None:
    """Write what a server would tell, and make the page look for it."""
    tried = {network["model"] for network in networks}
    # What can be tried on the site, not what is on the machine that made it.
    models = [
        {**row, "available": row["id"] in tried, "missing": _missing(row["id"], tried)}
        for row in server_facts.models()
    ]
    pictures = {one["facts"]["task"]: one["pictures"]["before"] for one in networks}
    facts = {
        "format": 1,
        "version": __version__,
        "tasks": server_facts.tasks(),
        "models": sorted(models, key=lambda row: not row["available"]),
        "entries": {
            name: {**server_facts.model(name), "available": name in tried} for name in entries()
        },
        "samples": [
            {
                **row,
                "file": f"samples/{row['task']}.tif",
                "picture": pictures.get(row["task"]),
            }
            for row in server_facts.samples()
        ],
        "benchmarks": [*tables, *server_facts.measured()],
        "networks": networks,
        "engine": sorted(path.name for path in (folder / ENGINE).iterdir()),
    }
    text = json.dumps(json_form(facts), indent=1, ensure_ascii=False, allow_nan=False)
    index = folder / "index.html"
    html = index.read_text("utf-8")
    if html.count(SERVED) != 1:
        raise ZooError(f"{index.name} of the page lacks the line {SERVED}: build it again")
    rules = f'<meta http-equiv="Content-Security-Policy" content="{escape(PAGE_RULES)}" />'
    made = SERVED.replace("server", "browser")
    index.write_text(html.replace(SERVED, f"{rules}\n    {made}"), "utf-8")
    files = sorted(path for part in ("assets", ENGINE) for path in (folder / part).iterdir())
    parts = [text, *map(sha256_of, files)]
    identity = sha256("\n".join(parts).encode()).hexdigest()[:16]
    (folder / FACTS).write_text(f'{{\n "id": "{identity}",{text[1:]}\n', "utf-8")
